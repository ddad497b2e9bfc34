"""The contrasts of an entry: with which controls it is compared, and what that shows.

An entry has up to six controls, all of its own setting, statistics and seeds:

    baseline     the arm `baseline` without calibrator, or with the entry's own if there is none
    real         the same real data and calibrator, no synthetic input
    resample     duplicates of the targeted points instead of synthetic inputs
    other-bins   synthetic inputs for points outside the targeted bins
    no-shift     synthetic inputs that were requested at the mean of their bin
    post-hoc     the arm `baseline` with the declared post-hoc calibrator

The arm of the primary contrast (`fgbench.primary.Primary`) has all of them, any other arm the first
two. The contrasts with the four controls `real` to `no-shift` in one metric of one entry are a
family: their p-values are adjusted together (Holm). The others are judged alone. No other entry,
data set or calibrator of the board belongs to the family, so adding one changes no word. The family
of the suite's primary contrast and metric is the primary one, and all others are exploratory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from fgbench.coordinates import GENERATION, PartRecord
from fgbench.digests import canonical_json
from fgbench.inference import Contrast, compare_evaluations, judge
from fgbench.inference.components import two_sided
from fgbench.leaderboard.models import ContrastRecord, Contrasts, Entry
from fgbench.primary import Primary

if TYPE_CHECKING:
    from fgbench.inference import Evaluation

EvaluationsOf = Callable[[Entry], "Sequence[Evaluation] | None"]
"""The evaluations of an entry, one per seed in the order of its seeds; None without predictions."""

BASELINE, POST_HOC = "baseline", "post-hoc"
FAMILY = ("real", "resample", "other-bins", "no-shift")
"""The controls whose contrasts are one family, in the order in which they are shown."""

CONTROLS = (BASELINE, *FAMILY, POST_HOC)
"""All controls in the order in which they are shown."""

_GENERATED = frozenset(FAMILY[1:])
"""The controls that share the generation of the entry."""

_ARMS = frozenset((BASELINE, *FAMILY))
_ARM_OF = {POST_HOC: BASELINE}


class Controls:
    """Finds the controls of entries on a board.

    `primary` names the arm that has all controls, and the label of the post-hoc calibrator. A
    control has the entry's setting (`Coordinates.setting`) and statistics, and at least its seeds.
    Published figures neither have nor are controls.
    """

    def __init__(self, entries: Iterable[Entry], primary: Primary | None = None) -> None:
        self._primary = primary or Primary()
        self._settings: dict[str, tuple[str, ...]] = {}
        self._alike: dict[tuple[object, ...], list[Entry]] = {}
        for entry in entries:
            if entry.arm in _ARMS and entry.published is None:
                self._alike.setdefault(self._key(entry, entry.arm), []).append(entry)

    def of(self, entry: Entry, kind: str) -> Entry | None:
        """Return the control of that kind, or None."""
        if entry.published is not None or not self._has(entry, kind):
            return None
        alike = [
            other
            for other in self._alike.get(self._key(entry, _ARM_OF.get(kind, kind)), ())
            if other.id != entry.id and set(entry.seeds) <= set(other.seeds)
        ]
        if kind == POST_HOC:
            wanted = self._primary.calibrator
            chosen = [other for other in alike if other.calibrator.label == wanted]
        else:
            chosen = [other for other in alike if other.calibrator == entry.calibrator]
            if kind == BASELINE:
                chosen = [other for other in alike if "calibrator" in other.neutral] or chosen
        # Prefer the control of exactly these seeds over one of more.
        return min(chosen, key=lambda other: (len(other.seeds), other.id), default=None)

    def setting(self, entry: Entry) -> tuple[str, ...]:
        """Return what an entry and all its controls have in common."""
        if entry.id not in self._settings:
            self._settings[entry.id] = (entry.setting(), entry.statistics.model_dump_json())
        return self._settings[entry.id]

    def _has(self, entry: Entry, kind: str) -> bool:
        """Return whether entries of this arm are compared with that control."""
        if kind == BASELINE:
            return entry.arm != BASELINE or "calibrator" not in entry.neutral
        if kind == "real":
            return entry.arm not in (BASELINE, "real")
        return entry.arm == self._primary.contrast and entry.arm not in _ARMS

    def _key(self, entry: Entry, arm: str) -> tuple[object, ...]:
        """Return what an entry and its controls of that arm have in common."""
        key = (arm, *self.setting(entry))
        return key if arm not in _GENERATED else (*key, *_generation(entry))


def _generation(entry: Entry) -> tuple[object, ...]:
    axes = [getattr(entry, name) for name in GENERATION]
    return (
        *(axis.model_dump_json() if isinstance(axis, PartRecord) else axis for axis in axes),
        entry.threshold,
        entry.selector,
        entry.alpha,
        canonical_json(entry.settings),
    )


def compared(entry: Entry, controls: Controls, evaluations_of: EvaluationsOf) -> Entry:
    """Return the entry with its contrasts; those that it has with the same controls are kept."""
    contrasts: dict[str, Contrasts] = {}
    is_new = False
    for kind in CONTROLS:
        control = controls.of(entry, kind)
        if control is None:
            continue
        stored = entry.contrasts.get(kind)
        if stored is None or stored.entry != control.id or not stored.metrics:
            stored = contrasts_with(entry, control, evaluations_of)
            is_new = True
        contrasts[kind] = stored
    if not is_new:
        gone = entry.contrasts.keys() - contrasts.keys()
        if not gone:
            return entry
        is_new = not gone.isdisjoint(FAMILY)
    return entry.model_copy(update={"contrasts": judged(entry, contrasts) if is_new else contrasts})


def contrasts_with(entry: Entry, control: Entry, evaluations_of: EvaluationsOf) -> Contrasts:
    """Compare an entry with a control on the entry's seeds; without metrics if files are missing.

    The standard error is raised by `allowance`. The words are given by `judged`.
    """
    mine, theirs = evaluations_of(entry), evaluations_of(control)
    if mine is None or theirs is None:
        return Contrasts(entry=control.id)
    by_seed = dict(zip(control.seeds, theirs, strict=True))
    factor = allowance(entry.statistics.replicates)
    found = compare_evaluations(mine, [by_seed[seed] for seed in entry.seeds])
    found = {name: contrast for name, contrast in found.items() if name in entry.metrics}
    return Contrasts(
        entry=control.id,
        metrics={name: _record(contrast, factor) for name, contrast in found.items()},
        reasons={name: contrast.reason for name, contrast in found.items() if contrast.reason},
    )


def allowance(replicates: int) -> float:
    """Return the factor by which a standard error from R bootstrap replicates is raised.

    A bootstrap's standard error has itself a standard error of 1/√(2(R − 1)) of its size. Two of
    these are added, so that chance in the bootstrap can turn a word into "cannot tell", but give
    none that more replicates would take back.
    """
    return 1.0 + 2.0 / math.sqrt(2.0 * (replicates - 1)) if replicates > 1 else 1.0


def judged(entry: Entry, contrasts: Mapping[str, Contrasts]) -> dict[str, Contrasts]:
    """Return the contrasts of an entry with the words, p-values and intervals of their families.

    Contrasts without a standard error are of an earlier inference, or have none: they are kept.
    """
    families = [[kind for kind in FAMILY if kind in contrasts]]
    families += [[kind] for kind in (BASELINE, POST_HOC) if kind in contrasts]
    records = {kind: dict(against.metrics) for kind, against in contrasts.items()}
    for family in families:
        for metric in {name for kind in family for name in contrasts[kind].metrics}:
            members = [
                kind
                for kind in family
                if (item := records[kind].get(metric)) is not None
                and (item.standard_error is not None or item.word is None)
            ]
            stored = [records[kind][metric] for kind in members]
            judgments = judge(
                [restored(entry, item, metric) for item in stored],
                higher_is_better=metric in entry.higher_is_better,
            )
            for kind, item, judgment in zip(members, stored, judgments, strict=True):
                records[kind][metric] = item.model_copy(
                    update={
                        "interval": judgment.interval,
                        "p_adjusted": judgment.p_adjusted,
                        "word": judgment.word,
                    }
                )
    return {
        kind: against.model_copy(update={"metrics": records[kind]})
        for kind, against in contrasts.items()
    }


def restored(entry: Entry, record: ContrastRecord, metric: str) -> Contrast:
    """Return the contrast that a board's record holds, with the entry's margin in the metric."""
    return Contrast.of(
        difference=record.difference,
        standard_error=record.standard_error,
        degrees_of_freedom=record.degrees_of_freedom,
        margin=entry.margins.get(metric),
        seeds=max(1, len(entry.seeds)),
        rows=entry.dataset.n_test or 0,
    )


def _record(contrast: Contrast, factor: float) -> ContrastRecord:
    error = contrast.standard_error
    if error is None or contrast.degrees_of_freedom is None:
        return ContrastRecord(difference=contrast.difference)
    raised = error * factor
    p_value = None
    if contrast.p_value is not None:
        p_value = float(two_sided(contrast.difference / raised, contrast.degrees_of_freedom))
    return ContrastRecord(
        degrees_of_freedom=contrast.degrees_of_freedom,
        difference=contrast.difference,
        p_value=p_value,
        standard_error=raised,
    )
