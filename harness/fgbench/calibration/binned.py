"""Calibration errors over bins, for R bootstrap replicates at a time.

Every function takes predictions and `weights` (R, n), the count of each row in each replicate, and
returns (R,). `label` is the class whose probability is binned, or `TOP_LABEL`. Equal-width bins are
[m/M, (m+1)/M), the last one closed (`reliability.bin_index`). Equal-mass bins are formed for each
replicate; rows with equal scores share a bin.
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
"""Rows per block, which fit the processor's cache."""


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
    """Return max_m |mean outcome − mean score| over the bins that are not empty.

    Source: Guo et al. 2017, eq. 5.
    """
    sums = bins_of(predictions, weights, bins, scheme, label)
    largest = np.abs(_ratio(sums.residual, sums.weight)).max(axis=1)
    return np.where(sums.weight.any(axis=1), largest, np.nan)


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
        sums = bins_of(predictions, weights, bins, "mass", label)
        gaps = np.abs(_ratio(sums.residual, sums.weight))
        total += gaps.sum(axis=1) / (sums.weight > 0).sum(axis=1)
    return total / predictions.n_classes


def debiased_calibration_error(
    predictions: Predictions, weights: Weights, *, bins: int, label: int = TOP_LABEL
) -> Floats:
    """Return √max(0, Σ_b (n_b/n)[(ȳ_b − c̄_b)² − ȳ_b(1 − ȳ_b)/(n_b − 1)]), equal-mass bins.

    No variance is subtracted for bins of a single row. Source: Kumar et al. 2019, definition 5.1.
    """
    n, outcome, residual = bins_of(predictions, weights, bins, "mass", label)
    mean = _ratio(outcome, n)
    variance = _ratio(mean * (1.0 - mean), n - 1.0)
    squares = n * (_ratio(residual, n) ** 2 - variance)
    return np.asarray(np.sqrt(np.maximum(squares.sum(axis=1) / n.sum(axis=1), 0.0)))


def swept_calibration_error(
    predictions: Predictions, weights: Weights, *, label: int = TOP_LABEL
) -> Floats:
    """Return the equal-mass calibration error with the largest number of bins with ascending ȳ_b.

    The number of bins grows from 1, up to 1,000, until the ȳ_b are no longer monotone; the number
    before that is used. Source: Roelofs et al. 2022, algorithm 1, with p = 1.
    """
    sums = sums_along(predictions, label, weights)
    result = _weighted_gaps(sums.in_bins(1, "mass"))
    replicate, monotone = np.arange(len(weights)), np.ones(len(weights), dtype=np.bool_)
    for bins in range(2, min(_MOST_BINS, int(sums.total.max(initial=0.0))) + 1):
        binned = sums.in_bins(bins, "mass")
        monotone &= _ascending(binned)
        if not monotone.any():
            break
        result[replicate[monotone]] = _weighted_gaps(binned)[monotone]
        if 2 * monotone.sum() < len(monotone):  # most are finished: continue with the others
            replicate, sums = replicate[monotone], sums.of(monotone)
            monotone = monotone[monotone]
    return result


def brier_calibration(predictions: Predictions, weights: Weights, *, bins: int) -> Floats:
    """Return Σ_k Σ_b (n_b/n)(ȳ_b − p̄_b)², the part of the Brier score that calibration removes.

    M equal-mass bins of each P(y=k). Source: Murphy 1973; DeGroot and Fienberg 1983. The Brier
    score is calibration − resolution + uncertainty plus what its bins do not resolve: Σ_k of the
    variance of p within bins less twice its covariance with the outcome (Stephenson, Coelho and
    Jolliffe 2008).
    """
    total = np.zeros(len(weights))
    for label in range(predictions.n_classes):
        sums = bins_of(predictions, weights, bins, "mass", label)
        squares = _ratio(sums.residual**2, sums.weight).sum(axis=1)
        total += squares / sums.weight.sum(axis=1)
    return total


def brier_refinement(predictions: Predictions, weights: Weights, *, bins: int) -> Floats:
    """Return Σ_k Σ_b (n_b/n) ȳ_b(1 − ȳ_b), the variance of the outcomes within bins.

    M equal-mass bins of each P(y=k). It is uncertainty − resolution, and never exceeds the
    uncertainty. Source: Murphy 1973; DeGroot and Fienberg 1983.
    """
    total = np.zeros(len(weights))
    for label in range(predictions.n_classes):
        sums = bins_of(predictions, weights, bins, "mass", label)
        within = sums.outcome - _ratio(sums.outcome**2, sums.weight)
        total += within.sum(axis=1) / sums.weight.sum(axis=1)
    return total


def brier_uncertainty(predictions: Predictions, weights: Weights) -> Floats:
    """Return Σ_k ȳ(1 − ȳ), the Brier score of always predicting the shares of the classes."""
    total = np.zeros(len(weights))
    for label in range(predictions.n_classes):
        sums = bins_of(predictions, weights, 1, "width", label)
        share = sums.outcome[:, 0] / sums.weight[:, 0]
        total += share * (1.0 - share)
    return total


def bins_of(
    predictions: Predictions, weights: Weights, bins: int, scheme: Scheme, label: int
) -> Bins:
    """Return the sums in M bins of the probability of a class, or of the confidence."""
    complement = label == 0 and predictions.n_classes == 2  # uses the order of class 1
    sums = sums_along(predictions, 1 if complement else label, weights)
    return sums.in_bins(bins, scheme, complement=complement)


def ece(probabilities: ArrayLike, labels: ArrayLike, *, bins: int = 15) -> float:
    """Return Σ_m (n_m/n) |mean outcome − mean score| over M equal-width bins of two arrays.

    With `probabilities` (n,) of class 1 it is the error of the positive class, with (n, K) that of
    the top label. `labels` (n,) are class indices. Source: Guo et al. 2017, eq. 3. Raises
    `DataError` for a score that is not a probability.
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
    """Return for each replicate whether the bins' rates never decrease, (R,)."""
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
