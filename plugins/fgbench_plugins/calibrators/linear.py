"""Linear maps of the logits: vector, matrix and Dirichlet scaling."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import Field

from fgbench import Calibrator, DataError, Predictions, seed_for
from fgbench_plugins.calibrators.one_vs_rest import require_labelled
from fgbench_plugins.calibrators.optimization import quasi_newton

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Labels = NDArray[np.int64]

_FOLDS = 3
_STRENGTHS = tuple(10.0**power for power in range(6, -4, -1))
_HOPELESS = 0.01
"""In nats: where the NLL is this far above the least one, weaker regularisation is not tried."""


class VectorScaling(Calibrator):
    """softmax(w ∘ z + b) of logits z: a weight and a bias for each class, by maximum likelihood.

    Guo et al. 2017, section 4.2. Identity: w = 1, b = 0. A class that is not among the held-out
    labels gets a bias of about −10.
    """

    def fit(self, held_out: Predictions) -> None:
        """Find `weights_` (K,) and `bias_` (K,); `DataError` unless two classes are held out."""
        require_labelled("vector", held_out, classes=2)
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
    """Base of matrix and Dirichlet scaling, which differ in their inputs."""

    regularization: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    _name: ClassVar[str]

    def fit(self, held_out: Predictions) -> None:
        """Find `weights_` (K, K), `bias_` (K,) and `regularization_`.

        `DataError` unless two classes are held out, and for fewer rows than two a fold.
        """
        require_labelled(self._name, held_out, classes=2)
        inputs, labels = self._inputs(held_out), held_out.labels
        strength = self.regularization
        if strength is None:
            if len(labels) < 2 * _FOLDS:
                raise DataError(
                    f"calibrator {self._name}: {len(labels)} held-out rows are too few to choose "
                    f"its regularization by cross-validation, which takes {2 * _FOLDS}: set it, or "
                    "use a larger validation split."
                )
            strength = _cross_validated(inputs, labels)
        self.regularization_ = strength
        found = _fit(inputs, labels, strength)
        self.weights_, self.bias_ = _unpacked(found, inputs.shape[1])

    def transform(self, predictions: Predictions) -> Predictions:
        """Return W x + b."""
        return predictions.with_logits(self._inputs(predictions) @ self.weights_.T + self.bias_)

    @abstractmethod
    def _inputs(self, predictions: Predictions) -> Array:
        """Return x, (n, K)."""


class MatrixScaling(_FullMatrix):
    """softmax(W z + b) of the logits z (Guo et al. 2017, section 4.2), with ODIR.

    The mean NLL plus λ·(mean of the squared off-diagonal elements of W) + μ·(mean of the squared
    elements of b), λ = μ = `regularization` (Kull et al. 2019, section 4); where that is none, it
    is chosen among 10⁶, 10⁵, …, 10⁻³ by the NLL of 3-fold cross-validation on the held-out rows.
    """

    _name = "matrix"

    def _inputs(self, predictions: Predictions) -> Array:
        return finite_logits(predictions)


class Dirichlet(_FullMatrix):
    """softmax(W ln p + b) of the probabilities p: Dirichlet calibration (Kull et al. 2019).

    As `matrix`, on logarithms of probabilities: it does not depend on what a classifier adds to all
    logits of a row.
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
    """Return W and b, as one vector, at the minimum of the penalised NLL, which is convex."""
    k = inputs.shape[1]
    off_diagonal = (1 - np.eye(k)) * strength / (k * (k - 1))

    def objective(point: Array) -> tuple[float, Array]:
        weights, bias = _unpacked(point, k)
        value, slope = _nll(inputs @ weights.T + bias, labels)
        value += float((off_diagonal * weights**2).sum() + strength * bias @ bias / k)
        by_weights = slope.T @ inputs + 2 * off_diagonal * weights
        by_bias = slope.sum(axis=0) + 2 * strength * bias / k
        return value, np.append(by_weights.ravel(), by_bias)

    identity = np.append(np.eye(k).ravel(), np.zeros(k))
    return quasi_newton(objective, identity, start=start, rough=rough)


def _unpacked(point: Array, k: int) -> tuple[Array, Array]:
    return point[: k * k].reshape(k, k), point[k * k :]


def _cross_validated(inputs: Array, labels: Labels) -> float:
    """Return the strength with the least NLL of rows left out; of equals, the largest.

    From the largest downwards, each fit starting where the last one ended, until the NLL is clearly
    above the least one.
    """
    rng = np.random.default_rng(seed_for("folds of ODIR", len(labels)))
    folds = rng.permutation(len(labels)) % _FOLDS
    starts: list[Array | None] = [None] * _FOLDS
    best, least = _STRENGTHS[0], np.inf
    for strength in _STRENGTHS:
        loss = 0.0
        for fold in range(_FOLDS):
            kept, left = folds != fold, folds == fold
            fitted = _fit(inputs[kept], labels[kept], strength, start=starts[fold], rough=True)
            starts[fold] = fitted
            weights, bias = _unpacked(fitted, inputs.shape[1])
            loss += _nll(inputs[left] @ weights.T + bias, labels[left])[0] / _FOLDS
        if loss > least + _HOPELESS:
            break
        if loss < least:
            best, least = strength, loss
    return best


def _nll(logits: Array, labels: Labels) -> tuple[float, Array]:
    """Return the mean NLL and its gradient by the logits, (n, K)."""
    rows = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)
    probabilities = np.exp(shifted)
    total = probabilities.sum(axis=1, keepdims=True)
    value = float((np.log(total[:, 0]) - shifted[rows, labels]).mean())
    probabilities /= total
    probabilities[rows, labels] -= 1
    return value, probabilities / len(labels)
