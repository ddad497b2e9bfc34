"""Ranking metrics, for R bootstrap replicates at a time.

Every function takes predictions and `weights` (R, n), the count of each row in each replicate, and
returns (R,). `label` is the class whose probability ranks, or `TOP_LABEL`, where the confidence
should rank correct predictions above wrong ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fgbench.calibration.ranked import TOP_LABEL, sums_along
from fgbench.calibration.rows import row_blocks

if TYPE_CHECKING:
    from fgbench.data import Predictions

Floats = NDArray[np.float64]
Weights = NDArray[Any]

_TEMPORARIES = 4
"""Arrays as large as the sums that a metric needs at a time: together they fit the cache."""


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

    Each row contributes the error rate of the rows that are at least as confident; rows of equal
    confidence are accepted together. Source: Geifman, Uziel and El-Yaniv 2019, eq. 2.
    """
    sums = sums_along(predictions, TOP_LABEL, weights)
    area = np.empty(len(weights))
    for rows in row_blocks(len(weights), _TEMPORARIES * len(sums.score)):
        below, right = sums.weight[rows], sums.outcome[rows]
        accepted = below[:, -1:] - below[:, :-1]
        wrong = accepted - (right[:, -1:] - right[:, :-1])
        risk = wrong / (accepted + (accepted == 0.0))  # none accepted: none wrong
        with np.errstate(invalid="ignore"):
            shares = np.einsum("rc,rc->r", np.diff(below, axis=1), risk)
            area[rows] = shares / below[:, -1]
    return area
