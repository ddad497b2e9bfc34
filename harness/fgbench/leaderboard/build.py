"""Build entries from evaluations, and boards from entries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fgbench.coordinates import Coordinates, entry_id
from fgbench.errors import LeaderboardError
from fgbench.inference import (
    CONFIDENCE,
    REPLICATES,
    STATISTICS_VERSION,
    rank_intervals,
    summarize,
    undefined_metrics,
)
from fgbench.leaderboard.checksums import board_checksum, with_checksums
from fgbench.leaderboard.contrasts import Controls, compared
from fgbench.leaderboard.models import (
    Artifacts,
    Entry,
    Leaderboard,
    Provenance,
    StatisticsRecord,
    SyntheticRecord,
)
from fgbench.primary import Primary
from fgbench.usage import Usage

if TYPE_CHECKING:
    from fgbench.inference import Evaluation
    from fgbench.leaderboard.contrasts import EvaluationsOf

Ranks = dict[str, tuple[int, int]]

_MOST_RANKED = 300


def build_entry(
    coordinates: Coordinates,
    evaluations: Sequence[Evaluation],
    *,
    provenance: Provenance,
    metric_versions: Mapping[str, str],
    higher_is_better: Iterable[str],
    neutral: Iterable[str],
    margins: Mapping[str, float] | None = None,
    synthetic: SyntheticRecord | None = None,
    usage: Usage | None = None,
    artifacts: Artifacts | None = None,
    bootstrap_seed: int = 0,
    replicates: int = REPLICATES,
) -> Entry:
    """Return the entry of one cell over its seeds, not yet compared with any other.

    `evaluations` are those of `coordinates.seeds`, in that order. `metric_versions`,
    `higher_is_better` and `margins` may name more metrics than apply here. `neutral` are the axes
    on which the entry has a neutral part (`fgbench.parts.Part.is_neutral`).
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
        margins={name: margin for name, margin in (margins or {}).items() if name in metrics},
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
    name: str,
    created: str,
    entries: Iterable[Entry],
    evaluations_of: EvaluationsOf,
    primary: Primary | None = None,
    shown: Iterable[str] = (),
) -> Leaderboard:
    """Return a board of distinct entries, sorted, with their contrasts and ranks.

    An entry's contrasts with the controls that it has on this board are kept; missing ones are
    computed if `evaluations_of` has both sides. `primary` is what a suite declares, and `shown`
    the metrics that tables show beside it.
    """
    primary = primary or Primary()
    ordered = sorted(entries, key=lambda entry: (*entry.order(), entry.id))
    controls = Controls(ordered, primary)
    entries = [compared(entry, controls, evaluations_of) for entry in ordered]
    entries = ranked(entries, controls, evaluations_of)
    return Leaderboard(
        name=name,
        created=created,
        entries=entries,
        primary=primary,
        shown=sorted(set(shown)),
        checksum=board_checksum(name, created, entries, primary),
    )


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
