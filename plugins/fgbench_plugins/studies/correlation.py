"""Pearson's and Spearman's correlation with 95 % intervals.

The interval of Pearson's coefficient is Fisher's (1915), as in scipy: tanh(artanh r ± z/√(n−3)),
exact for normal pairs as n grows. That of Spearman's, which scipy does not have, is the same with
the standard error √((1 + ρ²/2)/(n−3)) of Bonett and Wright (2000).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

from fgbench.inference import CONFIDENCE

Kind = Literal["pearson", "spearman"]

FEWEST_FOR_INTERVAL = 4
FEWEST_FOR_VALUE = 3
_Z = float(stats.norm.ppf((1 + CONFIDENCE) / 2))


@dataclass(frozen=True)
class Correlation:
    """A coefficient over n pairs; `reason` says why the value or the interval is None."""

    kind: Kind
    n: int
    value: float | None
    ci95: tuple[float, float] | None
    reason: str | None = None

    def to_value(self) -> dict[str, Any]:
        """Return it as JSON values."""
        value = asdict(self)
        value["ci95"] = None if self.ci95 is None else list(self.ci95)
        return value


def correlation(kind: Kind, x: Sequence[float], y: Sequence[float]) -> Correlation:
    """Return the coefficient of n pairs of finite numbers, with its 95 % interval."""
    n = len(x)
    if n < FEWEST_FOR_VALUE:
        return Correlation(kind, n, None, None, f"{n} points have no correlation")
    first, second = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if kind == "spearman":
        first, second = stats.rankdata(first), stats.rankdata(second)
    if _is_constant(first) or _is_constant(second):
        return Correlation(kind, n, None, None, "one of the two is the same everywhere")
    result = stats.pearsonr(first, second)  # of ranks: Spearman's
    value = float(result.statistic)
    if n < FEWEST_FOR_INTERVAL:
        reason = f"no interval exists for fewer than {FEWEST_FOR_INTERVAL} points"
        return Correlation(kind, n, value, None, reason)
    if math.isclose(abs(value), 1.0, abs_tol=1e-12):
        return Correlation(kind, n, value, None, "Fisher's z is infinite where all points agree")
    if kind == "pearson":
        low, high = result.confidence_interval(CONFIDENCE)
        ci95 = (float(low), float(high))
    else:
        ci95 = fisher_interval(value, n, variance=1 + value**2 / 2)
    return Correlation(kind, n, value, ci95)


def fisher_interval(value: float, n: int, *, variance: float = 1.0) -> tuple[float, float]:
    """Return the 95 % interval of a coefficient of which nothing but its value is known.

    `variance`/(n − 3) is the variance of artanh of the coefficient; n is at least 4.
    """
    half = _Z * math.sqrt(variance / (n - 3))
    center = math.atanh(value)
    return math.tanh(center - half), math.tanh(center + half)


def smallest_separable(n: int) -> float | None:
    """Return the smallest |r| whose interval excludes 0; None where no interval exists."""
    if n < FEWEST_FOR_INTERVAL:
        return None
    return math.tanh(_Z / math.sqrt(n - 3))


def _is_constant(values: Any) -> bool:
    """Return whether values differ by nothing but rounding."""
    return bool(np.ptp(values) <= 1e-12 * np.abs(values).max())
