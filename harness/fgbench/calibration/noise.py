"""The noise floor: the expected calibration error of a perfectly calibrated model.

The labels of such a model are y ~ p. Its expected binned calibration error has a closed form,
because the number of events in a bin is approximately binomial: the probabilities of its rows
differ by less than the bin's width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, xlog1py, xlogy

from fgbench.calibration.binned import Scheme, bins_of
from fgbench.calibration.ranked import TOP_LABEL
from fgbench.calibration.rows import unit_weights

if TYPE_CHECKING:
    from fgbench.data import Predictions

Floats = NDArray[np.float64]


def noise_floor(
    predictions: Predictions, *, bins: int, scheme: Scheme = "width", label: int = TOP_LABEL
) -> float:
    """Return the binned calibration error expected of a perfectly calibrated model.

    Σ_b E|X_b − n_b p̄_b| / n with X_b ~ Binomial(n_b, p̄_b): outcomes drawn from these predictions
    (METHODS: y ~ p). The labels of the predictions are not used.
    """
    sums = bins_of(predictions, unit_weights(predictions), bins, scheme, label)
    n = sums.weight[0]
    mean = np.divide(sums.outcome[0] - sums.residual[0], n, out=np.zeros_like(n), where=n > 0)
    return float(mean_absolute_deviations(n, mean).sum() / n.sum())


def classwise_noise_floor(
    predictions: Predictions, *, bins: int, scheme: Scheme = "width"
) -> float:
    """Return the mean of the K classes' noise floors."""
    labels = range(predictions.n_classes)
    floors = [noise_floor(predictions, bins=bins, scheme=scheme, label=label) for label in labels]
    return float(np.mean(floors))


def mean_absolute_deviations(n: NDArray[Any], p: Floats) -> Floats:
    """Return E|X − np| of X ~ Binomial(n, p): 2k·C(n, k)·p^k·(1−p)^(n−k+1), k = ⌊np⌋ + 1.

    Source: De Moivre 1730; Johnson 1957, eq. 2. Same shapes in and out; 0 where n is 0.
    """
    n = np.asarray(n, dtype=np.float64)
    p = np.clip(p, 0.0, 1.0)
    k = np.minimum(np.floor(n * p) + 1.0, np.maximum(n, 1.0))
    log_terms = (
        (gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(np.maximum(n - k, 0.0) + 1.0))
        + xlogy(k, p)
        + xlog1py(n - k + 1.0, -p)
    )
    with np.errstate(over="ignore"):
        return np.where((n > 0) & (p > 0) & (p < 1), 2.0 * k * np.exp(log_terms), 0.0)
