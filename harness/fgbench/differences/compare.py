"""Compare two boards entry by entry: what is better, worse, or only noise."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fgbench.differences.matching import changes, match
from fgbench.inference import SIGNIFICANCE, compare_evaluations, holm
from fgbench.leaderboard.files import read_board, without_collections
from fgbench.leaderboard.ranking import unpaired
from fgbench.leaderboard.recompute import Recomputed

if TYPE_CHECKING:
    from fgbench.differences.matching import Change
    from fgbench.inference import Evaluation, MetricSummary
    from fgbench.leaderboard.models import Entry, Leaderboard
    from fgbench.plugins.registry import Registry

How = Literal["paired", "unpaired", "identical", "no interval"]
"""How a difference was assessed: by a paired bootstrap of both predictions; from the two stored
intervals; not at all, because the numbers are the same; or not at all, because neither side has an
interval."""

Verdict = Literal["better", "worse", "noise", "identical", "unknown"]

SAME = 1e-9


@dataclass(slots=True)
class Difference:
    """A metric of an entry on both boards; `delta` is new − old."""

    metric: str
    old: float
    new: float
    delta: float
    ci95: tuple[float, float] | None
    p_value: float | None
    how: How
    higher_is_better: bool
    p_adjusted: float | None = None
    """Holm's, over all entries compared in this metric."""

    @property
    def verdict(self) -> Verdict:
        """The verdict: better or worse if significant after Holm at 5 %, else noise."""
        if self.how == "identical":
            return "identical"
        if self.p_adjusted is None:
            return "unknown"
        if self.p_adjusted >= SIGNIFICANCE or self.delta == 0:
            return "noise"
        return "better" if (self.delta > 0) == self.higher_is_better else "worse"


@dataclass(frozen=True)
class EntryDifference:
    """An entry on both boards: its metrics, other changes, and what was not compared."""

    old: Entry
    new: Entry
    metrics: list[Difference]
    changes: list[Change]
    not_compared: dict[str, str]
    """The reason, by metric."""

    @property
    def verdicts(self) -> set[Verdict]:
        """The verdicts of all metrics."""
        return {difference.verdict for difference in self.metrics}

    @property
    def verdict(self) -> str:
        """The entry in one word; worse and better precede unknown, noise and identical."""
        verdicts = self.verdicts
        if {"worse", "better"} <= verdicts:
            return "mixed"
        for verdict in ("worse", "better", "unknown", "noise"):
            if verdict in verdicts:
                return verdict
        return "identical" if verdicts else "not compared"


@dataclass(frozen=True)
class BoardComparison:
    """Two boards, entry by entry."""

    old: Leaderboard
    new: Leaderboard
    entries: list[EntryDifference]
    appeared: list[Entry]
    vanished: list[Entry]
    refused: list[tuple[Entry, Entry, str]] = field(default_factory=list)
    """Entries that differ only in their data, and why they are not compared."""

    @property
    def regressions(self) -> list[tuple[EntryDifference, Difference]]:
        """Every metric that became worse beyond noise."""
        return [
            (entry, difference)
            for entry in self.entries
            for difference in entry.metrics
            if difference.verdict == "worse"
        ]


def compare_files(
    old: Path,
    new: Path,
    registry: Registry,
    *,
    metrics: Collection[str] = (),
    paired: bool = True,
) -> BoardComparison:
    """Compare two boards; see `compare_boards`."""
    folders = [path if path.is_dir() else path.parent for path in (old, new)]
    recomputed = Recomputed(registry, folders[0]), Recomputed(registry, folders[1])
    with without_collections():
        return compare_boards(
            read_board(old), read_board(new), recomputed if paired else None, metrics=metrics
        )


def compare_boards(
    old: Leaderboard,
    new: Leaderboard,
    recomputed: tuple[Recomputed, Recomputed] | None = None,
    *,
    metrics: Collection[str] = (),
) -> BoardComparison:
    """Compare the entries that two boards have in common, in the given metrics or in all.

    If both sides have predictions (`recomputed`) of the same data, the difference is assessed by a
    paired bootstrap on their common seeds; else from the stored intervals, as if the two were
    independent. Entries whose data differ are not compared.
    """
    matching = match(old, new)
    entries: list[EntryDifference] = []
    refused: list[tuple[Entry, Entry, str]] = []
    for before, after in matching.pairs:
        if reason := _other_data(before, after):
            refused.append((before, after, reason))
        else:
            entries.append(_Pair(before, after, recomputed, metrics).difference())
    _adjust(entries)
    return BoardComparison(old, new, entries, matching.appeared, matching.vanished, refused)


def _other_data(old: Entry, new: Entry) -> str | None:
    a, b = old.dataset.digest, new.dataset.digest
    if a is None or b is None or a == b:
        return None
    return f"the data differ (digest {a[:12]} → {b[:12]})"


class _Pair:
    def __init__(
        self,
        old: Entry,
        new: Entry,
        recomputed: tuple[Recomputed, Recomputed] | None,
        wanted: Collection[str],
    ) -> None:
        self._old, self._new = old, new
        self._recomputed = recomputed
        common = old.metrics.keys() & new.metrics.keys()
        self._names = sorted(name for name in common if not wanted or name in wanted)
        self._higher = set(new.higher_is_better) | set(old.higher_is_better)
        self._not_compared: dict[str, str] = {}

    def difference(self) -> EntryDifference:
        old, new = self._old, self._new
        same_files = _same_files(old, new)
        differing = [name for name in self._names if not self._is_identical(name)]
        evaluations = None if same_files or not differing else self._evaluations(differing)
        differences = []
        for name in self._names:
            if name not in differing:
                differences.append(self._identical(name))
            elif evaluations is not None and all(
                name in evaluation.values for side in evaluations for evaluation in side
            ):
                differences.append(self._paired(name, *evaluations))
            elif not _same_version(old, new, name):
                versions = (old.metric_versions[name], new.metric_versions[name])
                self._not_compared[name] = "the metric's version differs ({} → {})".format(
                    *versions
                )
            elif same_files:
                self._not_compared[name] = (
                    "the predictions are the same, but the numbers differ: verify both boards"
                )
            else:
                differences.append(self._unpaired(name))
        return EntryDifference(old, new, differences, changes(old, new), self._not_compared)

    def _is_identical(self, name: str) -> bool:
        a, b = self._old.metrics[name], self._new.metrics[name]
        return (
            _same_version(self._old, self._new, name)
            and abs(a.mean - b.mean) <= SAME
            and len(a.per_seed) == len(b.per_seed)
            and all(abs(x - y) <= SAME for x, y in zip(a.per_seed, b.per_seed, strict=True))
            and (bool(a.per_seed) or a.ci95 == b.ci95)
        )

    def _evaluations(
        self, names: Sequence[str]
    ) -> tuple[Sequence[Evaluation], Sequence[Evaluation]] | None:
        """Return the evaluations of the common seeds; None if they cannot be paired."""
        old, new = self._old, self._new
        seeds = [seed for seed in old.seeds if seed in new.seeds]
        if self._recomputed is None or not seeds or old.dataset.digest != new.dataset.digest:
            return None
        if not (old.artifacts.predictions and new.artifacts.predictions):
            return None
        sides = []
        for entry, recomputed in zip((old, new), self._recomputed, strict=True):
            update = {
                "metrics": {name: entry.metrics[name] for name in names},
                "undefined": {},
                "statistics": old.statistics,
                "seeds": seeds,
            }
            evaluations = recomputed.known_evaluations(entry.model_copy(update=update))
            if evaluations is None:
                return None
            sides.append(evaluations)
        return sides[0], sides[1]

    def _paired(
        self, name: str, old: Sequence[Evaluation], new: Sequence[Evaluation]
    ) -> Difference:
        paired = compare_evaluations(_only(name, new), _only(name, old))[name]
        mean = partial(_mean, name)
        return Difference(
            name, mean(old), mean(new), paired.difference, paired.interval, paired.p_value,
            "paired", name in self._higher,
        )  # fmt: skip

    def _unpaired(self, name: str) -> Difference:
        a, b = self._old.metrics[name], self._new.metrics[name]
        interval, p_value = unpaired(a, b)
        how: How = "no interval" if p_value is None else "unpaired"
        return Difference(
            name, a.mean, b.mean, b.mean - a.mean, interval, p_value, how, name in self._higher
        )

    def _identical(self, name: str) -> Difference:
        a: MetricSummary = self._old.metrics[name]
        b: MetricSummary = self._new.metrics[name]
        return Difference(
            name, a.mean, b.mean, b.mean - a.mean, None, None, "identical", name in self._higher
        )


def _same_version(old: Entry, new: Entry, name: str) -> bool:
    a, b = old.metric_versions.get(name), new.metric_versions.get(name)
    return a is None or b is None or a == b


def _same_files(old: Entry, new: Entry) -> bool:
    """Return whether both sides have the same predictions."""
    a = {record.seed: record.sha256 for record in old.artifacts.predictions}
    b = {record.seed: record.sha256 for record in new.artifacts.predictions}
    return bool(a) and a == b


def _only(name: str, evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    from fgbench.inference import Evaluation

    return [
        Evaluation({name: item.values[name]}, {name: item.replicates[name]}, units=item.units)
        for item in evaluations
    ]


def _mean(name: str, evaluations: Sequence[Evaluation]) -> float:
    return sum(item.values[name] for item in evaluations) / len(evaluations)


def _adjust(entries: Sequence[EntryDifference]) -> None:
    """Fill in Holm's p-values: one family per metric."""
    families: dict[str, list[Difference]] = {}
    for entry in entries:
        for difference in entry.metrics:
            if difference.p_value is not None:
                families.setdefault(difference.metric, []).append(difference)
    for family in families.values():
        adjusted = holm([item.p_value for item in family if item.p_value is not None])
        for difference, p_value in zip(family, adjusted, strict=True):
            difference.p_adjusted = p_value
