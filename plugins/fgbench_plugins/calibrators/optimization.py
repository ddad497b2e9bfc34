"""The minimum of a smooth convex function, for calibrators that are fitted by likelihood."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.float64]

PULL = 1e-6
"""Weight of the squared distance to the start, beside a mean NLL in nats.

It is too small to be seen in a fit that the data decide. It makes the minimum unique, and finite
where the held-out rows can be told apart without an error or a class is missing among them.
"""

_LEAST_GAIN = 1e-16
"""The search ends where a step is expected to gain less than this."""


def newton(
    derivatives: Callable[[Array], tuple[float, Array, Array]], start: Array, lower: Array
) -> Array:
    """Return where a convex function of a few numbers is least, none of them below `lower`.

    `derivatives` gives the value, the gradient (d,) and the Hessian (d, d); `PULL` to `start` is
    added. Newton's method on the numbers that are free, with halved steps until the value falls
    (Bertsekas 1982, projected Newton).
    """
    at = start.astype(np.float64)
    for _ in range(200):
        value, gradient, hessian = _pulled(derivatives, at, start)
        free = (at > lower) | (gradient < 0)
        step = np.zeros_like(at)
        step[free] = np.linalg.solve(hessian[np.ix_(free, free)], -gradient[free])
        if -gradient @ step < _LEAST_GAIN:
            return at
        length = 1.0
        while True:
            following = np.maximum(at + length * step, lower)
            expected = float(gradient @ (following - at))
            fallen = _pulled(derivatives, following, start)[0]
            if fallen <= value + 1e-4 * expected:
                break
            length /= 2
            if length < 1e-6:  # what is left to gain is below rounding
                return at
        at = following
    return at


def quasi_newton(
    function: Callable[[Array], tuple[float, Array]],
    centre: Array,
    *,
    start: Array | None = None,
    rough: bool = False,
) -> Array:
    """Return where a convex function of many numbers is least, from its value and gradient.

    `PULL` to `centre`, from where the search begins unless at `start`, is added; a `rough` minimum
    is good for comparing values. By L-BFGS, scipy's.
    """
    from scipy.optimize import minimize

    def pulled(point: Array) -> tuple[float, Array]:
        value, gradient = function(point)
        away = point - centre
        return value + PULL * float(away @ away), gradient + 2 * PULL * away

    relative, slope = (1e-6, 1e-4) if rough else (1e-12, 1e-7)
    options = {"maxiter": 2000, "maxfun": 5000, "maxcor": 20, "ftol": relative, "gtol": slope}
    first = centre if start is None else start
    found: Any = minimize(pulled, first, jac=True, method="L-BFGS-B", options=options)
    return np.asarray(found.x, dtype=np.float64)


def _pulled(
    derivatives: Callable[[Array], tuple[float, Array, Array]], at: Array, start: Array
) -> tuple[float, Array, Array]:
    value, gradient, hessian = derivatives(at)
    away = at - start
    return (
        value + PULL * float(away @ away),
        gradient + 2 * PULL * away,
        hessian + 2 * PULL * np.eye(len(at)),
    )
