"""Fresh boards to check what a power simulation promised, built without its code.

Rows have the logits t of a calibrated model. A model of one arm and seed has the logits
e^(g + ζ)·(t + ε), with ζ normal between seeds and ε normal between rows.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import norm

from fgbench.data import Predictions
from fgbench.inference import contrast
from support import simulated


@dataclass(frozen=True)
class World:
    """A population of rows: t = spread · normal, and how seeds and rows vary."""

    ece: float
    seed_deviation: float
    row_noise: float
    spread: float = 2.9

    @cached_property
    def sample(self):
        n, rng = 200_000, np.random.default_rng(11)
        t = self.spread * norm.ppf((np.arange(n) + 0.5) / n)
        return t, self.row_noise * rng.normal(size=n)

    @cached_property
    def nodes(self):
        return norm.ppf((np.arange(1000) + 0.5) / 1000)

    def population_ece(self, scale):
        """Return the ECE of a model, without label noise."""
        t, noise = self.sample
        p = expit(np.exp(scale) * (t + noise))
        rate = np.where(p > 0.5, expit(t), expit(-t))
        confidence = np.maximum(p, 1 - p)
        place = np.minimum((confidence * 15).astype(int), 14)
        return np.abs(np.bincount(place, rate - confidence, minlength=15)).sum() / len(t)

    @cached_property
    def curve(self):
        scales = np.linspace(-1, 3.5, 150)
        return scales, np.array([self.population_ece(scale) for scale in scales])

    def eces(self, scale, zeta):
        return np.interp(scale + zeta * self.nodes, *self.curve)

    @cached_property
    def zeta(self):
        """The standard deviation of ζ that gives `seed_deviation` at `ece`."""
        scales, errors = self.curve
        least = scales[errors.argmin()]
        scale = brentq(lambda g: np.interp(g, scales, errors) - self.ece, least, 3.5)
        return brentq(lambda zeta: self.eces(scale, zeta).std() - self.seed_deviation, 0.0, 2.0)

    def scales(self, difference):
        """Return g of two arms whose mean ECEs differ so much; the worse has at least `ece`."""
        grid = np.linspace(-0.9, 3.2, 300)
        levels = np.array([self.eces(g, self.zeta).mean() for g in grid])
        grid, levels = grid[levels.argmin() :], levels[levels.argmin() :]
        worse = max(self.ece, levels[0] + difference)
        return tuple(np.interp([worse, worse - difference], levels, grid))

    def models(self, rng, t, scale, seeds):
        """Return P(y=1) of S models, (S, n)."""
        zeta = self.zeta * rng.normal(size=(seeds, 1))
        noisy = t + self.row_noise * rng.normal(size=(seeds, len(t)))
        return expit(np.exp(scale + zeta) * noisy)

    def rows(self, rng, n):
        t = self.spread * rng.normal(size=n)
        return t, rng.random(n) < expit(t)

    def pilot(self, rng, n, seeds):
        """Return predictions of S baseline models."""
        scales, errors = self.curve
        least = int(errors.argmin())
        scale = np.interp(self.ece, errors[least:], scales[least:])
        t, y = self.rows(rng, n)
        return [
            Predictions(
                np.stack([np.zeros(n), np.log(p / (1 - p))], axis=1).astype(np.float32),
                y.astype(np.int64),
            )
            for p in np.clip(self.models(rng, t, scale, seeds), 1e-9, 1 - 1e-9)
        ]

    def power(self, difference, n, seeds, boards, *, stream=0, replicates=200):
        """Return the share of fresh boards in which the contrast has p < .05."""
        worse, better = self.scales(difference)
        weights = simulated.draw_weights(np.random.default_rng(13), n, replicates)
        found = 0
        for board in range(boards):
            rng = np.random.default_rng([board, n, seeds, stream])
            t, y = self.rows(rng, n)
            p = np.concatenate([self.models(rng, t, scale, seeds) for scale in (worse, better)])
            sums = simulated.ece_sums(p, y)
            values = np.abs(sums.sum(axis=0).reshape(2 * seeds, -1)).sum(axis=1) / n
            resampled = simulated.ece(weights, sums, 2 * seeds)
            tested = contrast(
                values[:seeds], values[seeds:], resampled[:seeds], resampled[seeds:], units=n
            )
            found += tested.p_value < 0.05 and tested.difference > 0
        return found / boards
