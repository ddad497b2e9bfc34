"""Platt scaling (Platt 1999)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fgbench_plugins.calibrators.one_vs_rest import OneVsRest
from fgbench_plugins.calibrators.optimization import newton

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fgbench_plugins.calibrators.one_vs_rest import Map, Scores


class Platt(OneVsRest):
    """P(k) = 1/(1 + exp(a·s + b)) of the log-odds s of class k, with Platt's smoothed targets.

    More than two classes: one-vs-rest, normalized. Equivalent to scikit-learn's
    `CalibratedClassifierCV` with `method="sigmoid"`, which requires at least five rows per class.
    """

    version = "2"

    def fit_map(self, scores: Scores, positive: NDArray[np.bool_]) -> Map:
        """Fit a and b by maximum likelihood."""
        from scipy.special import expit

        hits = int(positive.sum())
        misses = len(positive) - hits
        targets = np.where(positive, (hits + 1) / (hits + 2), 1 / (misses + 2))
        inputs = np.column_stack([scores, np.ones_like(scores)])

        def nll(point: Scores) -> tuple[float, Scores, Scores]:
            logits = inputs @ point
            p = expit(logits)
            value = float((np.logaddexp(0, logits) - targets * logits).mean())
            gradient = inputs.T @ (p - targets) / len(p)
            return value, gradient, inputs.T @ (inputs * (p * (1 - p))[:, None]) / len(p)

        best = newton(nll, np.array([1.0, 0.0]), lower=np.full(2, -np.inf))
        return lambda values: np.asarray(expit(values * best[0] + best[1]), dtype=np.float64)
