"""One-vs-rest calibration.

With two classes, class 1 is calibrated and class 0 is its complement. With more, each class has its
own map of its log-odds log p_k − log(1 − p_k), and the results are normalized (Zadrozny and Elkan
2002, as in scikit-learn).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fgbench import Calibrator, DataError, Predictions

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Scores: TypeAlias = NDArray[np.float64]
    Map: TypeAlias = Callable[[Scores], Scores]

_MIN_PROBABILITY = 1e-6
"""Calibrated probabilities are clipped to [1e−6, 1 − 1e−6] so that their logits are finite."""


class OneVsRest(Calibrator):
    """Base of calibrators that fit one map per class, such as Platt scaling."""

    def fit(self, held_out: Predictions) -> None:
        """Fit a map for each class.

        With more than two classes, a class without held-out rows gets the constant 1/(n + 2)
        (Laplace). Raises `DataError` for fewer than two held-out classes.
        """
        require_labeled(type(self).__name__, held_out, classes=2)
        scores = class_scores(held_out)
        columns = range(scores.shape[1])
        offset = 1 if held_out.n_classes == 2 else 0
        self._maps = [self._fit_class(scores[:, k], held_out.labels == k + offset) for k in columns]

    def transform(self, predictions: Predictions) -> Predictions:
        """Return the logarithms of the calibrated probabilities as logits."""
        scores = class_scores(predictions)
        columns = [mapping(scores[:, k]) for k, mapping in enumerate(self._maps)]
        if predictions.n_classes == 2:
            columns = [1 - columns[0], columns[0]]
        probabilities = np.clip(np.column_stack(columns), _MIN_PROBABILITY, 1 - _MIN_PROBABILITY)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        return predictions.with_logits(np.log(probabilities))

    def _fit_class(self, scores: Scores, positive: NDArray[np.bool_]) -> Map:
        if not positive.any():
            constant = 1 / (len(positive) + 2)
            return lambda values: np.full(len(values), constant)
        return self.fit_map(scores, positive)

    @abstractmethod
    def fit_map(self, scores: Scores, positive: NDArray[np.bool_]) -> Map:
        """Return a map from scores (n,) to probabilities (n,), fitted on labeled scores."""


def class_scores(predictions: Predictions) -> Scores:
    """Return the log-odds of each class against the rest, (n, K), or (n, 1) of class 1 if K = 2."""
    from scipy.special import logsumexp

    logits = np.asarray(predictions.logits, dtype=np.float64)
    logits = np.maximum(logits, logits.max(axis=1, keepdims=True) - 700)  # −∞ is a valid logit
    if predictions.n_classes == 2:
        return logits[:, 1:] - logits[:, :1]
    rest = [logsumexp(np.delete(logits, k, axis=1), axis=1) for k in range(predictions.n_classes)]
    return logits - np.column_stack(rest)


def require_labeled(name: str, held_out: Predictions, *, classes: int) -> None:
    """Raise `DataError` unless there are labeled rows of at least `classes` classes."""
    labels: Any = held_out.labels
    if len(labels) == 0 or (labels < 0).any():
        raise DataError(f"calibrator {name}: needs labeled held-out predictions, but has none.")
    if len(np.unique(labels)) < classes:
        raise DataError(
            f"calibrator {name}: all {len(labels)} held-out rows have the label {labels[0]}, but "
            "it needs two classes. Use a larger validation split, or temperature scaling."
        )
