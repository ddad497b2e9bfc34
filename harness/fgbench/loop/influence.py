"""What one more training row would do to the validation loss, for the linear head of a classifier.

Influence functions (Koh and Liang 2017, eq. 2) of the head's weights, features held fixed. With
φ̃ = (φ, 1), residual r = p − onehot(y) and gradient g = r φ̃ᵀ of the cross-entropy of a row, adding
row i to the training set changes the mean loss L of other rows by about

    −∇Lᵀ H⁻¹ g_i,        H = Σ_train (diag(p) − p pᵀ) ⊗ φ̃φ̃ᵀ + λI

where λ/2 ‖W‖² is the penalty that stands beside the summed cross-entropy; biases have none. For a
logistic regression this is the exact derivative by the row's weight. A whole row does as much while
the head has little room for it; one that surprises a weakly penalised head (C = 300 on `tc`) moves
the loss the same way and in the same order, but twenty times less. The head of a network that was
trained whole is no minimum, and has no penalty of its own: H is damped by a tenth of its mean
diagonal, and influences order rows rather than measure them. That is what TRAK does (Park et al.
2023, section 3), for the last layer alone, which is small enough to need no projection.

One linear system is solved, by conjugate gradients, however many rows are asked about: H is never
formed, so features may be sparse and wide.
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

    Floats = NDArray[np.float64]

_TOLERANCE = 1e-6
_MOST_STEPS = 1000
_DAMPING = 0.1
_ABSENT = 1e-9
"""Classes with less probability than this on an average training row were never learnt."""


@dataclass(frozen=True)
class Sensitivity:
    """H⁻¹∇L as (K, d + 1): what to multiply a row's gradient with. `residual` is relative."""

    weights: Floats
    residual: float


def selection_sensitivity(
    classifier: Classifier, training: Split, validation: Split, rows: IntArray, *, seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return facts as JSON values, and the arrays that `sample_influences` starts from.

    `rows` are the selection rows of the validation split, halved at random by `seed`: what is made
    from a row of one half is judged by the other, or each text would be praised for its own source.
    """
    from fgbench.loop.splitting import halve

    trained = classifier.head(training.inputs)
    chosen = validation.take(rows)
    held_out = classifier.head(chosen.inputs)
    p_trained, p_held_out = softmax(trained.logits), softmax(held_out.logits)
    lean = residuals(p_held_out, chosen.labels)
    side = np.zeros(len(rows), dtype=np.int64)
    side[halve(chosen.labels, "influence halves", seed)[1]] = 1
    weights, left = [], []
    own = np.empty(len(rows))
    for half in (0, 1):
        judges = np.flatnonzero(side != half)
        if not len(judges):  # a single selection row has none
            weights.append(np.full((p_trained.shape[1], trained.features.shape[1] + 1), np.nan))
            own[side == half] = np.nan
            continue
        gradient = mean_gradient(held_out.features[judges], lean[judges])
        solved = sensitivity(trained.features, p_trained, gradient, trained.penalty)
        weights.append(solved.weights)
        left.append(solved.residual)
        judged = np.flatnonzero(side == half)
        own[judged] = influences(
            solved.weights, held_out.features[judged], p_held_out[judged], chosen.labels[judged]
        )
    facts = {"exact": trained.penalty is not None, "residual": max(left, default=0.0)}
    return facts, {"weights": np.stack(weights), "rows": rows, "side": side, "own": own}


def sample_influences(
    classifier: Classifier,
    samples: Sequence[Mapping[str, Any]],
    stored: Mapping[str, Any],
    is_text: bool,
) -> dict[str, Floats]:
    """Return the influence of each sample, and that of its source, (n,) each; NaN without one.

    A sample counts with its source's label, also where relabelling turned it away.
    """
    position = {int(row): at for at, row in enumerate(stored["rows"])}
    places = np.array([position[item["source"]["index"]] for item in samples], dtype=np.int64)
    result = np.full(len(samples), np.nan)
    usable = np.array([at for at, item in enumerate(samples) if item["input"]], dtype=np.int64)
    if len(usable):
        values: Any = [samples[at]["input"] for at in usable]
        seen = classifier.head(values if is_text else np.array(values, dtype=np.float64))
        p = softmax(seen.logits)
        labels = np.array([samples[at]["source"]["label"] for at in usable], dtype=np.int64)
        for half in (0, 1):
            some = np.flatnonzero(stored["side"][places[usable]] == half)
            result[usable[some]] = influences(
                stored["weights"][half], seen.features[some], p[some], labels[some]
            )
    return {"influence": result, "source_influence": stored["own"][places]}


def mean_gradient(features: Any, residuals: Floats) -> Floats:
    """Return the gradient (K, d + 1) of the mean loss of n rows; features (n, d), maybe sparse."""
    n = len(residuals)
    return np.column_stack([(features.T @ residuals).T, residuals.sum(axis=0)]) / n


def softmax(logits: FloatArray) -> Floats:
    """Return the probabilities (n, K) of logits (n, K)."""
    values = np.array(logits, dtype=np.float64)
    values -= values.max(axis=1, keepdims=True)
    np.exp(values, out=values)
    values /= values.sum(axis=1, keepdims=True)
    return values


def residuals(probabilities: Floats, labels: IntArray) -> Floats:
    """Return p − onehot(y), (n, K)."""
    result = np.array(probabilities, dtype=np.float64)
    result[np.arange(len(labels)), labels] -= 1
    return result


def sensitivity(
    features: Any, probabilities: Floats, gradient: Floats, penalty: float | None
) -> Sensitivity:
    """Solve H s = ∇L for the training rows' features (n, d) and probabilities (n, K).

    Classes that no training row speaks of play no part. `penalty` None: damped.
    """
    from scipy.sparse.linalg import LinearOperator, cg

    known = probabilities.mean(axis=0) > _ABSENT
    p = probabilities[:, known]
    shape = (int(known.sum()), gradient.shape[1])
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
    wanted = gradient[known].ravel()
    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
    preconditioner = LinearOperator((size, size), matvec=lambda v: v / scale, dtype=np.float64)
    solution, _ = cg(operator, wanted, rtol=_TOLERANCE, maxiter=_MOST_STEPS, M=preconditioner)
    left = np.linalg.norm(product(solution) - wanted)
    weights = np.full(gradient.shape, np.nan)
    weights[known] = solution.reshape(shape)
    return Sensitivity(weights, float(left) / max(float(np.linalg.norm(wanted)), 1e-300))


def influences(weights: Floats, features: Any, probabilities: Floats, labels: IntArray) -> Floats:
    """Return by how much the mean loss would change with each of n rows in the training set, (n,).

    Negative is better. NaN for a row of a class that the head has never learnt.
    """
    known = np.logical_not(np.isnan(weights).any(axis=1))
    lean = residuals(probabilities, labels)[:, known]
    scores = features @ weights[known, :-1].T + weights[known, -1]
    result = -(lean * scores).sum(axis=1)
    result[~known[labels]] = np.nan
    return np.asarray(result)


def _squared(features: Any) -> Any:
    return features.multiply(features) if hasattr(features, "multiply") else np.square(features)
