"""Reliability diagrams pooled over seeds, with a confidence band for shared test points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from fgbench.calibration.reliability import ReliabilityDiagram, bin_index, reliability_diagram
from fgbench.errors import DataError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PooledDiagram:
    """A reliability diagram of M bins with a confidence band for the mean outcome of each bin.

    `low` (M,) and `high` (M,) are the ends of the band, NaN where a bin is empty.
    """

    diagram: ReliabilityDiagram
    low: Floats
    high: Floats


def pooled_diagram(
    confidences: Sequence[ArrayLike],
    outcomes: Sequence[ArrayLike],
    bins: int,
    *,
    same_points: bool,
    units: NDArray[np.int64] | None = None,
    confidence: float = 0.95,
) -> PooledDiagram:
    """Return the diagram of all seeds together, each with confidences (n,) and outcomes (n,).

    Outcomes are 0 or 1. With `same_points`, row i is the same test point in every seed, and
    predictions of one point are not independent observations; nor are those of rows of the same
    number in `units` (n,), which needs `same_points`. A bin with w_i predictions of each point or
    unit i then has the effective size n = (Σ w_i)² / Σ w_i² (Kish 1965, "Survey Sampling"), which
    is conservative if the outcomes of a point differ between seeds. The band is Wilson's interval
    (1927; recommended by Brown, Cai and DasGupta 2001) for this n.

    Raises `DataError` without seeds, or if seeds with `same_points` have different sizes.
    """
    p = [np.asarray(values, dtype=np.float64) for values in confidences]
    came_true = [np.asarray(values, dtype=np.float64) for values in outcomes]
    if not p:
        raise DataError("a reliability diagram over seeds needs at least one seed.")
    sizes = {values.shape for values in p}
    if same_points and len(sizes) > 1:
        raise DataError(f"seeds with the same points have different shapes: {sorted(sizes)}.")
    diagram = reliability_diagram(np.concatenate(p), np.concatenate(came_true), bins)
    effective = diagram.counts.astype(np.float64)
    if same_points and (len(p) > 1 or units is not None):
        effective = _effective_counts(p, bins, np.arange(len(p[0])) if units is None else units)
    low, high = wilson_interval(diagram.mean_outcome, effective, confidence=confidence)
    return PooledDiagram(diagram, low, high)


def wilson_interval(share: Floats, n: Floats, *, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Return both ends of Wilson's interval for a binomial share, each of the shape of `share`.

    `n` is the number of observations, of the same shape; it may be fractional, and both ends are
    NaN where it is 0. Source: Wilson 1927; Brown, Cai and DasGupta 2001, "Interval Estimation for
    a Binomial Proportion".
    """
    z = ndtri(0.5 + confidence / 2.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        shrink = 1.0 + z**2 / n
        center = (share + z**2 / (2.0 * n)) / shrink
        half = z / shrink * np.sqrt(share * (1.0 - share) / n + z**2 / (4.0 * n**2))
    return np.maximum(center - half, 0.0), np.minimum(center + half, 1.0)


def _effective_counts(confidences: Sequence[Floats], bins: int, units: NDArray[np.int64]) -> Floats:
    """Return (Σ w_i)² / Σ w_i² of each bin, 0 if it is empty; w_i counts predictions of unit i."""
    n = int(units.max()) + 1 if len(units) else 0
    cells = np.concatenate([units * bins + bin_index(p, bins) for p in confidences])
    weights = np.bincount(cells, minlength=n * bins).reshape(n, bins).astype(np.float64)
    total, squares = weights.sum(axis=0), (weights**2).sum(axis=0)
    effective: Floats = np.divide(total**2, squares, out=np.zeros(bins), where=squares > 0)
    return effective
