"""Mean ranks and win rates over data sets, and what they tell apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fgbench.digests import seed_for
from fgbench.inference.across.results import better
from fgbench.inference.components import quantile

if TYPE_CHECKING:
    from fgbench.records import Interval

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
SIGNIFICANCE = 0.05
REPLICATES = 10_000

_ROUNDING = 1e-12
_CELLS_AT_ONCE = 1 << 22


def block_ranks(cost: Floats, dataset: NDArray[np.intp]) -> Floats:
    """Return the mean rank of each method in each data set that has a task here, (k, m).

    A method's rank is 1 + the number of better ones + ½ · the number of equal ones.
    """
    by_dataset: dict[int, list[Floats]] = {}
    for row, index in zip(cost, dataset.tolist(), strict=True):
        # Of m methods, the tie with itself counts ½.
        rank = 0.5 + better(row[None, :], row[:, None]).sum(axis=1)
        by_dataset.setdefault(index, []).append(rank)
    return np.array([np.mean(ranks, axis=0) for ranks in by_dataset.values()]).reshape(
        -1, cost.shape[1]
    )


def critical_difference(methods: int, datasets: int) -> float:
    """Return the difference of two mean ranks that Nemenyi's test at 5 % needs (Demšar 2006)."""
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1.0 - SIGNIFICANCE, methods, np.inf)) / math.sqrt(2.0)
    return q * math.sqrt(methods * (methods + 1) / (6.0 * datasets))


def inseparable(names: Sequence[str], mean_ranks: Floats, difference: float) -> list[list[str]]:
    """Return the largest runs of methods, sorted by mean rank, that lie within the difference."""
    runs: list[tuple[int, int]] = []
    for start in range(len(names)):
        stop = int(np.searchsorted(mean_ranks, mean_ranks[start] + difference, side="left"))
        if stop - start > 1 and (not runs or stop > runs[-1][1]):
            runs.append((start, stop))
    return [list(names[start:stop]) for start, stop in runs]


def friedman(blocks: Floats) -> float | None:
    """Return the p-value of Friedman's test; None without two data sets, three methods, a rank."""
    from scipy.stats import friedmanchisquare

    k, m = blocks.shape
    if k < 2 or m < 3 or bool((np.ptp(blocks, axis=1) <= _ROUNDING).all()):
        return None
    return float(friedmanchisquare(*blocks.round(9).T).pvalue)


def wins_of(cost: Floats, dataset: NDArray[np.intp], k: int) -> tuple[Floats, Floats]:
    """Return the wins and the number of comparisons of each pair by data set, (k, m, m)."""
    m = cost.shape[1]
    wins, matches = np.zeros((k, m, m)), np.zeros((k, m, m))
    for row, index in zip(cost, dataset, strict=True):
        outcome = better(row[:, None], row[None, :])
        wins[index] += np.nan_to_num(outcome)
        matches[index] += ~np.isnan(outcome)
    diagonal = np.arange(m)
    wins[:, diagonal, diagonal] = matches[:, diagonal, diagonal] = 0.0
    return wins, matches


def win_rates(wins: Floats, matches: Floats) -> Floats:
    """Return the mean over opponents of the pairwise win rates, (…, m); NaN without opponents."""
    rates = np.divide(wins, matches, out=np.zeros_like(wins), where=matches > 0)
    met = (matches > 0).sum(axis=-1)
    return np.asarray(
        np.divide(rates.sum(axis=-1), met, out=np.full(met.shape, np.nan), where=met > 0)
    )


def resampled_win_rates(wins: Floats, matches: Floats, draws: Floats) -> Floats:
    """Return the win rates (R, m) on resamples of whole data sets."""
    k, m, _ = wins.shape
    step = max(1, _CELLS_AT_ONCE // (m * m))
    blocks = []
    for start in range(0, len(draws), step):
        part = draws[start : start + step]
        resampled = ((part @ item.reshape(k, -1)).reshape(-1, m, m) for item in (wins, matches))
        blocks.append(win_rates(*resampled))
    return np.concatenate(blocks)


def datasets_drawn(k: int, seed: int) -> Floats:
    """Return how often each of k data sets is drawn in each replicate, (R, k)."""
    if k == 0:
        return np.zeros((REPLICATES, 0))
    rng = np.random.default_rng(seed_for("data sets", k, seed))
    return np.asarray(rng.multinomial(k, np.full(k, 1.0 / k), size=REPLICATES), dtype=np.float64)


def bootstrap_interval(
    estimate: float, replicates: Floats, k: int, limits: tuple[float, float]
) -> Interval | None:
    """Return the 95 % interval of an average over k data sets, within `limits`; None for one.

    The bootstrap standard error has (k − 1)/k of the variance, which is made up for, and t with
    k − 1 degrees of freedom replaces its percentiles: of few data sets those are much too narrow
    (Hesterberg 2015, The American Statistician 69, 371).
    """
    values = replicates[~np.isnan(replicates)]
    if k < 2 or len(values) < 2:
        return None
    error = float(values.std()) * math.sqrt(k / (k - 1))
    half = float(quantile(0.5 + CONFIDENCE / 2.0, k - 1)) * error
    return max(limits[0], estimate - half), min(limits[1], estimate + half)
