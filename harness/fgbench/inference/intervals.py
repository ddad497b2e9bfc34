"""Intervals of single estimates, on the scale on which each metric is nearly normal.

A metric with limits gets its interval on the log-odds scale (two limits) or the log scale (one), by
the delta method, so that the interval stays inside the limits and is as skewed as its estimate. A
calibration error gets the interval of its corrected value (`fgbench.calibration.gaps`). Both cover
test rows and, with several seeds, seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fgbench.inference.components import quantile, spread

if TYPE_CHECKING:
    from fgbench.calibration.gaps import Corrected
    from fgbench.inference.components import Spread
    from fgbench.records import Interval

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
_ROUNDING = 1e-12


def interval(
    values: Floats, resampled: Floats, units: int, limits: tuple[float, float]
) -> Interval | None:
    """Return the 95 % interval of the mean over seeds of a metric with values in `limits`.

    `values` are (S,), `resampled` (S, R) on resamples of `units` independent rows. NaN marks
    replicates in which the metric is undefined. None if those are more than half.
    """
    defined = resampled[:, ~np.isnan(resampled).any(axis=0)]
    if defined.shape[1] < 2 or 2 * defined.shape[1] < resampled.shape[1]:
        return None
    mean, estimate = float(values.mean()), spread(values, defined, units)
    error = float(estimate.standard_error)
    half = float(quantile(0.5 + CONFIDENCE / 2.0, estimate.degrees_of_freedom))
    low, high = limits
    if error <= _ROUNDING:
        return _of_constant(mean, units, limits)
    if math.isinf(low) or not low < mean < high:
        return max(low, mean - half * error), min(high, mean + half * error)
    if math.isinf(high):
        factor = math.exp(half * error / (mean - low))
        return low + (mean - low) / factor, low + (mean - low) * factor
    share = (mean - low) / (high - low)
    factor = math.exp(half * error / ((high - low) * share * (1.0 - share)))
    odds = share / (1.0 - share)
    ends = (odds / factor / (1.0 + odds / factor), odds * factor / (1.0 + odds * factor))
    return low + (high - low) * ends[0], low + (high - low) * ends[1]


def corrected_interval(
    of_seeds: Sequence[Corrected], values: Floats, resampled: Floats, units: int
) -> Interval:
    """Return the 95 % interval of the mean over seeds of corrected calibration errors.

    One seed has its own interval. With several, the distances from the estimate to its ends are
    combined as variances: the part of the row noise that seeds share, and t·√V_seed (Zou and Donner
    2008). `values` (S,) and `resampled` (S, R) are those of the measured error.
    """
    corrected = np.array([item.value for item in of_seeds])
    mean, seeds = float(corrected.mean()), len(of_seeds)
    below = float(np.mean([item.value - item.low for item in of_seeds]))
    above = float(np.mean([item.high - item.value for item in of_seeds]))
    if seeds == 1:
        return mean - below, mean + above
    shared = _shared_part(spread(values, resampled, units), values, resampled)
    of_seed = float(quantile(0.5 + CONFIDENCE / 2.0, seeds - 1)) ** 2
    of_seed *= float(corrected.var(ddof=1)) / seeds
    return (
        max(0.0, mean - math.sqrt(shared * below**2 + of_seed)),
        mean + math.sqrt(shared * above**2 + of_seed),
    )


def _shared_part(estimate: Spread, values: Floats, resampled: Floats) -> float:
    """Return the share of one seed's row noise that all seeds have in common."""
    of_each = float(resampled.var(axis=1, ddof=1).mean())
    common = float(estimate.variance) - float(values.var(ddof=1)) / len(values)
    return min(1.0, max(0.0, common / of_each)) if of_each > 0.0 else 0.0


def _of_constant(mean: float, units: int, limits: tuple[float, float]) -> Interval:
    """Return the interval of a metric that no resample changes.

    For a share of 0 or 1 it is Wilson's (1927); any other has no spread.
    """
    z = float(quantile(0.5 + CONFIDENCE / 2.0, 1e9)) ** 2
    if limits == (0.0, 1.0) and mean in limits:
        reach = z / (units + z)
        return (0.0, reach) if mean == 0.0 else (1.0 - reach, 1.0)
    return mean, mean
