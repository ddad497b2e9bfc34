"""Reliability diagrams: equal-width bins of a probability and the frequency of its event.

Bin m of M is [m/M, (m+1)/M), and the last bin is closed, so that it contains p = 1. A probability
is compared with the floats of `bin_edges`, not multiplied by M and rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fgbench.calibration.rows import cached_by_predictions, row_blocks
from fgbench.errors import DataError

if TYPE_CHECKING:
    from fgbench.data import Predictions

Floats = NDArray[np.float64]

_NEAR = 1e-9
"""Distance from an edge, in bin widths, within which p·M may be rounded over the edge."""


@dataclass(frozen=True, eq=False)
class ReliabilityDiagram:
    """M bins of a confidence and the mean outcome in each.

    `edges` (M+1,), `counts` (M,), `mean_confidence` (M,) and `mean_outcome` (M,), both NaN where a
    bin is empty.
    """

    edges: Floats
    counts: NDArray[np.int64]
    mean_confidence: Floats
    mean_outcome: Floats

    @property
    def gaps(self) -> Floats:
        """FITG's D_m = mean outcome − mean confidence, (M,): negative is overconfidence."""
        return self.mean_outcome - self.mean_confidence

    @property
    def expected_calibration_error(self) -> float:
        """Σ_m (n_m/n) |D_m| over the bins that are not empty."""
        filled = self.counts > 0
        shares = self.counts[filled] / self.counts.sum()
        return float(np.sum(shares * np.abs(self.gaps[filled])))


def bin_edges(bins: int) -> Floats:
    """Return the M+1 edges of M equal-width bins of [0, 1]."""
    if bins < 1:
        raise DataError(f"a reliability diagram needs at least one bin, not {bins}.")
    return np.linspace(0.0, 1.0, bins + 1)


def bin_index(p: ArrayLike, bins: int) -> NDArray[np.int64]:
    """Return the bin of each probability (n,), int64 in 0 … bins − 1.

    Bins are [lo, hi), the last one closed. Raises `DataError` for a probability that is NaN or
    outside [0, 1].
    """
    probability = np.asarray(p, dtype=np.float64)
    place = probability * bins
    if place.size and not (place.min() >= 0.0 and place.max() <= bins):
        position = int(np.flatnonzero(~((probability >= 0.0) & (probability <= 1.0)))[0])
        raise DataError(
            f"probability {probability.reshape(-1)[position]} at position {position} is not in "
            "[0, 1]: pass probabilities, not logits or percent."
        )
    edges = bin_edges(bins)
    index = place.astype(np.int64)
    place -= index
    if place.size and (place.min() < _NEAR or place.max() > 1.0 - _NEAR):
        # Near an edge the product may be rounded over it, so compare with the edges themselves.
        near = np.flatnonzero((place < _NEAR) | (place > 1.0 - _NEAR))
        exact = np.searchsorted(edges, probability[near], side="right") - 1
        index[near] = np.minimum(exact, bins - 1)
    return index


def reliability_diagram(confidence: ArrayLike, outcome: ArrayLike, bins: int) -> ReliabilityDiagram:
    """Return the reliability diagram of n confidences in [0, 1] and their outcomes, 0 or 1.

    Source: FITG, section 3.1; Guo et al. 2017, eq. 2.
    """
    p = np.asarray(confidence, dtype=np.float64)
    came_true = np.asarray(outcome, dtype=np.float64)
    if p.ndim != 1 or p.shape != came_true.shape:
        raise DataError(
            f"confidence and outcome must both have the shape (n,), not {p.shape} and "
            f"{came_true.shape}."
        )
    index = bin_index(p, bins)
    counts = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        return ReliabilityDiagram(
            edges=bin_edges(bins),
            counts=counts.astype(np.int64),
            mean_confidence=np.bincount(index, p, minlength=bins) / counts,
            mean_outcome=np.bincount(index, came_true, minlength=bins) / counts,
        )


@cached_by_predictions
def top_label(predictions: Predictions) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the probability of the predicted class, float64 (n,), and whether it is correct.

    Where classes tie, the first is predicted.
    """
    confidence = np.empty(len(predictions), dtype=np.float64)
    correct = np.empty(len(predictions), dtype=np.bool_)
    for rows in row_blocks(len(predictions), predictions.n_classes):
        probabilities = probability_block(predictions, rows)
        correct[rows] = probabilities.argmax(axis=1) == predictions.labels[rows]
        confidence[rows] = probabilities.max(axis=1)
    return confidence, correct


@cached_by_predictions
def positive_class(predictions: Predictions) -> tuple[Floats, NDArray[np.bool_]]:
    """Return P(y=1), float64 (n,), and whether y = 1, of binary predictions."""
    if predictions.n_classes != 2:
        raise DataError(
            f"the positive class is defined for two classes, not {predictions.n_classes}: use the "
            "top label."
        )
    return class_probability(predictions, 1), predictions.labels == 1


def class_probability(predictions: Predictions, label: int) -> Floats:
    """Return the probability of one class, float64 (n,)."""
    probability = np.empty(len(predictions), dtype=np.float64)
    for rows in row_blocks(len(predictions), predictions.n_classes):
        probability[rows] = probability_block(predictions, rows)[:, label]
    return probability


def probability_block(predictions: Predictions, rows: slice) -> Floats:
    """Return the probabilities of some rows, float64 (b, K): the original ones, or the softmax."""
    if predictions.given is not None:
        return np.array(predictions.given[rows], dtype=np.float64)
    values = predictions.logits[rows].astype(np.float64)
    values -= values.max(axis=1, keepdims=True)
    np.exp(values, out=values)
    values /= values.sum(axis=1, keepdims=True)
    return values
