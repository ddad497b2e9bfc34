"""A reliability diagram over several seeds, with a confidence band that knows what they share."""

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
    """A reliability diagram of M bins, and a band for the share that came true in each.

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
    confidence: float = 0.95,
) -> PooledDiagram:
    """Return the diagram of all seeds together, each with confidences (n,) and outcomes (n,).

    Outcomes are 0 or 1. With `same_points` row i is one test point in every seed. Three seeds that
    put a point into one bin are then no three observations: a bin's w_i predictions of each point i
    count as n = (Σ w_i)² / Σ w_i² (Kish 1965, "Survey Sampling", the effective size of a weighted
    sample), which is cautious where the outcomes of a point differ between seeds. The band is
    Wilson's interval (1927; recommended by Brown, Cai and DasGupta 2001) for that n.

    Raises `DataError` without a seed, or for seeds of different sizes that have `same_points`.
    """
    p = [np.asarray(each, dtype=np.float64) for each in confidences]
    came_true = [np.asarray(each, dtype=np.float64) for each in outcomes]
    if not p:
        raise DataError("a reliability diagram over seeds needs the predictions of at least one.")
    sizes = {each.shape for each in p}
    if same_points and len(sizes) > 1:
        raise DataError(f"the same points cannot have predictions of the shapes {sorted(sizes)}.")
    diagram = reliability_diagram(np.concatenate(p), np.concatenate(came_true), bins)
    effective = diagram.counts.astype(np.float64)
    if same_points and len(p) > 1:
        effective = _effective_counts(p, bins)
    low, high = wilson_interval(diagram.mean_outcome, effective, confidence=confidence)
    return PooledDiagram(diagram, low, high)


def wilson_interval(share: Floats, n: Floats, *, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Return both ends of Wilson's interval for a binomial share, each of the shape of `share`.

    `n`, of that shape too, is the number of observations and need be no whole number; where it is
    0 both ends are NaN. Source: Wilson 1927; Brown, Cai and DasGupta 2001, "Interval Estimation for
    a Binomial Proportion".
    """
    z = ndtri(0.5 + confidence / 2.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        shrink = 1.0 + z**2 / n
        centre = (share + z**2 / (2.0 * n)) / shrink
        half = z / shrink * np.sqrt(share * (1.0 - share) / n + z**2 / (4.0 * n**2))
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def _effective_counts(confidences: Sequence[Floats], bins: int) -> Floats:
    """Return (Σ w_i)² / Σ w_i² of each bin, 0 where it is empty; w_i is point i's predictions."""
    n = len(confidences[0])
    cells = np.concatenate([np.arange(n) * bins + bin_index(p, bins) for p in confidences])
    weights = np.bincount(cells, minlength=n * bins).reshape(n, bins).astype(np.float64)
    total, squares = weights.sum(axis=0), (weights**2).sum(axis=0)
    effective: Floats = np.divide(total**2, squares, out=np.zeros(bins), where=squares > 0)
    return effective
