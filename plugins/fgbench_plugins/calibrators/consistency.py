"""Consistency calibration (Tao et al. 2024, arXiv 2410.12295) with noise on the logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from fgbench import Calibrator, Predictions, calibration, seed_for
from fgbench_plugins.calibrators.linear import finite_logits
from fgbench_plugins.calibrators.one_vs_rest import require_labeled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_NOISE = np.geomspace(0.01, 100, 81)
_BINS = 15
_MIN_SHARE = 1e-6
_BLOCK = 1 << 20
"""Maximum number of elements of a block."""


class Consistency(Calibrator):
    """P(k) = fraction of `draws` with argmax(z + ε·noise) = k, for standard normal noise.

    ε, `noise_`, minimizes the top-label ECE (15 bins) of the held-out rows over 81 log-spaced
    values from 0.01 to 100; ties go to the smallest. All rows share the same draws, so no row
    depends on another. With two classes the fraction has a closed form, Φ(Δz/(ε√2)), and nothing is
    drawn. Fractions below 1e−6 become 1e−6. The predicted class never changes: if the draws prefer
    another class by chance, it gets slightly more than the fraction of that class.
    """

    preserves_accuracy = True
    draws: Annotated[int, Field(ge=1)] = 1000

    def fit(self, held_out: Predictions) -> None:
        """Find ε, `noise_`."""
        require_labeled("consistency", held_out, classes=1)
        logits = finite_logits(held_out)
        correct = logits.argmax(axis=1) == held_out.labels
        if held_out.n_classes == 2:
            confidences = _binary_confidences(logits)
        else:
            confidences = _drawn_confidences(logits, self._noise(held_out.n_classes))
        errors = [
            calibration.reliability_diagram(confidence, correct, _BINS).expected_calibration_error
            for confidence in confidences
        ]
        self.noise_ = float(_NOISE[int(np.argmin(errors))])

    def transform(self, predictions: Predictions) -> Predictions:
        """Return the logarithms of the fractions as logits."""
        from scipy.special import log_ndtr

        logits = finite_logits(predictions)
        if predictions.n_classes == 2:
            margin = (logits[:, 1] - logits[:, 0]) / (self.noise_ * np.sqrt(2))
            return predictions.with_logits(log_ndtr(np.column_stack([-margin, margin])))
        shares = _shares(logits / self.noise_, self._noise(predictions.n_classes))
        top = np.arange(len(logits)), logits.argmax(axis=1)
        own = shares[top]
        shares[top] = -1
        shares[top] = np.maximum(own, shares.max(axis=1) * (1 + 1e-5))
        return predictions.with_logits(np.log(np.maximum(shares, _MIN_SHARE)))

    def _noise(self, n_classes: int) -> Array:
        rng = np.random.default_rng(seed_for("consistency calibration", n_classes))
        return rng.standard_normal((self.draws, n_classes))


def _binary_confidences(logits: Array) -> list[Array]:
    from scipy.special import ndtr

    margin = np.abs(logits[:, 1] - logits[:, 0]) / np.sqrt(2)
    return [np.asarray(ndtr(margin / noise)) for noise in _NOISE]


def _drawn_confidences(logits: Array, noise: Array) -> Array:
    """Return the confidence of n rows for each ε, (81, n).

    A draw g keeps the predicted class t if ε < min_j (z_t − z_j)/(g_j − g_t) over all j with
    g_j > g_t, so one pass over the draws is enough for all ε.
    """
    draws, n_classes = noise.shape
    result = np.empty((len(_NOISE), len(logits)))
    top = logits.argmax(axis=1)
    for label in np.unique(top):
        advantages = np.maximum(noise - noise[:, label : label + 1], 0)  # (draws, K)
        rows = np.flatnonzero(top == label)
        for block in np.array_split(rows, -(-len(rows) * draws // _BLOCK)):
            gaps = logits[block, label][:, None] - logits[block]
            inverse = np.zeros((len(block), draws))  # 1/ε at which the predicted class changes
            for k in range(n_classes):
                if k != label:
                    change = advantages[:, k] / np.maximum(gaps[:, k : k + 1], 1e-12)
                    np.maximum(inverse, change, out=inverse)
            inverse.sort(axis=1)
            for row, index in zip(inverse, block, strict=True):
                result[:, index] = np.searchsorted(row, 1 / _NOISE, side="right") / draws
    return result


def _shares(logits: Array, noise: Array) -> Array:
    """Return for each row (n, K) the fraction of draws that each class wins, (n, K)."""
    draws, n_classes = noise.shape
    shares = np.empty_like(logits)
    step = max(1, _BLOCK // draws)
    for start in range(0, len(logits), step):
        block = logits[start : start + step]
        best = block[:, :1] + noise[:, 0]
        winner = np.zeros(best.shape, dtype=np.int64)
        for k in range(1, n_classes):
            value = block[:, k : k + 1] + noise[:, k]
            winner[value > best] = k
            np.maximum(best, value, out=best)
        cells = winner + n_classes * np.arange(len(block))[:, None]
        counts = np.bincount(cells.ravel(), minlength=block.size)
        shares[start : start + step] = counts.reshape(block.shape) / draws
    return shares
