"""Variance of a mean over training seeds, measured on one set of test rows.

A method's result varies for two reasons: another seed trains another model, and another test set
has other rows. Let δ_s be the result of seed s = 1 … S (a metric, or a paired difference of two
arms), all on the same rows. Its mean δ̄ has the variance

    V = V_seed + V_common

V_seed = s²(δ)/S is the variance between seeds, and includes the part of the row noise that each
seed has for itself. V_common is the part of the row noise that all seeds share, which no number of
seeds averages out. Let V_boot be the variance of δ̄ over resampled rows, and V̄ the mean over seeds
of the variance of δ_s over the same resampled rows. Of the shared part c and the own part i,
V_boot = c + i/S and V̄ = c + i. Therefore

    V_common = max(0, (S·V_boot − V̄)/(S − 1)).

A paired t-test over seeds (V = V_seed) is wrong when two methods differ on the rows, and a
bootstrap over rows (V = V_boot) is wrong when seeds differ. See docs/metrics.md for simulations.

δ̄/√V follows about a t distribution. The reciprocal of its degrees of freedom is the mean of those
of the two parts, weighted by variance:

    1/d = (V_seed/V)/(S − 1) + (V_common/V)/(U − 1)

with U independent rows. Satterthwaite 1946 has squared weights. With three seeds that rejects true
nulls in up to 8 % of cases at 5 %, because V is small exactly where V_seed is small by chance.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

Floats = NDArray[np.float64]


class Spread(NamedTuple):
    """Variance of a mean over seeds and its degrees of freedom; arrays of one shape."""

    variance: Floats
    degrees_of_freedom: Floats

    @property
    def standard_error(self) -> Floats:
        """√variance."""
        return np.asarray(np.sqrt(self.variance))


def spread(values: ArrayLike, resampled: ArrayLike, units: int) -> Spread:
    """Return the spread of the mean of `values` (…, S) over seeds.

    `resampled` (…, S, R) are the values on R resamples of `units` independent rows, the same for
    all seeds. With one seed, it is the spread over rows only: it describes this trained model.
    """
    theta = np.asarray(values, dtype=np.float64)
    draws = np.asarray(resampled, dtype=np.float64)
    return spread_of(
        between_seeds=np.var(theta, axis=-1, ddof=1) if theta.shape[-1] > 1 else 0.0,
        of_mean=draws.mean(axis=-2).var(axis=-1, ddof=1),
        of_each=draws.var(axis=-1, ddof=1).mean(axis=-1),
        seeds=theta.shape[-1],
        units=units,
    )


def spread_of(
    *, between_seeds: ArrayLike, of_mean: ArrayLike, of_each: ArrayLike, seeds: int, units: int
) -> Spread:
    """Return the spread from s²(δ), V_boot and V̄, arrays of one shape.

    Variances that are 0 but for rounding count as 0.
    """
    v_boot, v_each = np.asarray(of_mean, dtype=np.float64), np.asarray(of_each, dtype=np.float64)
    v_seed = np.asarray(between_seeds, dtype=np.float64) / seeds
    v_common = v_boot
    if seeds > 1:
        v_common = np.maximum(0.0, (seeds * v_boot - v_each) / (seeds - 1))
    variance = v_seed + v_common
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = (v_common / variance) / max(units - 1, 1)
        if seeds > 1:
            inverse = inverse + (v_seed / variance) / (seeds - 1)
        degrees = np.where(variance > 0.0, 1.0 / inverse, 1.0)
    return Spread(variance, degrees)


def two_sided(t: Any, degrees_of_freedom: Any) -> Floats:
    """Return P(|T| ≥ |t|) of a t distribution."""
    return np.asarray(2.0 * stdtr(degrees_of_freedom, -np.abs(t)), dtype=np.float64)


def quantile(probability: Any, degrees_of_freedom: Any) -> Floats:
    """Return the quantile of a t distribution."""
    return np.asarray(stdtrit(degrees_of_freedom, probability), dtype=np.float64)
