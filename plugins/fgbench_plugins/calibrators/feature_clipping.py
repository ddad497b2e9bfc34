"""Feature clipping (Tao et al. 2024, arXiv 2410.19796)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fgbench import Calibrator, DataError, Predictions, calibration
from fgbench_plugins.calibrators.one_vs_rest import require_labeled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_LIMITS = np.arange(1, 2001) / 100
_MIN_ACCURACY_RATIO = 0.99
_BINS = 15
_SPARE_ROWS = 10
_NONLINEAR, _IMPRECISE = 1e-3, 0.01
"""Maximum residual of a linear head, and maximum standard error of the logits of clipped features,
as fractions of the standard deviation of the logits."""


class FeatureClipping(Calibrator):
    """Logits W f' + b of penultimate features f clipped to [−C, C], with the classifier's head.

    C, `limit_`, minimizes the top-label ECE (15 bins) of the held-out rows over 0.01, 0.02, …, 20,
    subject to keeping more than 0.99 of their accuracy; ties go to the largest, and C is infinite
    if no value improves on no clipping. Features of a tanh pooler are within ±1, so larger values
    of C have no effect there.

    If the classifier does not provide its head, least squares on the held-out rows estimates it;
    d + 1 independent rows determine a linear layer. `DataError` then for fewer than d + 11 rows,
    for logits that are not linear in the features, and for features that leave the head
    undetermined in directions that clipping changes, as after layer normalization.
    """

    needs = frozenset({"features"})

    def fit(self, held_out: Predictions) -> None:
        """Find the head and C."""
        require_labeled("feature-clipping", held_out, classes=1)
        features, labels = _features(held_out), held_out.labels
        logits = np.asarray(held_out.logits, dtype=np.float64)
        estimate = LinearHead(features, logits) if held_out.head is None else None
        weights = _known_weights(held_out) if estimate is None else estimate.weights
        accuracy, lowest = _accuracy_and_ece(logits, labels)
        self.limit_, self._weights = np.inf, weights
        for limit, clipped in _all_clipped(features, logits, weights):
            clipped_accuracy, error = _accuracy_and_ece(clipped, labels)
            if clipped_accuracy > _MIN_ACCURACY_RATIO * accuracy and error < lowest:
                self.limit_, lowest = limit, error
        if estimate is None:
            return
        if estimate.standard_error(_excess(features, self.limit_)) > _IMPRECISE * logits.std():
            raise DataError(
                f"calibrator feature-clipping: the features of {len(features)} held-out rows do "
                "not determine the classifier's head in directions that clipping changes; use a "
                "larger validation split."
            )

    def transform(self, predictions: Predictions) -> Predictions:
        """Return W f' + b, computed as the logits minus W (f − f')."""
        removed = _excess(_features(predictions), self.limit_) @ self._weights
        return predictions.with_logits(np.asarray(predictions.logits) - removed)


class LinearHead:
    """The linear map from features (n, d) to logits (n, K), estimated by least squares.

    `weights` is (d, K). Raises `DataError` if there are too few rows or the map is not linear.
    """

    def __init__(self, features: Array, logits: Array) -> None:
        n, d = features.shape
        if not np.isfinite(logits).all():
            raise DataError(
                "calibrator feature-clipping: a logit is −infinity, which no linear head produces."
            )
        if n < d + 1 + _SPARE_ROWS:
            raise DataError(
                f"calibrator feature-clipping: {n} held-out rows are too few to estimate the "
                f"classifier's head for {d} features, which requires {d + 1 + _SPARE_ROWS}; use a "
                "larger validation split."
            )
        centered = logits - logits.mean(axis=0)
        left, sizes, self._axes = np.linalg.svd(
            features - features.mean(axis=0), full_matrices=False
        )
        self._sizes = np.where(sizes > sizes[0] * n * np.finfo(np.float64).eps, sizes, 0.0)
        inverse = np.divide(1, self._sizes, out=np.zeros(d), where=self._sizes > 0)
        self.weights = self._axes.T @ (inverse[:, None] * (left.T @ centered))
        residuals = centered - (features - features.mean(axis=0)) @ self.weights
        self._noise = float(np.sqrt((residuals**2).sum() / (n - d - 1) / logits.shape[1]))
        if not self._noise <= _NONLINEAR * logits.std():
            raise DataError(
                "calibrator feature-clipping: this classifier's logits are not a linear function "
                "of its features, so the logits of clipped features are unknown."
            )

    def standard_error(self, change: Array) -> float:
        """Return the standard error of the logits of `change` (n, d), infinity if undetermined."""
        components = change @ self._axes.T
        undetermined = self._sizes == 0
        if (components[:, undetermined] ** 2).sum() > 1e-12 * (change**2).sum():
            return float("inf")
        scaled = components[:, ~undetermined] / self._sizes[~undetermined]
        return self._noise * float(np.sqrt((scaled**2).sum(axis=1).mean()))


def _known_weights(predictions: Predictions) -> Array:
    head, features = np.asarray(predictions.head, dtype=np.float64), _features(predictions)
    if head.shape != (features.shape[1] + 1, predictions.n_classes):
        raise DataError(
            f"calibrator feature-clipping: a head of shape {head.shape} does not map "
            f"{features.shape[1]} features to {predictions.n_classes} logits."
        )
    return head[:-1]


def _features(predictions: Predictions) -> Array:
    if predictions.features is None:
        raise DataError("calibrator feature-clipping: these predictions have no features.")
    features = np.asarray(predictions.features, dtype=np.float64)
    if not np.isfinite(features).all():
        raise DataError("calibrator feature-clipping: a feature is NaN or infinite.")
    return features


def _excess(features: Array, limit: float) -> Array:
    """Return f − f', the part that clipping to ±limit removes."""
    return features - np.clip(features, -limit, limit)


def _all_clipped(features: Array, logits: Array, weights: Array) -> Iterator[tuple[float, Array]]:
    """Yield each limit that clips a feature, largest first, with the resulting logits (n, K).

    Σ_{|f_j| > C} (f_j − C·sign f_j) W_j grows by the features that newly exceed C, so all limits
    together need one pass over the features.
    """
    from scipy.sparse import csr_array

    sizes = np.abs(features).ravel()
    exceeded = np.searchsorted(_LIMITS, sizes, side="left")  # number of limits below
    order = np.argsort(exceeded, kind="stable")
    ends = np.searchsorted(exceeded[order], np.arange(len(_LIMITS) + 2))
    rows, columns = np.divmod(order, features.shape[1])
    values = features.ravel()[order]
    linear, signs = np.zeros_like(logits), np.zeros_like(logits)
    for count in range(len(_LIMITS), 0, -1):
        new = slice(ends[count], ends[count + 1])
        if new.start < new.stop:
            indices = rows[new], columns[new]
            linear += csr_array((values[new], indices), shape=features.shape) @ weights
            signs += csr_array((np.sign(values[new]), indices), shape=features.shape) @ weights
        if ends[count] < len(order):
            limit = float(_LIMITS[count - 1])
            yield limit, logits - (linear - limit * signs)


def _accuracy_and_ece(logits: Array, labels: NDArray[np.int64]) -> tuple[float, float]:
    """Return accuracy and top-label ECE."""
    top = logits.argmax(axis=1)
    total = np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1)
    correct = top == labels
    diagram = calibration.reliability_diagram(1 / total, correct, _BINS)
    return float(correct.mean()), diagram.expected_calibration_error
