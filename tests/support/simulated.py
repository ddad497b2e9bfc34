"""Simulated methods whose seeds differ in the population, and what inference says about them.

A row has two features u and v and P(y=1) = σ(1.5(u + v)). A method's model of seed s has the logit
β_s·1.5(a·u + b·v) + α_s + its own noise per row: α_s and ln β_s vary between seeds and change the
model's accuracy, NLL, Brier score and ECE in the population. Methods with (a, b) and (b, a) differ
on the rows and are equal in the population, in every metric.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from fgbench.inference import rank_intervals, spread
from fgbench.inference.components import two_sided

BINS = 15
METRICS = ("accuracy", "nll", "brier", "ece")
NULLS = {"equal arms": (0.75, 0.75), "different methods": (1.2, 0.3)}
"""a and b of the first method; those of the second are exchanged."""
LEVELS = {"none": (0.0, 0.0), "low": (0.1, 0.3), "medium": (0.3, 0.4), "high": (0.7, 0.5)}
"""Standard deviations of α_s, and of the noise per row and seed."""


@dataclass
class Found:
    """What draws of one cell gave: mean differences, their spread, and the paired t-test."""

    difference: np.ndarray
    error: np.ndarray
    degrees_of_freedom: np.ndarray
    error_of_seeds: np.ndarray
    seeds: int

    def rejected(self, shift=0.0):
        """Return the share of draws with p < .05; `shift` in standard deviations of a draw."""
        moved = self.difference + shift * self.difference.std()
        with np.errstate(divide="ignore", invalid="ignore"):
            p = two_sided(moved / self.error, self.degrees_of_freedom)
        return float((p < 0.05).mean())

    def rejected_by_seeds(self, shift=0.0):
        """Return the same of a paired t-test over seeds."""
        moved = self.difference + shift * self.difference.std()
        with np.errstate(divide="ignore", invalid="ignore"):
            p = 2 * stats.t.sf(np.abs(moved) / self.error_of_seeds, self.seeds - 1)
        return float((p < 0.05).mean())


def world(rng, n):
    """Return both features (n,) and the labels (n,)."""
    u, v = rng.normal(size=(2, n))
    return u, v, rng.random(n) < 1 / (1 + np.exp(-1.5 * (u + v)))


def models(rng, u, v, seeds, weights, level, slope=1.5):
    """Return P(y=1) of S models of one method, (S, n); `level` is of `LEVELS`, or such a pair."""
    offset, noise = LEVELS.get(level, level)
    a, b = weights
    alpha = offset * rng.normal(size=(seeds, 1))
    beta = slope * np.exp(0.7 * offset * rng.normal(size=(seeds, 1)))
    z = beta * 1.5 * (a * u + b * v) + alpha + noise * rng.normal(size=(seeds, len(u)))
    return 1 / (1 + np.exp(-z))


def row_metrics(p, y):
    """Return accuracy, NLL and Brier score of each row, (3, …, n)."""
    likelihood = np.maximum(np.where(y, p, 1 - p), 2.0**-52)
    return np.stack([(p > 0.5) == y, -np.log(likelihood), 2 * (p - y) ** 2])


def ece_sums(p, y):
    """Return the residuals of M models in their bins, (n, M · bins), for matrix products."""
    confidence, correct = np.maximum(p, 1 - p), (p > 0.5) == y
    place = np.minimum((confidence * BINS).astype(int), BINS - 1) - BINS // 2
    width = BINS - BINS // 2
    sums = np.zeros((p.shape[1], len(p) * width), dtype=np.float32)
    for model in range(len(p)):
        sums[np.arange(p.shape[1]), model * width + place[model]] = (correct - confidence)[model]
    return sums


def ece(weights, sums, count):
    """Return the ECE of M models in R replicates, (M, R)."""
    binned = (weights @ sums).reshape(len(weights), count, -1)
    return np.abs(binned).sum(axis=2).T / sums.shape[0]


def draw_weights(rng, n, replicates):
    """Return bootstrap weights (R, n)."""
    draws = rng.integers(0, n, size=(replicates, n)) + np.arange(replicates)[:, None] * n
    counts = np.bincount(draws.ravel(), minlength=replicates * n)
    return counts.reshape(replicates, n).astype(np.float32)


def ranks(rng, n, seeds, weights, *, entries=8, level=(0.03, 0.3)):
    """Return the rank intervals of methods in ascending order of their ECE, (entries, 2)."""
    u, v, y = world(rng, n)
    slopes = np.linspace(1.35, 2.6, entries)
    p = np.concatenate([models(rng, u, v, seeds, (1.0, 0.8), level, slope) for slope in slopes])
    sums = ece_sums(p, y)
    values = np.abs(sums.sum(axis=0).reshape(entries * seeds, -1)).sum(axis=1) / n
    resampled = ece(weights, sums, entries * seeds)
    return rank_intervals(
        values.reshape(entries, seeds),
        resampled.reshape(entries, seeds, -1),
        n,
        higher_is_better=False,
    )


def differences(null, n, seeds, level, draws, *, replicates=200, seed=0):
    """Return what `draws` comparisons of two methods of equal population value give, by metric."""
    rng = np.random.default_rng([seed, n, seeds, list(LEVELS).index(level), len(null)])
    first = NULLS[null]
    if null == "equal arms" and level == "none":
        level = "low"  # otherwise both arms are the same
    weights = draw_weights(rng, n, replicates)
    rows = {name: [] for name in METRICS}
    for _ in range(draws):
        u, v, y = world(rng, n)
        p = np.concatenate([models(rng, u, v, seeds, pair, level) for pair in (first, first[::-1])])
        values = row_metrics(p, y)
        difference = values[:, :seeds] - values[:, seeds:]
        sums = ece_sums(p, y)
        both, of_ece = ece(weights, sums, 2 * seeds), np.abs(
            sums.sum(axis=0).reshape(2 * seeds, -1)
        ).sum(axis=1) / n  # fmt: skip
        for name, delta, resampled in (
            *zip(
                METRICS,
                difference.mean(axis=2),
                (difference.reshape(-1, n) @ weights.T / n).reshape(3, seeds, -1),
                strict=False,
            ),
            ("ece", of_ece[:seeds] - of_ece[seeds:], both[:seeds] - both[seeds:]),
        ):
            found = spread(delta, resampled, n)
            rows[name].append(
                (
                    delta.mean(),
                    float(found.standard_error),
                    float(found.degrees_of_freedom),
                    delta.std(ddof=1) / np.sqrt(seeds),
                )
            )
    return {name: Found(*np.array(values).T, seeds) for name, values in rows.items()}
