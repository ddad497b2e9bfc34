"""Influence of one more training row on the validation loss, for a classifier's linear head.

Influence functions (Koh and Liang 2017, eq. 2) of the head's weights with fixed features. With
φ̃ = (φ, 1), residual r = p − onehot(y) and gradient g = r φ̃ᵀ of a row's cross-entropy, adding row i
to the training set changes the mean loss L of other rows by about

    −∇Lᵀ H⁻¹ g_i,        H = Σ_train (diag(p) − p pᵀ) ⊗ φ̃φ̃ᵀ + λI

where λ/2 ‖W‖² is the penalty added to the summed cross-entropy; biases are not penalized. For a
logistic regression this is the exact derivative by the row's weight. Adding a whole row has about
this effect if the penalty is strong. Under a weak one (C = 300 on `tc`) a surprising row changes
the loss in the same direction and rows keep their order, but the change is twenty times smaller.
The head of a network trained end to end is not at a minimum and has no penalty of its own: H is
damped by a tenth of its mean diagonal, and influences rank rows rather than measure them, as in
TRAK (Park et al. 2023, section 3) restricted to the last layer, which is small enough to need no
projection.

One linear system is solved by conjugate gradients, for any number of rows. H is never formed, so
features may be sparse and wide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fgbench.data import FloatArray, IntArray, Split
    from fgbench.parts.classifier import Classifier
    from fgbench.samples import Sample

    Floats = NDArray[np.float64]

_TOLERANCE = 1e-6
_MAX_STEPS = 1000
_DAMPING = 0.1
_ABSENT = 1e-9
"""The head has not learned a class whose mean probability on training rows is below this."""


@dataclass(frozen=True)
class InverseHessianGradient:
    """The product H⁻¹∇L as (K, d + 1), and the relative residual of the linear system."""

    weights: Floats
    residual: float


def inverse_hessian_gradients(
    classifier: Classifier, training: Split, validation: Split, rows: IntArray, *, seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return H⁻¹∇L of two halves of the selection rows: facts as JSON values, and arrays.

    `rows` are the selection rows of the validation split, halved at random by `seed`. A sample is
    evaluated on the half without its source, or its influence would include the effect on that
    source. The arrays are what `sample_influences` takes.
    """
    from fgbench.loop.splitting import halve

    trained = classifier.head(training.inputs)
    selection = validation.take(rows)
    held_out = classifier.head(selection.inputs)
    p_trained, p_held_out = _probabilities(trained.logits), _probabilities(held_out.logits)
    held_out_residuals = residuals(p_held_out, selection.labels)
    side = np.zeros(len(rows), dtype=np.int64)
    side[halve(selection.labels, "influence halves", seed)[1]] = 1
    weights, solver_residuals = [], []
    own = np.empty(len(rows))
    for half in (0, 1):
        others = np.flatnonzero(side != half)
        if not len(others):  # there is only one selection row
            weights.append(np.full((p_trained.shape[1], trained.features.shape[1] + 1), np.nan))
            own[side == half] = np.nan
            continue
        gradient = mean_gradient(held_out.features[others], held_out_residuals[others])
        product = inverse_hessian_gradient(trained.features, p_trained, gradient, trained.penalty)
        weights.append(product.weights)
        solver_residuals.append(product.residual)
        members = np.flatnonzero(side == half)
        own[members] = influences(
            product.weights,
            held_out.features[members],
            p_held_out[members],
            selection.labels[members],
        )
    facts = {"exact": trained.penalty is not None, "residual": max(solver_residuals, default=0.0)}
    return facts, {"weights": np.stack(weights), "rows": rows, "side": side, "own": own}


def sample_influences(
    classifier: Classifier,
    samples: Sequence[Sample],
    stored: Mapping[str, Any],
    is_text: bool,
) -> dict[str, Floats]:
    """Return the influence of n samples and of their sources, (n,) each; NaN if undefined.

    A sample has its source's label, even if relabeling rejected it.
    """
    position = {int(row): at for at, row in enumerate(stored["rows"])}
    places = np.array([position[sample.source.index] for sample in samples], dtype=np.int64)
    result = np.full(len(samples), np.nan)
    usable = np.array(
        [row for row, sample in enumerate(samples) if sample.has_input], dtype=np.int64
    )
    if len(usable):
        values: Any = [samples[row].input for row in usable]
        head = classifier.head(values if is_text else np.array(values, dtype=np.float64))
        p = _probabilities(head.logits)
        labels = np.array([samples[row].source.label for row in usable], dtype=np.int64)
        for half in (0, 1):
            members = np.flatnonzero(stored["side"][places[usable]] == half)
            result[usable[members]] = influences(
                stored["weights"][half], head.features[members], p[members], labels[members]
            )
    return {"influence": result, "source_influence": stored["own"][places]}


def mean_gradient(features: Any, residuals: Floats) -> Floats:
    """Return the gradient (K, d + 1) of the mean loss of n rows; features (n, d), maybe sparse."""
    n = len(residuals)
    return np.column_stack([(features.T @ residuals).T, residuals.sum(axis=0)]) / n


def residuals(probabilities: Floats, labels: IntArray) -> Floats:
    """Return p − onehot(y), (n, K)."""
    result = np.array(probabilities, dtype=np.float64)
    result[np.arange(len(labels)), labels] -= 1
    return result


def inverse_hessian_gradient(
    features: Any, probabilities: Floats, gradient: Floats, penalty: float | None
) -> InverseHessianGradient:
    """Solve H s = ∇L for the training rows' features (n, d) and probabilities (n, K).

    Rows of classes that the head has not learned are NaN. Without a `penalty`, H is damped.
    """
    from scipy.sparse.linalg import LinearOperator, cg

    learned = probabilities.mean(axis=0) > _ABSENT
    p = probabilities[:, learned]
    shape = (int(learned.sum()), gradient.shape[1])
    spread = p * (1 - p)
    diagonal = np.column_stack([(_squared(features).T @ spread).T, spread.sum(axis=0)])
    ridge = np.full(shape, _DAMPING * diagonal.mean())
    if penalty is not None:
        ridge[:] = penalty
        ridge[:, -1] = 0.0

    def product(vector: Floats) -> Floats:
        direction = vector.reshape(shape)
        scores = features @ direction[:, :-1].T + direction[:, -1]
        curved = p * (scores - (p * scores).sum(axis=1, keepdims=True))
        result = np.column_stack([(features.T @ curved).T, curved.sum(axis=0)])
        return np.asarray(result + ridge * direction).ravel()

    scale = np.maximum((diagonal + ridge).ravel(), 1e-12)
    size = scale.size
    target = gradient[learned].ravel()
    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
    preconditioner = LinearOperator((size, size), matvec=lambda v: v / scale, dtype=np.float64)
    solution, _ = cg(operator, target, rtol=_TOLERANCE, maxiter=_MAX_STEPS, M=preconditioner)
    error = np.linalg.norm(product(solution) - target)
    weights = np.full(gradient.shape, np.nan)
    weights[learned] = solution.reshape(shape)
    residual = float(error) / max(float(np.linalg.norm(target)), 1e-300)
    return InverseHessianGradient(weights, residual)


def influences(weights: Floats, features: Any, probabilities: Floats, labels: IntArray) -> Floats:
    """Return the change of the mean loss if each of n rows joined the training set, (n,).

    Negative is better. NaN for a row of a class that the head has not learned.
    """
    learned = np.logical_not(np.isnan(weights).any(axis=1))
    row_residuals = residuals(probabilities, labels)[:, learned]
    scores = features @ weights[learned, :-1].T + weights[learned, -1]
    result = -(row_residuals * scores).sum(axis=1)
    result[~learned[labels]] = np.nan
    return np.asarray(result)


def _probabilities(logits: FloatArray) -> Floats:
    from scipy.special import softmax

    result: Floats = softmax(np.asarray(logits, dtype=np.float64), axis=1)
    return result


def _squared(features: Any) -> Any:
    return features.multiply(features) if hasattr(features, "multiply") else np.square(features)
