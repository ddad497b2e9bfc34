"""Build entries from evaluations, and boards from entries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from fgbench.coordinates import Coordinates, entry_id
from fgbench.errors import LeaderboardError
from fgbench.inference import (
    CONFIDENCE,
    REPLICATES,
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
            replicates=replicates, confidence=CONFIDENCE, seed=bootstrap_seed
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
    """Return a board of distinct entries, sorted, with their contrasts.

    An entry's contrasts with the controls that it has on this board are kept; missing ones are
    computed if `evaluations_of` has both sides. `primary` is what a suite declares, and `shown`
    the metrics that tables show beside it.
    """
    primary = primary or Primary()
    ordered = sorted(entries, key=lambda entry: (*entry.order(), entry.id))
    controls = Controls(ordered, primary)
    entries = [compared(entry, controls, evaluations_of) for entry in ordered]
    return Leaderboard(
        name=name,
        created=created,
        entries=entries,
        primary=primary,
        shown=list(dict.fromkeys(shown)),
        checksum=board_checksum(name, created, entries, primary),
    )
