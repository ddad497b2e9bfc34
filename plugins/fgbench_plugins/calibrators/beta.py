"""Beta calibration (Kull, Silva Filho and Flach 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fgbench_plugins.calibrators.one_vs_rest import OneVsRest
from fgbench_plugins.calibrators.optimization import newton

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fgbench_plugins.calibrators.one_vs_rest import Map, Scores


class Beta(OneVsRest):
    """P(k) = σ(a ln p − b ln(1 − p) + c) with a, b ≥ 0, fitted by maximum likelihood.

    The three-parameter map of the paper (eq. 5 and Algorithm 1), which minimizes the convex NLL
    within the bounds; (1, 1, 0) is the identity. More than two classes: one-vs-rest, normalized.
    """

    def fit_map(self, scores: Scores, positive: NDArray[np.bool_]) -> Map:
        """Fit a, b and c to log-odds."""
        from scipy.special import expit

        inputs = _inputs(scores)
        signs = np.where(positive, 1.0, -1.0)

        def nll(point: Scores) -> tuple[float, Scores, Scores]:
            margins = signs * (inputs @ point)
            wrong = expit(-margins)
            slope = -signs * wrong / len(signs)
            curvature = wrong * (1 - wrong) / len(signs)
            value = float(np.logaddexp(0, -margins).mean())
            return value, inputs.T @ slope, inputs.T @ (inputs * curvature[:, None])

        best = newton(nll, np.array([1.0, 1.0, 0.0]), lower=np.array([0.0, 0.0, -np.inf]))
        return lambda values: np.asarray(expit(_inputs(values) @ best), dtype=np.float64)


def _inputs(scores: Scores) -> NDArray[np.float64]:
    """Return (ln p, −ln(1 − p), 1) of log-odds, (n, 3)."""
    return np.column_stack(
        [-np.logaddexp(0, -scores), np.logaddexp(0, scores), np.ones_like(scores)]
    )
