"""Temperature scaling (Guo et al. 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fgbench import Calibrator, Predictions
from fgbench_plugins.calibrators.one_vs_rest import require_labeled

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_MIN_TEMPERATURE, _MAX_TEMPERATURE = 0.01, 100.0
_TOLERANCE = 1e-9
"""Relative step of 1/T at which the search stops."""
_BLOCK = 1 << 16
"""Maximum number of elements of a block, chosen to fit into the cache of a core."""


class Temperature(Calibrator):
    """Divides the logits by the T > 0 that minimizes the held-out NLL; keeps the predicted class.

    T is restricted to [0.01, 100], because held-out rows that are all classified correctly (or no
    better than chance) would move it to 0 (or infinity). The NLL is convex in 1/T. If it is flat, T
    is 1. Held-out rows of a single class suffice. scikit-learn's `CalibratedClassifierCV` with
    `method="temperature"` gives the same T if all classes are held out, but takes several times as
    long and cannot be fitted if a class is missing.
    """

    preserves_accuracy = True

    def fit(self, held_out: Predictions) -> None:
        """Fit T, `temperature_`."""
        require_labeled("temperature", held_out, classes=1)
        slopes = _slopes(_relative(held_out), held_out.labels)
        self.temperature_ = 1 / _root(slopes, 1 / _MAX_TEMPERATURE, 1 / _MIN_TEMPERATURE)

    def transform(self, predictions: Predictions) -> Predictions:
        """Return logits / T, shifted so that the largest is 0."""
        return predictions.with_logits(_relative(predictions) / self.temperature_)


def _relative(predictions: Predictions) -> NDArray[np.float64]:
    """Return the logits minus the maximum of each row; −∞ becomes −1e6."""
    logits = np.asarray(predictions.logits, dtype=np.float64)
    return np.maximum(logits - logits.max(axis=1, keepdims=True), -1e6)


def _slopes(
    logits: NDArray[np.float64], labels: NDArray[np.int64]
) -> Callable[[float], tuple[float, float]]:
    """Return a function of b = 1/T: the first and second derivative of the NLL.

    With p = softmax(b·z) these are the means over rows of E_p[z] − z_y and of Var_p[z].
    """
    n, n_classes = logits.shape
    columns = np.ascontiguousarray(logits.T)  # sums over few long rows are faster
    own = float(logits[np.arange(n), labels].mean())
    width = max(1, _BLOCK // n_classes)

    def slopes(inverse: float) -> tuple[float, float]:
        first = second = 0.0
        for start in range(0, n, width):
            block = columns[:, start : start + width]
            weights = block * inverse
            np.exp(weights, out=weights)
            total = weights.sum(axis=0)
            weights *= block
            mean = weights.sum(axis=0) / total
            weights *= block
            first += float(mean.sum())
            second += float((weights.sum(axis=0) / total - mean * mean).sum())
        return first / n - own, second / n

    return slopes


def _root(slopes: Callable[[float], tuple[float, float]], low: float, high: float) -> float:
    """Return the minimizer of a convex function in [low, high], 1 if the function is flat.

    Newton's method, starting at 1. If a step leaves the bracketing interval, and at every eighth
    step, the end of the interval is evaluated if it has not been yet, and otherwise its geometric
    mean, because Newton steps are short far from the minimum of an exponential.
    """
    point, evaluated = 1.0, {low: False, high: False}
    for iteration in range(1, 500):
        slope, curvature = slopes(point)
        if slope == 0:
            return point
        if slope > 0:
            if point == low:
                return low
            high, evaluated[point] = point, True
        else:
            if point == high:
                return high
            low, evaluated[point] = point, True
        candidate = point - slope / curvature if curvature > 0 else np.inf
        if iteration % 8 == 0 or not low < candidate < high:
            end = high if slope < 0 else low
            candidate = float(np.sqrt(low * high)) if evaluated[end] else end
        if abs(candidate - point) <= _TOLERANCE * point:
            return candidate
        point = candidate
    return point
