"""Linear maps of the logits: vector, matrix and Dirichlet scaling."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import Field

from fgbench import Calibrator, DataError, Predictions, seed_for
from fgbench_plugins.calibrators.one_vs_rest import require_labeled
from fgbench_plugins.calibrators.optimization import quasi_newton

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Labels = NDArray[np.int64]

_FOLDS = 3
_STRENGTHS = tuple(10.0**power for power in range(6, -4, -1))
_STOP_MARGIN = 0.01
"""In nats: weaker regularization is not tried once the NLL exceeds the lowest by this much."""


class VectorScaling(Calibrator):
    """softmax(w ∘ z + b) of logits z: a weight and a bias per class, by maximum likelihood.

    Guo et al. 2017, section 4.2. Identity: w = 1, b = 0. A class without held-out rows gets a bias
    of about −10.
    """

    def fit(self, held_out: Predictions) -> None:
        """Fit `weights_` (K,) and `bias_` (K,); `DataError` without two held-out classes."""
        require_labeled("vector", held_out, classes=2)
        inputs, k = finite_logits(held_out), held_out.n_classes

        def nll(point: Array) -> tuple[float, Array]:
            value, slope = _nll(inputs * point[:k] + point[k:], held_out.labels)
            return value, np.concatenate([(slope * inputs).sum(axis=0), slope.sum(axis=0)])

        best = quasi_newton(nll, np.repeat([1.0, 0.0], k))
        self.weights_, self.bias_ = best[:k], best[k:]

    def transform(self, predictions: Predictions) -> Predictions:
        """Return w ∘ z + b."""
        return predictions.with_logits(finite_logits(predictions) * self.weights_ + self.bias_)


class _FullMatrix(Calibrator):
    """Base of matrix and Dirichlet scaling, which differ only in their inputs."""

    regularization: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    _name: ClassVar[str]

    def fit(self, held_out: Predictions) -> None:
        """Fit `weights_` (K, K), `bias_` (K,) and `regularization_`.

        `DataError` without two held-out classes, and for fewer than two rows per fold.
        """
        require_labeled(self._name, held_out, classes=2)
        inputs, labels = self._inputs(held_out), held_out.labels
        strength = self.regularization
        if strength is None:
            if len(labels) < 2 * _FOLDS:
                raise DataError(
                    f"calibrator {self._name}: {len(labels)} held-out rows are too few to choose "
                    f"the regularization by cross-validation, which requires {2 * _FOLDS}: set "
                    "regularization=, or use a larger validation split."
                )
            strength = _cross_validated(inputs, labels)
        self.regularization_ = strength
        parameters = _fit(inputs, labels, strength)
        self.weights_, self.bias_ = _unpacked(parameters, inputs.shape[1])

    def transform(self, predictions: Predictions) -> Predictions:
        """Return W x + b."""
        return predictions.with_logits(self._inputs(predictions) @ self.weights_.T + self.bias_)

    @abstractmethod
    def _inputs(self, predictions: Predictions) -> Array:
        """Return x, (n, K)."""


class MatrixScaling(_FullMatrix):
    """softmax(W z + b) of the logits z (Guo et al. 2017, section 4.2), with ODIR.

    The mean NLL plus λ·(mean of the squared off-diagonal elements of W) + μ·(mean of the squared
    elements of b), λ = μ = `regularization` (Kull et al. 2019, section 4). By default it is chosen
    among 10⁶, 10⁵, …, 10⁻³ by the NLL of 3-fold cross-validation on the held-out rows.
    """

    _name = "matrix"

    def _inputs(self, predictions: Predictions) -> Array:
        return finite_logits(predictions)


class Dirichlet(_FullMatrix):
    """softmax(W ln p + b) of the probabilities p: Dirichlet calibration (Kull et al. 2019).

    Like `matrix`, on log-probabilities: it is invariant to constants added to all logits of a row.
    """

    _name = "dirichlet"

    def _inputs(self, predictions: Predictions) -> Array:
        from scipy.special import log_softmax

        return np.asarray(log_softmax(finite_logits(predictions), axis=1), dtype=np.float64)


def finite_logits(predictions: Predictions) -> Array:
    """Return the logits, none of them more than 700 below the largest of its row."""
    logits = np.asarray(predictions.logits, dtype=np.float64)
    return np.maximum(logits, logits.max(axis=1, keepdims=True) - 700)


def _fit(
    inputs: Array,
    labels: Labels,
    strength: float,
    *,
    start: Array | None = None,
    rough: bool = False,
) -> Array:
    """Return W and b, as one vector, that minimize the penalized NLL, which is convex."""
    k = inputs.shape[1]
    off_diagonal = (1 - np.eye(k)) * strength / (k * (k - 1))

    def objective(point: Array) -> tuple[float, Array]:
        weights, bias = _unpacked(point, k)
        value, slope = _nll(inputs @ weights.T + bias, labels)
        value += float((off_diagonal * weights**2).sum() + strength * bias @ bias / k)
        weight_gradient = slope.T @ inputs + 2 * off_diagonal * weights
        bias_gradient = slope.sum(axis=0) + 2 * strength * bias / k
        return value, np.append(weight_gradient.ravel(), bias_gradient)

    identity = np.append(np.eye(k).ravel(), np.zeros(k))
    return quasi_newton(objective, identity, start=start, rough=rough)


def _unpacked(point: Array, k: int) -> tuple[Array, Array]:
    return point[: k * k].reshape(k, k), point[k * k :]


def _cross_validated(inputs: Array, labels: Labels) -> float:
    """Return the strength with the lowest cross-validated NLL; ties go to the largest.

    Strengths are tried from the largest down, each fit starting at the previous one, until the NLL
    clearly exceeds the lowest.
    """
    rng = np.random.default_rng(seed_for("folds of ODIR", len(labels)))
    folds = rng.permutation(len(labels)) % _FOLDS
    starts: list[Array | None] = [None] * _FOLDS
    best, lowest = _STRENGTHS[0], np.inf
    for strength in _STRENGTHS:
        loss = 0.0
        for fold in range(_FOLDS):
            train, test = folds != fold, folds == fold
            fitted = _fit(inputs[train], labels[train], strength, start=starts[fold], rough=True)
            starts[fold] = fitted
            weights, bias = _unpacked(fitted, inputs.shape[1])
            logits = inputs[test] @ weights.T + bias
            loss += _nll(logits, labels[test])[0] / _FOLDS
        if loss > lowest + _STOP_MARGIN:
            break
        if loss < lowest:
            best, lowest = strength, loss
    return best


def _nll(logits: Array, labels: Labels) -> tuple[float, Array]:
    """Return the mean NLL and its gradient with respect to the logits, (n, K)."""
    rows = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)
    probabilities = np.exp(shifted)
    total = probabilities.sum(axis=1, keepdims=True)
    value = float((np.log(total[:, 0]) - shifted[rows, labels]).mean())
    probabilities /= total
    probabilities[rows, labels] -= 1
    return value, probabilities / len(labels)
