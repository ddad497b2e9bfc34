"""Intervals of ranks, from paired comparisons of all entries of a table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fgbench.inference.components import spread_of, two_sided
from fgbench.inference.contrasts import SIGNIFICANCE

Floats = NDArray[np.float64]


def rank_intervals(
    values: Floats, resampled: Floats, units: int, *, higher_is_better: bool
) -> NDArray[np.int_]:
    """Return the 95 % interval of the rank of each of E entries: best and worst, (E, 2).

    `values` are (E, S) for S seeds and `resampled` (E, S, R), paired by seed and replicate. The
    best rank is one more than the number of entries that are significantly better, the worst is E
    less the number that are significantly worse (Mogstad et al. 2024, "Inference for Ranks",
    section 3). The E − 1 comparisons of an entry are a family (Holm, 5 %). With one seed nothing is
    significant.
    """
    entries = len(values)
    p_values = pairwise_p_values(values, resampled, units)
    apart = _rejected(p_values)
    cost = -values.mean(axis=1) if higher_is_better else values.mean(axis=1)
    better = (apart & (cost[None, :] < cost[:, None])).sum(axis=1)
    worse = (apart & (cost[None, :] > cost[:, None])).sum(axis=1)
    return np.stack([1 + better, entries - worse], axis=1)


def _rejected(p_values: Floats) -> NDArray[np.bool_]:
    """Return which p-values of each row (E, E), but the diagonal, Holm's procedure rejects."""
    entries = len(p_values)
    own = p_values.copy()
    np.fill_diagonal(own, np.inf)
    order = np.argsort(own, axis=1, kind="stable")
    ordered = np.take_along_axis(own, order, axis=1)
    levels = SIGNIFICANCE / np.maximum(np.arange(entries - 1, -1, -1), 1)
    passed = np.logical_and.accumulate(ordered < levels, axis=1)
    rejected = np.zeros((entries, entries), dtype=np.bool_)
    np.put_along_axis(rejected, order, passed, axis=1)
    return rejected


def pairwise_p_values(values: Floats, resampled: Floats, units: int) -> Floats:
    """Return the two-sided p-value of each pair of entries, (E, E); 1 on the diagonal.

    It is that of `contrast`. The variances of all differences follow from covariance matrices.
    """
    entries, seeds = values.shape
    defined = np.asarray(~np.isnan(resampled).any(axis=(0, 1)))
    if seeds == 1 or defined.sum() < 2 or 2 * defined.sum() < resampled.shape[2]:
        return np.ones((entries, entries))
    draws = resampled[:, :, defined]
    estimate = spread_of(
        between_seeds=_of_differences(values),
        of_mean=_of_differences(draws.mean(axis=1)),
        of_each=np.mean([_of_differences(draws[:, s]) for s in range(seeds)], axis=0),
        seeds=seeds,
        units=units,
    )
    means = values.mean(axis=1)
    error = estimate.standard_error
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (means[:, None] - means[None, :]) / error
    p_values = two_sided(t, estimate.degrees_of_freedom)
    return np.where(error > 1e-12, p_values, 1.0)


def _of_differences(rows: Floats) -> Floats:
    """Return the variance of the difference of each pair of rows of (E, N), (E, E)."""
    centered = rows - rows.mean(axis=1, keepdims=True)
    products = centered @ centered.T / (rows.shape[1] - 1)
    own = np.diag(products)
    return np.asarray(np.maximum(own[:, None] + own[None, :] - 2.0 * products, 0.0))
