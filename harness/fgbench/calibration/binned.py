"""Calibration errors over bins, each for R bootstrap replicates at once.

Every function takes predictions and `weights` (R, n), how often each row counts in each replicate,
and returns (R,). `label` is a class, whose probability is binned, or `TOP_LABEL`. Equal-width bins
are [m/M, (m+1)/M), the last one closed (`reliability.bin_index`). Equal-mass bins are each
replicate's own; rows with equal scores share one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fgbench.calibration.ranked import TOP_LABEL, Bins, sums_along
from fgbench.calibration.reliability import bin_index

if TYPE_CHECKING:
    from fgbench.data import Predictions

Floats = NDArray[np.float64]
Weights = NDArray[Any]
Scheme = Literal["width", "mass"]

_MOST_BINS = 1000
_ROWS = 1 << 14
"""Rows at once: few enough for the processor's cache."""


def binned_calibration_error(
    predictions: Predictions,
    weights: Weights,
    *,
    bins: int,
    scheme: Scheme = "width",
    label: int = TOP_LABEL,
) -> Floats:
    """Return Σ_m (n_m/n) |mean outcome − mean score| over M bins.

    Source: Guo et al. 2017, eq. 3 (equal width); Nguyen and O'Connor 2015 (equal mass).
    """
    return _weighted_gaps(bins_of(predictions, weights, bins, scheme, label))


def maximum_calibration_error(
    predictions: Predictions,
    weights: Weights,
    *,
    bins: int,
    scheme: Scheme = "width",
    label: int = TOP_LABEL,
) -> Floats:
    """Return max_m |mean outcome − mean score| over the bins that hold something.

    Source: Guo et al. 2017, eq. 5.
    """
    found = bins_of(predictions, weights, bins, scheme, label)
    largest = np.abs(_ratio(found.residual, found.weight)).max(axis=1)
    return np.where(found.weight.any(axis=1), largest, np.nan)


def classwise_calibration_error(
    predictions: Predictions, weights: Weights, *, bins: int, scheme: Scheme = "width"
) -> Floats:
    """Return the mean over the K classes of the calibration error of P(y=k).

    Source: Kull et al. 2019, section 2; Nixon et al. 2019, "static calibration error".
    """
    total = np.zeros(len(weights))
    for label in range(predictions.n_classes):
        total += binned_calibration_error(
            predictions, weights, bins=bins, scheme=scheme, label=label
        )
    return total / predictions.n_classes


def adaptive_calibration_error(predictions: Predictions, weights: Weights, *, bins: int) -> Floats:
    """Return the mean over K classes and M equal-mass bins of |mean outcome − mean P(y=k)|.

    Source: Nixon et al. 2019, section 3.2. Bins that a replicate leaves empty do not count.
    """
    total = np.zeros(len(weights))
    for label in range(predictions.n_classes):
        found = bins_of(predictions, weights, bins, "mass", label)
        gaps = np.abs(_ratio(found.residual, found.weight))
        total += gaps.sum(axis=1) / (found.weight > 0).sum(axis=1)
    return total / predictions.n_classes


def debiased_calibration_error(
    predictions: Predictions, weights: Weights, *, bins: int, label: int = TOP_LABEL
) -> Floats:
    """Return √max(0, Σ_b (n_b/n)[(ȳ_b − c̄_b)² − ȳ_b(1 − ȳ_b)/(n_b − 1)]), equal-mass bins.

    A bin of a single row has no variance to take off. Source: Kumar et al. 2019, definition 5.1.
    """
    n, outcome, residual = bins_of(predictions, weights, bins, "mass", label)
    mean = _ratio(outcome, n)
    variance = _ratio(mean * (1.0 - mean), n - 1.0)
    squares = n * (_ratio(residual, n) ** 2 - variance)
    return np.asarray(np.sqrt(np.maximum(squares.sum(axis=1) / n.sum(axis=1), 0.0)))


def swept_calibration_error(
    predictions: Predictions, weights: Weights, *, label: int = TOP_LABEL
) -> Floats:
    """Return the equal-mass calibration error with as many bins as leave the ȳ_b ascending.

    The number of bins grows from 1, to 1,000 at most, until an accuracy is below that of the bin
    before it; the last number that was still monotone counts. Source: Roelofs et al. 2022,
    algorithm 1, with p = 1.
    """
    sums = sums_along(predictions, label, weights)
    result = _weighted_gaps(sums.in_bins(1, "mass"))
    number, going = np.arange(len(weights)), np.ones(len(weights), dtype=np.bool_)
    for bins in range(2, min(_MOST_BINS, int(sums.total.max(initial=0.0))) + 1):
        found = sums.in_bins(bins, "mass")
        going &= _ascending(found)
        if not going.any():
            break
        result[number[going]] = _weighted_gaps(found)[going]
        if 2 * going.sum() < len(going):  # most have ended: go on with the others alone
            number, sums, going = number[going], sums.of(going), going[going]
    return result


def brier_calibration(predictions: Predictions, weights: Weights, *, bins: int) -> Floats:
    """Return Σ_k Σ_b (n_b/n)(ȳ_b − p̄_b)², the part of the Brier score that calibration removes.

    M equal-mass bins of each P(y=k). What is left of the score is its refinement.
    Source: Murphy 1973; DeGroot and Fienberg 1983.
    """
    total = np.zeros(len(weights))
    for label in range(predictions.n_classes):
        found = bins_of(predictions, weights, bins, "mass", label)
        squares = _ratio(found.residual**2, found.weight).sum(axis=1)
        total += squares / found.weight.sum(axis=1)
    return total


def bins_of(
    predictions: Predictions, weights: Weights, bins: int, scheme: Scheme, label: int
) -> Bins:
    """Return the sums in M bins of the probability of a class, or of the confidence."""
    complement = label == 0 and predictions.n_classes == 2  # whose order is that of class 1
    sums = sums_along(predictions, 1 if complement else label, weights)
    return sums.in_bins(bins, scheme, complement=complement)


def ece(probabilities: ArrayLike, labels: ArrayLike, *, bins: int = 15) -> float:
    """Return Σ_m (n_m/n) |mean outcome − mean score| over M equal-width bins, of two arrays.

    `probabilities` (n,) are P(y=1), and the error that of the positive class; (n, K) are those of
    all classes, and the error the top label's. `labels` (n,) are class indices. Source: Guo et al.
    2017, eq. 3. Raises `DataError` for a score that is no probability.
    """
    scores, classes = np.asarray(probabilities), np.asarray(labels)
    gaps = np.zeros(bins)
    first = np.arange(_ROWS) * (scores.shape[1] if scores.ndim == 2 else 1)
    for start in range(0, len(scores), _ROWS):
        p, y = scores[start : start + _ROWS], classes[start : start + _ROWS]
        if p.ndim == 2:
            guess = p.argmax(axis=1)
            p, y = p.ravel().take(first[: len(p)] + guess), guess == y
        p = p.astype(np.float64, copy=False)
        gaps += np.bincount(bin_index(p, bins), y - p, minlength=bins)
    return float(np.abs(gaps).sum() / len(scores))


def _ascending(bins: Bins) -> NDArray[np.bool_]:
    """Return of each replicate whether no bin's rate is below that of a bin before it, (R,)."""
    filled = bins.weight > 0
    rates = np.where(filled, _ratio(bins.outcome, bins.weight), -np.inf)
    return np.asarray(((rates >= np.maximum.accumulate(rates, axis=1)) | ~filled).all(axis=1))


def _weighted_gaps(bins: Bins) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(bins.residual).sum(axis=1) / bins.weight.sum(axis=1))


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Return numerator/denominator, 0 where the denominator is not positive."""
    out = np.zeros(np.broadcast_shapes(numerator.shape, denominator.shape))
    return np.divide(numerator, denominator, out=out, where=denominator > 0)
