"""Rank the entries of a group, with confidence intervals of their ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr

from fgbench.inference import SIGNIFICANCE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fgbench.inference import MetricSummary
    from fgbench.leaderboard.models import Entry

Z95 = 1.959963984540054
"""The normal quantile that a 95 % interval reaches to on each side."""

_PAIRS = 1_000_000
"""Number of pairs compared at once: a block of a large group, or all of a small one."""


@dataclass(frozen=True)
class Rank:
    """The interval of an entry's rank: `best` (at least 1) to `worst`, of `among` entries."""

    best: int
    worst: int
    among: int

    def __str__(self) -> str:
        return str(self.best) if self.best == self.worst else f"{self.best}–{self.worst}"


def half_width(record: MetricSummary) -> float | None:
    """Return the half-width of a metric's 95 % interval; None without an interval.

    For an interval that starts at 0, where errors are clipped, it is the whole width.
    """
    if record.ci95 is None:
        return None
    low, high = record.ci95
    return high - low if low == 0.0 else (high - low) / 2.0


def unpaired(
    old: MetricSummary, new: MetricSummary
) -> tuple[tuple[float, float] | None, float | None]:
    """Return the 95 % interval and the p-value of `new − old` from two stored intervals.

    They are treated as independent and normal. This is conservative for entries of one test set,
    which are positively correlated. If one side has no interval, only the other's is used; if
    neither has one, the result is (None, None).
    """
    widths = [width for record in (old, new) if (width := half_width(record)) is not None]
    if not widths:
        return None, None
    delta, width = new.mean - old.mean, math.hypot(*widths)
    if width == 0.0:
        return (delta, delta), 1.0 if delta == 0.0 else 0.0
    return (delta - width, delta + width), float(2.0 * ndtr(-abs(delta) / (width / Z95)))


def ranks(entries: Sequence[Entry], metric: str) -> dict[str, Rank]:
    """Return the ranks of the entries that have the metric, by id.

    Stored ranks, which come from paired comparisons, are returned if all entries have them
    (`Entry.ranks`). Otherwise the best rank is one more than the number of entries that are
    significantly better, and the worst is the number of entries less those that are significantly
    worse (Mogstad et al. 2024, "Inference for Ranks", section 3). A pair is told apart by the
    stored paired comparison where one is the other's control, else by `unpaired`, and never if it
    has one seed only; each entry's n − 1 comparisons are a family (Bonferroni, 5 %), so that an
    entry's interval holds its rank in 95 of 100 boards.
    """
    ranked = [entry for entry in entries if metric in entry.metrics]
    n = len(ranked)
    if ranked and all(metric in entry.ranks for entry in ranked):
        return {entry.id: Rank(*entry.ranks[metric], entry.ranked_among) for entry in ranked}
    if n == 0:
        return {}
    level = SIGNIFICANCE / max(1, n - 1)
    sign = -1.0 if metric in ranked[0].higher_is_better else 1.0
    cost = np.array([sign * entry.metrics[metric].mean for entry in ranked])
    half_widths = [half_width(entry.metrics[metric]) for entry in ranked]
    single = np.array([entry.published is None and len(entry.seeds) == 1 for entry in ranked])
    missing = np.array([width is None for width in half_widths])
    widths = np.array([0.0 if width is None else width for width in half_widths])
    stored = _stored(ranked, metric, sign)
    intervals = {}
    block = max(1, _PAIRS // n)
    for start in range(0, n, block):
        members = ranked[start : start + block]
        rows = np.arange(start, start + len(members))
        p_values = _unpaired_rows(cost, widths, missing, rows)
        lower = cost < cost[rows, None]
        for row in range(len(members)):
            for j, (p_value, is_lower) in stored.get(start + row, {}).items():
                p_values[row, j], lower[row, j] = p_value, is_lower
        apart = p_values < level
        apart &= ~(single | single[rows, None])
        apart[np.arange(len(rows)), rows] = False
        better, worse = (apart & lower).sum(axis=1), (apart & ~lower).sum(axis=1)
        for entry, above, below in zip(members, better.tolist(), worse.tolist(), strict=True):
            intervals[entry.id] = Rank(1 + above, n - below, n)
    return intervals


def _unpaired_rows(
    cost: NDArray[np.float64],
    widths: NDArray[np.float64],
    missing: NDArray[np.bool_],
    rows: NDArray[np.int_],
) -> NDArray[np.float64]:
    """Return the p-values of some entries against all; 1 where neither side has an interval."""
    width = np.hypot(widths, widths[rows, None])
    gap = np.abs(cost - cost[rows, None])
    with np.errstate(divide="ignore", invalid="ignore"):
        p_values = 2.0 * ndtr(-Z95 * gap / width)
    p_values = np.where(width == 0.0, np.where(gap == 0.0, 1.0, 0.0), p_values)
    return np.asarray(np.where(missing & missing[rows, None], 1.0, p_values), dtype=np.float64)


def _stored(
    entries: Sequence[Entry], metric: str, sign: float
) -> dict[int, dict[int, tuple[float, bool]]]:
    """Return, by pairs of positions, the stored p-value and whether the second one is lower."""
    position = {entry.id: index for index, entry in enumerate(entries)}
    p_values: dict[int, dict[int, tuple[float, bool]]] = {}
    for i, entry in enumerate(entries):
        for against in entry.contrasts.values():
            record = against.metrics.get(metric)
            j = position.get(against.entry)
            if j is not None and record is not None and record.p_value is not None:
                p_values.setdefault(i, {})[j] = (record.p_value, sign * record.difference > 0)
                p_values.setdefault(j, {})[i] = (record.p_value, sign * record.difference < 0)
    return p_values
