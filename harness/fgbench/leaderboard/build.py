"""Build entries from evaluations, and boards from entries: controls, comparisons, Holm."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fgbench.coordinates import Coordinates, entry_id
from fgbench.errors import LeaderboardError
from fgbench.inference import (
    CONFIDENCE,
    REPLICATES,
    STATISTICS_VERSION,
    Comparison,
    compare_evaluations,
    holm,
    rank_intervals,
    summarize,
    undefined_metrics,
)
from fgbench.leaderboard.checksums import board_checksum, with_checksums
from fgbench.leaderboard.models import (
    Artifacts,
    Entry,
    Leaderboard,
    Provenance,
    StatisticsRecord,
    SyntheticRecord,
)
from fgbench.usage import Usage

if TYPE_CHECKING:
    from fgbench.inference import Evaluation

EvaluationsOf = Callable[[Entry], "Sequence[Evaluation] | None"]
"""The evaluations of an entry, one per seed in the order of its seeds; None without predictions."""

Ranks = dict[str, tuple[int, int]]

_MOST_RANKED = 300

_COMPARISONS = (("baseline", "versus_baseline"), ("real", "versus_real"))


def build_entry(
    coordinates: Coordinates,
    evaluations: Sequence[Evaluation],
    *,
    provenance: Provenance,
    metric_versions: Mapping[str, str],
    higher_is_better: Iterable[str],
    neutral: Iterable[str],
    synthetic: SyntheticRecord | None = None,
    usage: Usage | None = None,
    artifacts: Artifacts | None = None,
    bootstrap_seed: int = 0,
    replicates: int = REPLICATES,
) -> Entry:
    """Return the entry of one cell over its seeds, not yet compared with any other.

    `evaluations` are those of `coordinates.seeds`, in that order. `metric_versions` and
    `higher_is_better` may name more metrics than apply here. `neutral` are the axes on which the
    entry has a neutral part (`fgbench.parts.Part.is_neutral`).
    """
    if len(evaluations) != len(coordinates.seeds):
        raise LeaderboardError(
            f"{len(evaluations)} evaluations for {len(coordinates.seeds)} seeds: need one per seed."
        )
    metrics = summarize(evaluations)
    entry = Entry(
        **{name: getattr(coordinates, name) for name in Coordinates.model_fields},
        id=entry_id(coordinates),
        metrics=metrics,
        undefined=undefined_metrics(evaluations),
        metric_versions={name: metric_versions[name] for name in metrics},
        higher_is_better=sorted(set(higher_is_better) & set(metrics)),
        neutral=list(neutral),
        statistics=StatisticsRecord(
            replicates=replicates,
            confidence=CONFIDENCE,
            seed=bootstrap_seed,
            version=STATISTICS_VERSION,
        ),
        synthetic=synthetic,
        usage=usage or Usage(),
        provenance=provenance,
        artifacts=artifacts or Artifacts(),
    )
    return with_checksums(entry)


def assemble(
    name: str, created: str, entries: Iterable[Entry], evaluations_of: EvaluationsOf
) -> Leaderboard:
    """Return a board of distinct entries, with links, comparisons, adjusted p-values and ranks.

    An entry's comparison with the control that it has on this board is kept; a missing one is
    computed if `evaluations_of` has both sides. The entries are sorted.
    """
    ordered = sorted(entries, key=lambda entry: (*entry.order(), entry.id))
    controls = Controls(ordered)
    entries = [compared(entry, controls, evaluations_of) for entry in ordered]
    entries = ranked(adjusted(entries, controls), controls, evaluations_of)
    return Leaderboard(
        name=name,
        created=created,
        entries=entries,
        checksum=board_checksum(name, created, entries),
    )


class Controls:
    """Finds what an entry is compared with: its "baseline", or its matched "real" control.

    Both share its setting (`Coordinates.setting`) and statistics, and have at least its seeds. The
    baseline is the uncalibrated one, or if there is none, the one with the entry's calibrator. The
    `real` control always has the entry's calibrator. Published figures neither have nor are
    controls.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._settings: dict[str, tuple[str, ...]] = {}
        self._alike: dict[tuple[str, ...], list[Entry]] = {}
        for entry in entries:
            if entry.arm in ("baseline", "real") and entry.published is None:
                self._alike.setdefault((entry.arm, *self.setting(entry)), []).append(entry)

    def of(self, entry: Entry, kind: str) -> Entry | None:
        """Return the control of that kind, or None."""
        plain_baseline = entry.arm == "baseline" and "calibrator" in entry.neutral
        if kind == "baseline" and plain_baseline:
            return None
        if (kind == "real" and entry.arm in ("baseline", kind)) or entry.published is not None:
            return None
        alike = [
            other
            for other in self._alike.get((kind, *self.setting(entry)), ())
            if other.id != entry.id and set(entry.seeds) <= set(other.seeds)
        ]
        same = [other for other in alike if other.calibrator == entry.calibrator]
        if kind == "baseline":
            same = [other for other in alike if "calibrator" in other.neutral] or same
        # Prefer the control of exactly these seeds over one of more.
        return min(same, key=lambda other: (len(other.seeds), other.id), default=None)

    def setting(self, entry: Entry) -> tuple[str, ...]:
        """Return what an entry and its controls have in common."""
        if entry.id not in self._settings:
            self._settings[entry.id] = (entry.setting(), entry.statistics.model_dump_json())
        return self._settings[entry.id]


def compared(entry: Entry, controls: Controls, evaluations_of: EvaluationsOf) -> Entry:
    """Return the entry with links to its controls, and with the comparisons that it lacks."""
    changes: dict[str, Any] = {}
    for kind, comparisons in _COMPARISONS:
        control = controls.of(entry, kind)
        stored = getattr(entry, comparisons)
        if control is None:
            if stored or getattr(entry, kind) is not None:
                changes |= {kind: None, comparisons: {}}
        elif getattr(entry, kind) != control.id or not stored:
            records = compare_entries(entry, control, evaluations_of)
            changes |= {kind: control.id, comparisons: records}
    return entry.model_copy(update=changes) if changes else entry


def compare_entries(
    entry: Entry, control: Entry, evaluations_of: EvaluationsOf
) -> dict[str, Comparison]:
    """Compare an entry with a control on the entry's seeds; {} if evaluations are missing."""
    mine, theirs = evaluations_of(entry), evaluations_of(control)
    if mine is None or theirs is None:
        return {}
    by_seed = dict(zip(control.seeds, theirs, strict=True))
    contrasts = compare_evaluations(mine, [by_seed[seed] for seed in entry.seeds])
    return {
        name: Comparison.of(contrast)
        for name, contrast in contrasts.items()
        if name in entry.metrics
    }


def adjusted(entries: Sequence[Entry], controls: Controls) -> list[Entry]:
    """Fill in Holm's p-values.

    A family is the comparisons of one kind in one metric, of the entries of one setting (data set,
    classifier, protocol, …) and calibrator. Other data sets and calibrators change nothing in it.
    """
    updates: list[dict[str, Any]] = [{} for _ in entries]
    family_of = [(*controls.setting(entry), entry.calibrator.label) for entry in entries]
    for _, comparisons in _COMPARISONS:
        families: dict[tuple[str, ...], list[float]] = {}
        for entry, family in zip(entries, family_of, strict=True):
            for name, record in getattr(entry, comparisons).items():
                if record.p_value is not None:
                    families.setdefault((*family, name), []).append(record.p_value)
        p_values = {name: iter(holm(values)) for name, values in families.items()}
        for entry, family, update in zip(entries, family_of, updates, strict=True):
            stored: dict[str, Comparison] = getattr(entry, comparisons)
            records = {
                name: record
                if record.p_value is None
                else _with_adjusted(record, next(p_values[(*family, name)]))
                for name, record in stored.items()
            }
            if any(records[name] is not record for name, record in stored.items()):
                update[comparisons] = records
    return [
        entry.model_copy(update=changes) if changes else entry
        for entry, changes in zip(entries, updates, strict=True)
    ]


def ranked(
    entries: Sequence[Entry], controls: Controls, evaluations_of: EvaluationsOf
) -> list[Entry]:
    """Fill in the ranks of the entries of each table: those of one setting and the same seeds.

    Ranks are kept where all entries of a table have them and none joined, and computed where
    `evaluations_of` has all; else there are none. Tables of more than 300 entries have none.
    """
    tables: dict[tuple[object, ...], list[Entry]] = {}
    for entry in entries:
        if entry.published is None and len(entry.seeds) > 1:
            tables.setdefault((controls.setting(entry), *entry.seeds), []).append(entry)
    ranks: dict[str, Ranks] = {}
    for members in tables.values():
        if all(entry.ranks and entry.ranked_among == len(members) for entry in members):
            continue
        ranks |= {entry.id: {} for entry in members}
        if len(members) <= _MOST_RANKED:
            evaluations = [evaluations_of(entry) for entry in members]
            known = [item for item in evaluations if item is not None]
            if len(known) == len(members):
                ranks |= _ranks(members, known)
    among = {entry.id: len(members) for members in tables.values() for entry in members}
    return [
        entry
        if ranks.get(entry.id, entry.ranks) == entry.ranks
        else entry.model_copy(
            update={
                "ranks": ranks[entry.id],
                "ranked_among": among[entry.id] if ranks[entry.id] else 0,
            }
        )
        for entry in entries
    ]


def _ranks(
    members: Sequence[Entry], evaluations: Sequence[Sequence[Evaluation]]
) -> dict[str, Ranks]:
    """Return the ranks of the entries of one table, by id and metric."""
    ranks: dict[str, Ranks] = {entry.id: {} for entry in members}
    units = {item.units for seeds in evaluations for item in seeds}
    if len(units) > 1:
        return ranks
    for name in members[0].metrics:
        if not all(name in entry.metrics for entry in members):
            continue
        intervals = rank_intervals(
            np.array([[item.values[name] for item in seeds] for seeds in evaluations]),
            np.array([[item.replicates[name] for item in seeds] for seeds in evaluations]),
            next(iter(units)),
            higher_is_better=name in members[0].higher_is_better,
        )
        for entry, (best, worst) in zip(members, intervals.tolist(), strict=True):
            ranks[entry.id][name] = (best, worst)
    return ranks


def _with_adjusted(record: Comparison, p_adjusted: float) -> Comparison:
    """Return the record with this adjusted p-value; itself if it has that already."""
    if record.p_adjusted == p_adjusted:
        return record
    return Comparison(
        ci95=record.ci95, delta=record.delta, p_adjusted=p_adjusted, p_value=record.p_value
    )
