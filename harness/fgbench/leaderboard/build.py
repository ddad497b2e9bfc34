"""From evaluations to entries, from entries to a board: baselines, comparisons, Holm."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fgbench.calibration.statistics import (
    CONFIDENCE,
    REPLICATES,
    compare,
    holm,
    summarise,
    undefined_metrics,
)
from fgbench.errors import LeaderboardError
from fgbench.leaderboard.checksums import board_checksum, with_checksums
from fgbench.leaderboard.models import (
    Artifacts,
    ComparisonRecord,
    Entry,
    EntryCoordinates,
    Leaderboard,
    MetricRecord,
    Provenance,
    StatisticsRecord,
    SyntheticRecord,
    UsageRecord,
    entry_id,
)
from fgbench.leaderboard.serialize import without_collections

if TYPE_CHECKING:
    from fgbench.calibration.statistics import Evaluation

EvaluationsOf = Callable[[Entry], "Sequence[Evaluation] | None"]
"""The evaluations of an entry, one a seed in the order of its seeds; None if they are not there."""

HIGHER_IS_BETTER = ("accuracy", "auroc", "auroc_correctness", "macro_f1")
"""The built-in metrics that are no errors or losses."""

_COMPARISONS = (("baseline", "versus_baseline"), ("real", "versus_real"))


def build_entry(
    coordinates: EntryCoordinates,
    evaluations: Sequence[Evaluation],
    *,
    provenance: Provenance,
    metric_versions: Mapping[str, str],
    higher_is_better: Iterable[str] = HIGHER_IS_BETTER,
    synthetic: SyntheticRecord | None = None,
    usage: UsageRecord | None = None,
    artifacts: Artifacts | None = None,
    bootstrap_seed: int = 0,
    replicates: int = REPLICATES,
) -> Entry:
    """Return the entry of one cell over its seeds, not yet compared with any other.

    `evaluations` are those of `coordinates.seeds`, in that order; `metric_versions` may hold more
    metrics than apply here, and so may `higher_is_better`.
    """
    if len(evaluations) != len(coordinates.seeds):
        raise LeaderboardError(
            f"{len(evaluations)} evaluations for the seeds {coordinates.seeds}: one each is needed."
        )
    metrics = {
        name: MetricRecord(
            mean=each.mean,
            std=each.std,
            ci95=each.ci95,
            per_seed=list(each.per_seed),
            noise_floor=each.noise_floor,
        )
        for name, each in summarise(evaluations).items()
    }
    entry = Entry(
        **{name: getattr(coordinates, name) for name in EntryCoordinates.model_fields},
        id=entry_id(coordinates),
        metrics=metrics,
        undefined=undefined_metrics(evaluations),
        metric_versions={name: metric_versions[name] for name in metrics},
        higher_is_better=sorted(set(higher_is_better) & set(metrics)),
        statistics=StatisticsRecord(
            replicates=replicates, confidence=CONFIDENCE, seed=bootstrap_seed
        ),
        synthetic=synthetic,
        usage=usage or UsageRecord(),
        provenance=provenance,
        artifacts=artifacts or Artifacts(),
    )
    return with_checksums(entry)


def finish_board(
    name: str,
    created: str,
    entries: Iterable[Entry],
    evaluations: Mapping[str, Sequence[Evaluation]],
) -> Leaderboard:
    """Return the board of a run: each entry compared with its baseline and its `real` control.

    `evaluations` holds, by entry id, one evaluation a seed in the order of the entry's seeds.
    """
    return assemble(name, created, entries, lambda entry: evaluations.get(entry.id))


def assemble(
    name: str, created: str, entries: Iterable[Entry], evaluations_of: EvaluationsOf
) -> Leaderboard:
    """Return a board of distinct entries, with links, comparisons and adjusted p-values.

    A comparison that an entry brings along for the control it has here is kept; a missing one is
    computed where `evaluations_of` knows both sides. The order of the entries is always the same.
    """
    with without_collections():
        ordered = sorted(entries, key=_order)
        controls = Controls(ordered)
        entries = adjusted([compared(entry, controls, evaluations_of) for entry in ordered])
        return Leaderboard(
            name=name,
            created=created,
            entries=entries,
            checksum=board_checksum(name, created, entries),
        )


class Controls:
    """Finds what an entry is compared with: its "baseline", or its matched "real" control.

    Both share data set, classifier, loss, protocol and statistics, and have at least its seeds.
    The baseline is the one without calibrator, if there is one, else with the entry's; the `real`
    control always has the entry's calibrator. Published figures have none and are none.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._settings: dict[str, tuple[str, ...]] = {}
        self._alike: dict[tuple[str, ...], list[Entry]] = {}
        for entry in entries:
            if entry.arm in ("baseline", "real") and entry.published is None:
                self._alike.setdefault((entry.arm, *self._setting(entry)), []).append(entry)

    def of(self, entry: Entry, kind: str) -> Entry | None:
        """Return the control of that kind, or None."""
        plain_baseline = entry.arm == "baseline" and entry.calibrator.name == "none"
        if kind == "baseline" and plain_baseline:
            return None
        if (kind == "real" and entry.arm in ("baseline", kind)) or entry.published is not None:
            return None
        alike = [
            other
            for other in self._alike.get((kind, *self._setting(entry)), ())
            if other.id != entry.id and set(entry.seeds) <= set(other.seeds)
        ]
        same = [other for other in alike if other.calibrator == entry.calibrator]
        if kind == "baseline":
            same = [other for other in alike if other.calibrator.name == "none"] or same
        # Prefer the control of exactly these seeds over one of more.
        return min(same, key=lambda other: (len(other.seeds), other.id), default=None)

    def _setting(self, entry: Entry) -> tuple[str, ...]:
        if entry.id not in self._settings:
            parts = (entry.dataset, entry.classifier, entry.loss)
            self._settings[entry.id] = (
                *(json.dumps(part.__dict__, sort_keys=True) for part in parts),
                entry.protocol,
                entry.statistics.model_dump_json(),
            )
        return self._settings[entry.id]


def compared(entry: Entry, controls: Controls, evaluations_of: EvaluationsOf) -> Entry:
    """Return the entry with its links, and with the comparisons that it does not bring along."""
    changes: dict[str, Any] = {}
    for kind, comparisons in _COMPARISONS:
        control = controls.of(entry, kind)
        known = getattr(entry, comparisons)
        if control is None:
            if known or getattr(entry, kind) is not None:
                changes |= {kind: None, comparisons: {}}
        elif getattr(entry, kind) != control.id or not known:
            found = comparison_records(entry, control, evaluations_of)
            changes |= {kind: control.id, comparisons: found}
    return entry.model_copy(update=changes) if changes else entry


def comparison_records(
    entry: Entry, control: Entry, evaluations_of: EvaluationsOf
) -> dict[str, ComparisonRecord]:
    """Compare an entry with a control on the entry's seeds; {} where evaluations are missing."""
    mine, theirs = evaluations_of(entry), evaluations_of(control)
    if mine is None or theirs is None:
        return {}
    by_seed = dict(zip(control.seeds, theirs, strict=True))
    comparisons = compare(mine, [by_seed[seed] for seed in entry.seeds])
    return {
        name: ComparisonRecord(delta=each.delta, ci95=each.ci95, p_value=each.p_value)
        for name, each in comparisons.items()
        if name in entry.metrics
    }


def adjusted(entries: Sequence[Entry]) -> list[Entry]:
    """Fill in Holm's p-values: one family a metric and kind of comparison, over the board."""
    updates: list[dict[str, Any]] = [{} for _ in entries]
    for _, comparisons in _COMPARISONS:
        families: dict[str, list[float]] = {}
        for entry in entries:
            for name, record in getattr(entry, comparisons).items():
                if record.p_value is not None:
                    families.setdefault(name, []).append(record.p_value)
        p_values = {name: iter(holm(family)) for name, family in families.items()}
        for entry, update in zip(entries, updates, strict=True):
            known: dict[str, ComparisonRecord] = getattr(entry, comparisons)
            found = {
                name: record
                if record.p_value is None
                else _with_adjusted(record, next(p_values[name]))
                for name, record in known.items()
            }
            if any(found[name] is not record for name, record in known.items()):
                update[comparisons] = found
    return [
        entry.model_copy(update=changes) if changes else entry
        for entry, changes in zip(entries, updates, strict=True)
    ]


def _with_adjusted(record: ComparisonRecord, p_adjusted: float) -> ComparisonRecord:
    """Return the record with this adjusted p-value; itself where it has it already."""
    if record.p_adjusted == p_adjusted:
        return record
    return ComparisonRecord(
        ci95=record.ci95, delta=record.delta, p_adjusted=p_adjusted, p_value=record.p_value
    )


def _order(entry: Entry) -> tuple[Any, ...]:
    generator = entry.generator.label if entry.generator else ""
    return (
        entry.dataset.name,
        entry.classifier.label,
        entry.loss.label,
        entry.protocol,
        generator,
        entry.bins or 0,
        entry.arm,
        entry.calibrator.label,
        entry.id,
    )
