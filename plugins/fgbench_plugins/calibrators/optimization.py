"""Minimization of smooth convex functions, for calibrators fitted by maximum likelihood."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.float64]

RIDGE = 1e-6
"""Weight of the squared distance to the start, added to a mean NLL in nats.

It is negligible in a fit that the data determine. It makes the minimum unique, and finite if the
held-out rows are separable or lack a class.
"""

_MIN_GAIN = 1e-16
"""The search stops if the expected decrease of a step is smaller than this."""


def newton(
    derivatives: Callable[[Array], tuple[float, Array, Array]], start: Array, lower: Array
) -> Array:
    """Return the minimizer of a convex function of a few variables with lower bounds.

    `derivatives` returns the value, the gradient (d,) and the Hessian (d, d); `RIDGE` times the
    squared distance to `start` is added. Projected Newton method (Bertsekas 1982): Newton steps in
    the free variables, halved until the value decreases.
    """
    point = start.astype(np.float64)
    for _ in range(200):
        value, gradient, hessian = _regularized(derivatives, point, start)
        free = (point > lower) | (gradient < 0)
        step = np.zeros_like(point)
        step[free] = np.linalg.solve(hessian[np.ix_(free, free)], -gradient[free])
        if -gradient @ step < _MIN_GAIN:
            return point
        length = 1.0
        while True:
            candidate = np.maximum(point + length * step, lower)
            expected = float(gradient @ (candidate - point))
            candidate_value = _regularized(derivatives, candidate, start)[0]
            if candidate_value <= value + 1e-4 * expected:
                break
            length /= 2
            if length < 1e-6:  # any further decrease is below rounding error
                return point
        point = candidate
    return point


def quasi_newton(
    function: Callable[[Array], tuple[float, Array]],
    center: Array,
    *,
    start: Array | None = None,
    rough: bool = False,
) -> Array:
    """Return the minimizer of a convex function of many variables, by scipy's L-BFGS.

    `function` returns the value and the gradient; `RIDGE` times the squared distance to `center` is
    added. The search starts at `start`, by default at `center`. A `rough` minimum is precise enough
    to compare values.
    """
    from scipy.optimize import minimize

    def regularized(point: Array) -> tuple[float, Array]:
        value, gradient = function(point)
        offset = point - center
        return value + RIDGE * float(offset @ offset), gradient + 2 * RIDGE * offset

    relative, slope = (1e-6, 1e-4) if rough else (1e-12, 1e-7)
    options = {"maxiter": 2000, "maxfun": 5000, "maxcor": 20, "ftol": relative, "gtol": slope}
    first = center if start is None else start
    result: Any = minimize(regularized, first, jac=True, method="L-BFGS-B", options=options)
    return np.asarray(result.x, dtype=np.float64)


def _regularized(
    derivatives: Callable[[Array], tuple[float, Array, Array]], point: Array, start: Array
) -> tuple[float, Array, Array]:
    value, gradient, hessian = derivatives(point)
    offset = point - start
    return (
        value + RIDGE * float(offset @ offset),
        gradient + 2 * RIDGE * offset,
        hessian + 2 * RIDGE * np.eye(len(point)),
    )
