"""Ranking metrics, for R bootstrap replicates at a time.

Every function takes predictions and `weights` (R, n), the count of each row in each replicate, and
returns (R,). `label` is the class whose probability ranks, or `TOP_LABEL`, where the confidence
should rank correct predictions above wrong ones.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma

from fgbench.calibration.ranked import TOP_LABEL, sums_along
from fgbench.calibration.rows import row_blocks

if TYPE_CHECKING:
    from fgbench.data import Predictions

Floats = NDArray[np.float64]
Weights = NDArray[Any]

_TEMPORARIES = 6
"""Arrays as large as the sums that a metric needs at a time: together they fit the cache."""
_SMALLEST = 1e-300
_LARGEST_TABLE = 1 << 20


def auroc(predictions: Predictions, weights: Weights, *, label: int) -> Floats:
    """Return the probability that a positive scores above a negative, ties counting half.

    NaN where either is missing. Source: Fawcett 2006.
    """
    sums = sums_along(predictions, label, weights)
    area = np.empty(len(weights))
    for rows in row_blocks(len(weights), _TEMPORARIES * len(sums.score)):
        hits = sums.outcome[rows]
        misses = sums.weight[rows] - hits
        pairs = misses[:, 1:] + misses[:, :-1]
        favorable = np.einsum("rc,rc->r", np.diff(hits, axis=1), pairs)
        with np.errstate(invalid="ignore", divide="ignore"):
            area[rows] = favorable / (2.0 * hits[:, -1] * misses[:, -1])
    return area


def area_under_risk_coverage(predictions: Predictions, weights: Weights) -> Floats:
    """Return the mean error rate of the most confident rows, over all coverages.

    Rows of equal confidence are accepted in random order, and the result is the expectation over
    it. If m rows with e errors tie, after A rows with E errors, the k-th of them is accepted at the
    expected error rate (E + k·e/m)/(A + k). The sum over k is e + (E − A·e/m)(H(A+m) − H(A)) with
    the harmonic numbers H. Source: Geifman, Uziel and El-Yaniv 2019, eq. 2, without ties.
    """
    sums = sums_along(predictions, TOP_LABEL, weights)
    area = np.empty(len(weights))
    for rows in row_blocks(len(weights), _TEMPORARIES * len(sums.score)):
        below, right = sums.weight[rows], sums.outcome[rows]
        accepted = below[:, -1:] - below
        wrong = accepted - (right[:, -1:] - right)
        tied = np.diff(below, axis=1)
        errors = wrong[:, :-1] - wrong[:, 1:]
        share = errors / np.maximum(tied, _SMALLEST)
        harmonic = _harmonic(accepted)
        before = wrong[:, 1:] - accepted[:, 1:] * share
        risks = errors + before * (harmonic[:, :-1] - harmonic[:, 1:])
        with np.errstate(invalid="ignore"):
            area[rows] = risks.sum(axis=1) / below[:, -1]
    return area


def _harmonic(counts: Floats) -> Floats:
    """Return the harmonic numbers of counts; for fractional ones ψ(x + 1) + γ."""
    largest = float(counts.max(initial=0.0))
    whole = counts.astype(np.int64)
    if largest <= _LARGEST_TABLE and np.array_equal(whole, counts):
        return _harmonic_table(1 << max(10, int(largest).bit_length())).take(whole)
    return np.asarray(digamma(counts + 1.0) + np.euler_gamma)


@lru_cache(maxsize=2)
def _harmonic_table(size: int) -> Floats:
    return np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, size + 1))])
