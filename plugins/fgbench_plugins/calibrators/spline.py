"""Calibration with a spline of the cumulative distribution (Gupta et al. 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from fgbench import DataError, Predictions
from fgbench_plugins.calibrators.one_vs_rest import OneVsRest, require_labeled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fgbench_plugins.calibrators.one_vs_rest import Map, Scores

_MIN_PROBABILITY = 1e-6


class Spline(OneVsRest):
    """γ(p) = p + g'(t), where g is a spline of the cumulative difference of hits and scores.

    With scores in ascending order, g is the natural cubic spline with `knots` evenly spaced knots
    in [0, 1] that fits the points (i/n, Σ_{j≤i} (hit_j − p_j)/n) by least squares; t is the
    fraction of held-out scores up to p, interpolated between them and constant beyond them. This is
    the recalibration function of section 3.2 of the paper, whose KS error is max |g|. It is not
    always monotone.

    `target=classes`: one-vs-rest, normalized (class 1 only if K = 2). `target=top-label`: γ maps
    the confidence, and the other classes share the rest in proportion, as in the main experiments
    of the paper.
    """

    knots: Annotated[int, Field(ge=3)] = 6
    target: Literal["classes", "top-label"] = "classes"

    def fit(self, held_out: Predictions) -> None:
        """Fit the spline, or one per class; `DataError` for fewer rows than knots."""
        if 0 < len(held_out) < self.knots:
            raise DataError(
                f"calibrator spline: {len(held_out)} held-out rows cannot determine {self.knots} "
                "knots; use fewer knots or a larger validation split."
            )
        if self.target == "classes":
            super().fit(held_out)
            return
        require_labeled("Spline", held_out, classes=1)
        confidence = held_out.probabilities().max(axis=1)
        self._map = recalibration(
            confidence, held_out.logits.argmax(axis=1) == held_out.labels, self.knots
        )

    def fit_map(self, scores: Scores, positive: NDArray[np.bool_]) -> Map:
        """Fit the spline of one class."""
        from scipy.special import expit

        mapping = recalibration(expit(scores), positive, self.knots)
        return lambda values: mapping(expit(values))

    def transform(self, predictions: Predictions) -> Predictions:
        """Return the logarithms of the calibrated probabilities as logits."""
        if self.target == "classes":
            return super().transform(predictions)
        from scipy.special import logsumexp

        logits = np.asarray(predictions.logits, dtype=np.float64)
        logits = np.maximum(logits, logits.max(axis=1, keepdims=True) - 700)
        top = np.arange(len(logits)), logits.argmax(axis=1)
        mapped = self._map(predictions.probabilities().max(axis=1))
        confidence = np.clip(mapped, _MIN_PROBABILITY, 1 - _MIN_PROBABILITY)
        others = logits.copy()
        others[top] = -np.inf
        others += (np.log1p(-confidence) - logsumexp(others, axis=1))[:, None]
        others[top] = np.log(confidence)
        return predictions.with_logits(others)


def recalibration(scores: Scores, hits: NDArray[np.bool_], knots: int) -> Map:
    """Return γ, a map from probabilities (n,) to values that may be outside of [0, 1].

    Rows with equal scores are averaged, so that their order does not matter.
    """
    from scipy.interpolate import CubicSpline

    n = len(scores)
    distinct, group, counts = np.unique(scores, return_inverse=True, return_counts=True)
    excess = np.repeat(np.bincount(group, weights=hits) / counts - distinct, counts)
    fractions = np.arange(n + 1) / n
    cumulative = np.concatenate([[0.0], np.cumsum(excess)]) / n
    basis = CubicSpline(np.linspace(0, 1, knots), np.eye(knots), bc_type="natural")
    heights = np.linalg.lstsq(basis(fractions), cumulative, rcond=None)[0]
    middle = (np.cumsum(counts) - counts / 2) / n
    slopes = basis(middle, 1) @ heights
    return lambda values: values + np.interp(values, distinct, slopes)
