"""Calibration errors without the contribution of chance, and their intervals.

The sum T = Σ_c a_c |X_c/n_c − s_c| over the bins of a diagram is above 0 for a perfectly
calibrated classifier too: X_c of the n_c rows of a cell have the event, and their number varies by
chance. The measured gaps d_c = X_c/n_c − s_c span a family of populations with the event rates
q_c(λ) = s_c + λ·d_c. Their error θ(λ) = Σ a_c |q_c − s_c| goes from 0, for a calibrated
classifier, through T at λ = 1. X_c is binomial, which gives mean, variance and skewness of T in
each population without simulation.

- The *corrected* error is θ(λ̂) with E[T | λ̂] = T: the error of which T is the expected
  measurement. It is 0 where T is not above its mean under perfect calibration, the noise floor.
- The *interval* holds each θ(λ) under which T is not extreme at 5 %. At λ = 0 large T are extreme,
  and away from it both tails are. The interval therefore starts at 0 exactly where a test of
  perfect calibration does not reject at 5 %, is the ordinary two-sided one away from 0, and always
  contains the corrected error.
- The *chance limit* is the 95 % quantile of T under perfect calibration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from fgbench.calibration.binned import bins_of
from fgbench.calibration.noise import mean_absolute_deviations
from fgbench.calibration.ranked import TOP_LABEL
from fgbench.calibration.rows import unit_weights
from fgbench.parts.metric import Gaps

if TYPE_CHECKING:
    from fgbench.data import Predictions

Floats = NDArray[np.float64]

CONFIDENCE = 0.95

_SCALES = np.concatenate([np.linspace(0.0, 1.0, 25), np.geomspace(1.06, 8.0, 16)])
"""The grid of λ. Between its points, θ and the moments of T are linear."""
_TWO_SIDED = 0.5
"""Standard deviations from the noise floor at which both tails have 2.5 %."""
_FEWEST_ROWS = 4
_OF_PATTERN = 0.08
"""By how much the measured pattern of gaps adds to the standard deviation, in simulations."""
_PRIOR = 2.0
"""Rows with the rate of the scores that are added to a cell to estimate its variance."""
_NOTHING = 1e-12
_FARTHEST = 30.0
"""Standard deviations that stand for a quantile of probability 0."""


@dataclass(frozen=True)
class Corrected:
    """A calibration error without chance, its 95 % interval, and the limit of chance."""

    value: float
    low: float
    high: float
    chance_limit: float


def gaps_of_bins(predictions: Predictions, *, bins: int, label: int = TOP_LABEL) -> Gaps:
    """Return the gaps of M equal-width bins of the probability of a class, or of the confidence."""
    sums = bins_of(predictions, unit_weights(predictions), bins, "width", label)
    rows, outcomes, residuals = sums.weight[0], sums.outcome[0], sums.residual[0]
    trials = rows
    if predictions.groups is not None:
        _, unit, sizes = np.unique(predictions.groups, return_inverse=True, return_counts=True)
        trials = bins_of(predictions, 1.0 / sizes[unit][None, :], bins, "width", label).weight[0]
    filled = np.maximum(rows, 1.0)
    return Gaps(
        weight=rows / rows.sum(),
        score=np.clip((outcomes - residuals) / filled, 0.0, 1.0),
        outcome=outcomes / filled,
        trials=trials,
    )


def corrected(gaps: Gaps) -> Corrected | None:
    """Return the corrected calibration error with its interval and the chance limit.

    None for fewer than four rows per cell, of which the interval is not known to be valid.
    """
    filled = gaps.trials > 0
    if gaps.trials.sum() < _FEWEST_ROWS * filled.sum():
        return None
    a, s, y = (
        np.asarray(part[filled], dtype=np.float64)
        for part in (gaps.weight, gaps.score, gaps.outcome)
    )
    n = np.asarray(np.maximum(np.rint(gaps.trials[filled]), 1.0), dtype=np.float64)
    measured = float(np.abs(y - s) @ a)
    pattern = _pattern(a, s, y, n)
    pattern *= measured / max(float(np.abs(pattern) @ a), _NOTHING)
    rate: Floats = np.clip(s + _SCALES[:, None] * pattern, 0.0, 1.0)
    error: Floats = np.abs(rate - s) @ a
    mean, deviation, skewness = _moments(a, s, rate, n)
    # λ in units in which T is normal with variance 1 and mean `place`, at least 0.
    place = np.maximum.accumulate(np.maximum(mean - mean[0], 0.0) / deviation)
    away = np.minimum(place / _TWO_SIDED, 1.0)
    tail = (1.0 - CONFIDENCE) / 2.0 * away
    deviation = deviation * (1.0 + _OF_PATTERN * away)
    upper = mean + deviation * _quantile(CONFIDENCE + tail, skewness)
    lower = mean + deviation * _quantile(tail, skewness)
    value = _crossing(mean, error, measured)
    return Corrected(
        value=value,
        low=min(value, _crossing(upper, error, measured)),
        high=max(value, _crossing(lower, error, measured)),
        chance_limit=float(upper[0]),
    )


def _pattern(a: Floats, s: Floats, y: Floats, n: Floats) -> Floats:
    """Return gaps (C,) without most of their noise: their signs and relative sizes.

    The measured gaps are shrunk towards a straight line in the score (overconfidence is one), by
    the share of their variance about it that chance explains (Efron and Morris 1975).
    """
    gap = y - s
    softened = (n * y + _PRIOR * s) / (n + _PRIOR)
    noise = np.maximum(softened * (1.0 - softened) / n, _NOTHING)
    columns = np.stack([np.ones_like(s), s - 0.5], axis=1)
    weighted = columns / noise[:, None]
    ridge = _NOTHING * np.eye(2) * float(np.sum(1.0 / noise))
    line = columns @ np.linalg.solve(weighted.T @ columns + ridge, weighted.T @ gap)
    excess = float(np.sum((gap - line) ** 2 / noise)) - max(len(s) - 2, 0)
    true = max(excess, 0.0) / float(np.sum(1.0 / noise))
    pattern = line + true / (true + noise) * (gap - line)
    return np.asarray(pattern if np.abs(pattern) @ a > _NOTHING else gap)


def _moments(a: Floats, s: Floats, rate: Floats, n: Floats) -> tuple[Floats, Floats, Floats]:
    """Return mean, standard deviation and skewness of T for event rates (L, C), each (L,).

    |X/n − s| is taken as the absolute value of a normal variable. Its mean is corrected by the
    difference from the binomial at λ = 0, which vanishes as the gap leaves 0.
    """
    shift = np.abs(rate - s)
    # A cell without an event, or without its complement, has a rate that is not 0 or 1.
    softened = (n * rate + _PRIOR * s) / (n + _PRIOR)
    sigma = np.sqrt(np.maximum(softened * (1.0 - softened) / n, _NOTHING**2))
    z = shift / sigma
    bell, within = np.exp(-0.5 * z**2), 2.0 * ndtr(z) - 1.0
    density = bell / np.sqrt(2.0 * np.pi)
    first = sigma * (2.0 * density + z * within)
    second = shift**2 + sigma**2
    third = sigma**3 * (2.0 * (z**2 + 2.0) * density + (z**3 + 3.0 * z) * within)
    central = third - 3.0 * first * second + 2.0 * first**3
    spread = np.maximum(second - first**2, 0.0) @ a**2
    # The numbers of rows in the cells vary too, by which large gaps get more or less weight.
    cells = np.maximum(shift**2 @ a - (shift @ a) ** 2 / a.sum(), 0.0) / n.sum()
    exact = mean_absolute_deviations(n, s) / n - first[0]
    deviation = np.sqrt(np.maximum(spread + cells, _NOTHING**2))
    skewness = (central @ a**3) / np.maximum(spread, _NOTHING**2) ** 1.5
    return (first + bell * exact) @ a, deviation, skewness


def _quantile(probability: Floats, skewness: Floats) -> Floats:
    """Return the standardized quantile with this skewness (Cornish and Fisher 1938)."""
    z = np.maximum(ndtri(probability), -_FARTHEST)
    return np.asarray(z + skewness * (np.minimum(z**2, 9.0) - 1.0) / 6.0)


def _crossing(curve: Floats, error: Floats, measured: float) -> float:
    """Return the error at which an ascending curve over the family reaches the measured value."""
    rising = np.maximum.accumulate(curve)
    above = int(np.searchsorted(rising, measured, side="left"))
    if above == 0:
        return float(error[0])
    if above == len(rising):
        return float(error[-1])
    low, high = rising[above - 1], rising[above]
    share = (measured - low) / (high - low)
    return float(error[above - 1] + share * (error[above] - error[above - 1]))
