"""The smallest difference in ECE that a board will find, by simulation from pilot predictions.

A pilot gives the scores t of a calibrated model, logits with P(correct) = σ(t), by a logistic
regression of the labels on its logits. A simulated model of seed s has the logits e^(g + ζ_s)·(t +
ε): g makes it over- or underconfident, ζ_s varies between seeds and changes its ECE in the
population, and ε is its own noise in each row. Two arms whose expected ECEs differ by δ in the
population, one of them as far from calibration as the pilot, are evaluated on the same fresh test
rows and compared as `fgbench.inference.contrast` does.

Boards with many seeds give the mean measured difference μ(δ), its variance between seeds and that
on the rows which all seeds share, and how the bootstrap estimates the latter. From these follows
the power with any number of seeds. Near calibration ECEs are mostly chance, so μ(δ) is below δ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, expit, logit, nctdtr, nctdtrinc, ndtr, ndtri

from fgbench.calibration.gaps import corrected, gaps_of_bins
from fgbench.digests import seed_for
from fgbench.inference.components import quantile
from fgbench.inference.contrasts import FEWEST_ROWS, SIGNIFICANCE
from fgbench.numbers import number

if TYPE_CHECKING:
    from fgbench.data import Predictions

Floats = NDArray[np.float64]

POWER = 0.8
BINS = 15

DEFAULT_ACCURACY = 0.85
DEFAULT_ECE = 0.05
DEFAULT_SEED_DEVIATION = 0.02
"""Standard deviation of the ECE over seeds, as in the table of FITG."""
DEFAULT_ROW_NOISE = 0.5

_SEEDS = 8
_RESAMPLED_SEEDS = 3
_BOARDS, _FEWEST_BOARDS, _SIMULATED_ROWS = 150, 40, 150_000
_REPLICATES = 64
_BLOCKS = 160
"""Rows are resampled in blocks, of which there are at most so many."""
_POPULATION = 40_000
_COARSE = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0])
_AROUND = np.array([0.8, 0.9, 1.0, 1.12, 1.25])
_ROUNDS = 3
_FARTHEST = 30.0
_SCALES = np.linspace(-3.0, 3.5, 105)
_SEED_SCALES = np.concatenate([[0.0], np.geomspace(0.02, 1.5, 24)])
_NODES = ndtri((np.arange(99) + 0.5) / 99)
_QUANTILES = (np.arange(30) + 0.5) / 30
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Pilot:
    """What is known of a classifier before a run.

    `scores` (N,) are the logits of a calibrated model: of class 1 for two classes, of the top label
    being correct for more. `ece` is the pilot's without chance, `row_noise` the standard deviation
    of the scores of a row over seeds. `seed_variance` is the variance of the measured ECE over
    seeds, with `degrees_of_freedom` (None: known), and `own_variance` the part of it that is noise
    of the rows. Arms are `overconfident` or underconfident as the pilot is. `source` says where
    these come from.
    """

    scores: Floats
    classes: int
    ece: float
    seed_variance: float
    row_noise: float
    source: str
    overconfident: bool = True
    own_variance: float = 0.0
    degrees_of_freedom: int | None = None

    def seed_deviation(self, seeds: int) -> float:
        """Return the standard deviation over seeds of the ECE in the population, for S seeds.

        That of a pilot with few seeds is uncertain. It is multiplied so that, over all pilots, 80 %
        of boards whose differences vary by their seeds alone find what is promised.
        """
        factor = 1.0
        if self.degrees_of_freedom is not None:
            factor = _inflation(self.degrees_of_freedom, seeds)
        return float(np.sqrt(max(0.0, factor**2 * self.seed_variance - self.own_variance)))


@dataclass(frozen=True)
class Detection:
    """The smallest difference in ECE that is found with a power of 80 % at 5 %.

    `difference` is null if not even the largest possible difference is found, and for one seed,
    which shows nothing about methods. `further` is the same with `further_seeds` seeds.
    """

    difference: float | None
    further: float | None
    further_seeds: int
    rows: int
    seeds: int
    source: str


def detection(pilot: Pilot, rows: int, seeds: int, *, further_seeds: int = 10) -> Detection:
    """Return what a run with `rows` independent test rows and `seeds` seeds will detect."""
    further_seeds = max(further_seeds, 2 * seeds)
    if rows < FEWEST_ROWS:
        return Detection(None, None, further_seeds, rows, seeds, pilot.source)
    return Detection(
        None if seeds < 2 else _detectable(pilot, rows, seeds),
        _detectable(pilot, rows, further_seeds),
        further_seeds,
        rows,
        seeds,
        pilot.source,
    )


def default_pilot(classes: int) -> Pilot:
    """Return the pilot that is assumed where nothing is known: the constants of this module."""
    normal = ndtri((np.arange(2000) + 0.5) / 2000)
    spread, center = (np.linspace(0.2, 8.0, 400), 0.0) if classes == 2 else (1.5, None)
    if center is not None:
        accuracy = expit(np.abs(np.multiply.outer(spread, normal))).mean(axis=1)
        scores = np.interp(DEFAULT_ACCURACY, accuracy, spread) * normal
    else:
        centers = np.linspace(-4.0, 8.0, 400)
        accuracy = expit(centers[:, None] + spread * normal).mean(axis=1)
        scores = np.interp(DEFAULT_ACCURACY, accuracy, centers) + spread * normal
    return Pilot(
        scores,
        classes,
        DEFAULT_ECE,
        DEFAULT_SEED_DEVIATION**2,
        DEFAULT_ROW_NOISE,
        f"none, so assumed: accuracy {number(DEFAULT_ACCURACY)}, ECE {number(DEFAULT_ECE)}, "
        f"its standard deviation over seeds {number(DEFAULT_SEED_DEVIATION)}",
    )


def pilot_of(arms: Sequence[Sequence[Predictions]], source: str) -> Pilot:
    """Return the pilot that predictions on one test set are: of each arm, those of S models.

    The first arm gives scores and ECE, and all of them the variation between seeds. What one seed,
    or seeds without any variation, cannot show is assumed: see `default_pilot`.
    """
    seeds = arms[0]
    raw = np.stack([_scores(predictions) for predictions in seeds])
    slope, offset = _logistic_regression(raw.mean(axis=0), _events(seeds).mean(axis=0))
    known = [corrected(gaps_of_bins(predictions, bins=BINS)) for predictions in seeds]
    values = [item.value for item in known if item is not None]
    pilot = Pilot(
        offset + slope * raw.mean(axis=0),
        seeds[0].n_classes,
        float(np.mean(values)) if values else DEFAULT_ECE,
        DEFAULT_SEED_DEVIATION**2,
        DEFAULT_ROW_NOISE,
        f"{source}; standard deviation over seeds assumed, {number(DEFAULT_SEED_DEVIATION)}",
    )
    pilot = replace(pilot, overconfident=slope <= 1.0)
    varying = [arm for arm in arms if len(arm) > 1 and _varies(arm)]
    varying = [arm for arm in varying if len(arm) == len(varying[0])]
    if not varying:
        return pilot
    noise = [_row_noise(np.stack([_scores(item) for item in arm])) for arm in varying]
    total, own = _variances(varying)
    return replace(
        pilot,
        seed_variance=total,
        own_variance=own,
        degrees_of_freedom=(len(varying[0]) - 1) * max(1, len(varying) - 1),
        row_noise=slope * float(np.sqrt(np.mean(np.square(noise)))),
        source=source,
    )


class _Simulation:
    """Boards whose arms differ by a known ECE in the population."""

    def __init__(self, pilot: Pilot, rows: int, seed_deviation: float) -> None:
        self.pilot, self.rows = pilot, rows
        self._rng = np.random.default_rng(seed_for("power", rows, pilot.classes))
        self._pilot_scores = pilot.scores.astype(np.float32)
        self._scores = np.resize(pilot.scores, _POPULATION)
        self._noise = pilot.row_noise * self._rng.normal(size=_POPULATION)
        self._errors = np.array([self._population_ece(scale) for scale in _SCALES])
        least = int(np.argmin(self._errors))
        self._branch = np.s_[least:] if pilot.overconfident else np.s_[least::-1]
        self._seed_scale = self._find_seed_scale(seed_deviation)
        self._levels = self._of_seeds(_SCALES, self._seed_scale).mean(axis=1)

    @property
    def boards(self) -> int:
        """The number of boards at each difference: fewer of large test sets, which vary less."""
        return max(_FEWEST_BOARDS, min(_BOARDS, _SIMULATED_ROWS // self.rows))

    @cached_property
    def largest(self) -> float:
        """The largest difference of two arms."""
        rising = self._levels[self._branch]
        return float(rising.max() - rising.min())

    def scales(self, difference: float) -> tuple[float, float]:
        """Return the scales g of a worse and a better arm."""
        rising = np.maximum.accumulate(self._levels[self._branch])
        least = float(rising[0])
        worse = min(max(self.pilot.ece, least + difference), float(rising[-1]))
        levels = (worse, max(worse - difference, least))
        strict = rising + _TINY * np.arange(len(rising))
        worse_scale, better_scale = np.interp(levels, strict, _SCALES[self._branch])
        return float(worse_scale), float(better_scale)

    def board(self, scales: tuple[float, float], weights: NDArray[np.float32]) -> Floats:
        """Return difference, variance over seeds, and estimated shared row variance of a board."""
        rng, n, blocks = self._rng, self.rows, weights.shape[1]
        true = self._pilot_scores[rng.integers(0, len(self.pilot.scores), n)]
        event = rng.random(n) < expit(true)
        scale = np.repeat(scales, _SEEDS) + self._seed_scale * rng.normal(size=2 * _SEEDS)
        noisy = rng.standard_normal((2 * _SEEDS, n), dtype=np.float32)
        noisy *= np.float32(self.pilot.row_noise)
        noisy += true
        noisy *= np.exp(scale).astype(np.float32)[:, None]
        residual, place = self._residuals(noisy, event)
        cells = (np.arange(2 * _SEEDS)[:, None] * blocks + np.arange(n) * blocks // n) * BINS
        sums = np.bincount(
            (cells + place).ravel(), residual.ravel(), minlength=2 * _SEEDS * blocks * BINS
        ).reshape(2, _SEEDS, blocks, BINS)
        values = np.abs(sums.sum(axis=2)).sum(axis=2) / n
        few = sums[:, :_RESAMPLED_SEEDS].astype(np.float32)
        draws = np.abs(weights @ few).sum(axis=3) / n
        delta, resampled = values[0] - values[1], draws[0] - draws[1]
        of_mean = resampled.mean(axis=0).var(ddof=1)
        of_each = resampled.var(axis=1, ddof=1).mean()
        shared = (_RESAMPLED_SEEDS * of_mean - of_each) / (_RESAMPLED_SEEDS - 1)
        return np.array([delta.mean(), delta.var(ddof=1), shared])

    def weights(self) -> NDArray[np.float32]:
        """Return bootstrap weights of blocks of rows."""
        blocks = min(self.rows, _BLOCKS)
        share = np.full(blocks, 1.0 / blocks)
        return self._rng.multinomial(blocks, share, size=_REPLICATES).astype(np.float32)

    def _residuals(
        self, scores: NDArray[np.float32], event: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Return correctness − confidence of each row, and its bin."""
        p = expit(scores)
        if self.pilot.classes == 2:
            confidence, correct = np.maximum(p, np.float32(1.0) - p), (scores > 0) == event
        else:
            confidence = np.maximum(p, np.float32(1.0 / self.pilot.classes))
            correct = np.broadcast_to(event, p.shape)
        place = np.minimum((confidence * np.float32(BINS)).astype(np.int32), BINS - 1)
        return correct - confidence, place

    def _population_ece(self, scale: float) -> float:
        scores = np.exp(scale) * (self._scores + self._noise)
        p, true = expit(scores), expit(self._scores)
        if self.pilot.classes == 2:
            confidence, rate = np.maximum(p, 1.0 - p), np.where(scores > 0, true, 1.0 - true)
        else:
            confidence, rate = np.maximum(p, 1.0 / self.pilot.classes), true
        place = np.minimum((confidence * BINS).astype(np.intp), BINS - 1)
        gaps = np.bincount(place, rate - confidence, minlength=BINS)
        return float(np.abs(gaps).sum()) / len(scores)

    def _of_seeds(self, scales: Floats, seed_scale: float) -> Floats:
        """Return the ECEs of seeds at each scale g, (…, nodes of the distribution of ζ)."""
        nodes = np.add.outer(scales, seed_scale * _NODES)
        return np.asarray(np.interp(nodes, _SCALES, self._errors))

    def _find_seed_scale(self, seed_deviation: float) -> float:
        """Return the standard deviation of ζ that gives the ECE's at the pilot's ECE."""
        rising = np.maximum.accumulate(self._errors[self._branch])
        strict = rising + _TINY * np.arange(len(rising))
        place = np.interp(self.pilot.ece, strict, _SCALES[self._branch])
        deviations = np.array(
            [self._of_seeds(np.array([place]), scale).std() for scale in _SEED_SCALES]
        )
        rising = np.maximum.accumulate(deviations) + _TINY * np.arange(len(deviations))
        return float(np.interp(seed_deviation, rising, _SEED_SCALES))


@dataclass(frozen=True, eq=False)
class _Boards:
    """Simulated boards: the differences δ (D,), and of B boards each what `board` returns."""

    differences: Floats
    found: Floats

    @classmethod
    def simulated(cls, simulation: _Simulation, differences: Floats, boards: int) -> _Boards:
        """Simulate boards at some differences."""
        weights, scales = simulation.weights(), [simulation.scales(d) for d in differences]
        found = [[simulation.board(pair, weights) for _ in range(boards)] for pair in scales]
        return cls(differences, np.array(found))

    def detectable(self, seeds: int, rows: int) -> float | None:
        """Return the smallest difference with enough power, within those that are simulated."""
        if len(self.differences) > len(_AROUND):
            grid = self.differences
            parts = zip(self.differences, self.found, strict=True)
            single = [_Boards(np.array([d]), boards[None]) for d, boards in parts]
            powers = np.array([p._power(p.differences, seeds, rows)[0] for p in single])
        else:
            grid = np.linspace(self.differences[0], self.differences[-1], 40)
            powers = self._power(grid, seeds, rows)
        power = np.maximum.accumulate(powers)
        if power[-1] < POWER:
            return None
        return float(np.interp(POWER, power + _TINY * np.arange(len(grid)), grid))

    def _power(self, grid: Floats, seeds: int, rows: int) -> Floats:
        """Return P(p < 5 % and a difference in the right direction) of contrasts with S seeds.

        Each simulated board is moved to every δ of the grid, and gets the seed noise of S seeds in
        place of its own: normal in the mean difference, χ² in its variance over seeds.
        """
        mean, between, shared = np.moveaxis(self.found, -1, 0)
        center = self._interpolated(grid, mean.mean(axis=1))[:, None, None]
        of_seed = self._interpolated(grid, between.mean(axis=1))[:, None, None]
        of_rows = np.maximum(0.0, mean.var(axis=1, ddof=1) - between.mean(axis=1) / _SEEDS).mean()
        residual = (mean - mean.mean(axis=1, keepdims=True)).ravel()[:, None]
        estimated = self._interpolated(grid, shared.mean(axis=1))[:, None, None]
        estimated = estimated + (shared - shared.mean(axis=1, keepdims=True)).ravel()[:, None]
        own, wanted = of_rows + of_seed / _SEEDS, of_rows + of_seed / seeds
        share = np.minimum(1.0, wanted / np.maximum(own, _TINY**2))
        added = np.maximum(wanted - share * own, 1e-4 * wanted)
        chi_square = chdtri(seeds - 1, 1.0 - _QUANTILES) / (seeds - 1)
        seed_part, row_part = of_seed * chi_square / seeds, np.maximum(0.0, estimated)
        total = np.maximum(seed_part + row_part, _TINY**2)
        inverse = (seed_part / (seeds - 1) + row_part / (rows - 1)) / total
        critical = _critical(1.0 / inverse) * np.sqrt(total)
        moved = center + np.sqrt(share) * residual
        return np.asarray(
            ndtr((moved - critical) / np.sqrt(np.maximum(added, _TINY**2))).mean(axis=(1, 2))
        )

    def _interpolated(self, grid: Floats, values: Floats) -> Floats:
        """Return values at other differences, on a parabola through those that are simulated."""
        degree = min(2, len(values) - 1)
        return np.asarray(np.polyval(np.polyfit(self.differences, values, degree), grid))


def _critical(degrees: Floats) -> Floats:
    """Return the t quantiles of the test, interpolated."""
    known = np.geomspace(1.0, 1e6, 400)
    table = quantile(1.0 - SIGNIFICANCE / 2.0, known)
    return np.asarray(np.interp(np.log(degrees), np.log(known), table))


def _detectable(pilot: Pilot, rows: int, seeds: int) -> float | None:
    """Return the smallest detectable difference: coarsely, then by boards around the answer."""
    simulation = _Simulation(pilot, rows, pilot.seed_deviation(seeds))
    differences = simulation.largest * _COARSE
    coarse = _Boards.simulated(simulation, differences, simulation.boards // 4)
    found = coarse.detectable(seeds, rows)
    for _ in range(_ROUNDS):
        if found is None:
            return None
        differences = np.minimum(found * _AROUND, simulation.largest)
        near = _Boards.simulated(simulation, np.unique(differences), simulation.boards)
        found = near.detectable(seeds, rows)
        if found is None and differences[-1] < simulation.largest:
            found = float(differences[-1])
        elif found is None or differences[0] < found:
            break
    return found


@lru_cache(maxsize=64)
def _inflation(degrees_of_freedom: int, seeds: int) -> float:
    """Return the factor c of an estimated standard deviation that keeps the power on average.

    A difference of ν·σ/√S, with ν the noncentrality that a t test of S seeds finds with 80 %, is
    found less often if σ is estimated. With c·ν it is found in 80 % again, on average over
    estimates of these degrees of freedom.
    """
    critical = float(quantile(1.0 - SIGNIFICANCE / 2.0, seeds - 1))
    estimates = np.sqrt(chdtri(degrees_of_freedom, 1.0 - _QUANTILES) / degrees_of_freedom)
    noncentrality = float(nctdtrinc(seeds - 1, 1.0 - POWER, critical))
    factors = np.geomspace(1.0, 6.0, 80)
    powers = 1.0 - nctdtr(
        seeds - 1, noncentrality * np.multiply.outer(factors, estimates), critical
    ).mean(axis=1)
    return float(np.interp(POWER, np.maximum.accumulate(powers), factors))


def _varies(arm: Sequence[Predictions]) -> bool:
    return any((item.logits != arm[0].logits).any() for item in arm)


def _row_noise(scores: Floats) -> float:
    """Return the standard deviation of scores (S, n) about a line in their mean, per seed.

    The line holds what a seed does to all rows alike.
    """
    seeds, mean = len(scores), scores.mean(axis=0)
    columns = np.stack([mean, np.ones_like(mean)], axis=1)
    fitted, *_ = np.linalg.lstsq(columns, scores.T, rcond=None)
    residual = scores.T - columns @ fitted
    return float(np.sqrt(np.square(residual).mean() * seeds / (seeds - 1)))


def _scores(predictions: Predictions) -> Floats:
    """Return the logit of class 1 for two classes, of the top label's probability for more."""
    logits = np.asarray(predictions.logits, dtype=np.float64)
    if predictions.n_classes == 2:
        return np.asarray(np.clip(logits[:, 1] - logits[:, 0], -_FARTHEST, _FARTHEST))
    top = np.asarray(predictions.probabilities(), dtype=np.float64).max(axis=1)
    return np.asarray(np.clip(logit(np.clip(top, _TINY, 1.0 - _TINY)), -_FARTHEST, _FARTHEST))


def _events(seeds: Sequence[Predictions]) -> Floats:
    """Return what the scores predict, (S, n): class 1, or that the top label is right."""
    if seeds[0].n_classes == 2:
        return np.stack([item.labels == 1 for item in seeds]).astype(np.float64)
    return np.stack([item.logits.argmax(axis=1) == item.labels for item in seeds]).astype(
        np.float64
    )


def _logistic_regression(scores: Floats, events: Floats) -> tuple[float, float]:
    """Return slope and offset of a logistic regression, with a little weight on slope 1.

    The prior, of as many rows as there are parameters, keeps separable data finite.
    """
    slope, offset = 1.0, 0.0
    columns = np.stack([scores, np.ones_like(scores)])
    center = np.array([1.0, 0.0])
    ridge = np.diag([2.0 * float(np.mean(scores**2)) / 4.0 + _TINY, 0.5])
    for _ in range(50):
        rate = expit(slope * scores + offset)
        gradient = columns @ (events - rate) - ridge @ (np.array([slope, offset]) - center)
        step = np.linalg.solve((columns * (rate * (1.0 - rate))) @ columns.T + ridge, gradient)
        step = np.clip(step, -1.0, 1.0)
        slope, offset = max(slope + float(step[0]), 0.05), offset + float(step[1])
        if float(np.abs(step).max()) < 1e-9:
            break
    return slope, offset


def _variances(arms: Sequence[Sequence[Predictions]]) -> tuple[float, float]:
    """Return the variance of the ECE over seeds, and the part of it that is noise of their rows.

    With several arms it is half of that of the difference of two arms with the same seed, on
    average over their pairs: what seeds do to all arms alike, such as another split of the
    validation data, cancels.
    """
    n, count, seeds = len(arms[0][0]), len(arms), len(arms[0])
    blocks = min(n, _BLOCKS)
    rng = np.random.default_rng(seed_for("pilot", n, seeds))
    weights = rng.multinomial(blocks, np.full(blocks, 1.0 / blocks), size=4 * _REPLICATES)
    sums = np.array([[_block_sums(item, blocks) for item in arm] for arm in arms])
    values = np.abs(sums.sum(axis=2)).sum(axis=2) / n
    draws = np.abs(weights @ sums).sum(axis=3) / n
    if count > 1:
        values, draws = values - values.mean(axis=0), draws - draws.mean(axis=0)
    free = max(1, count - 1)
    total = float(values.var(axis=1, ddof=1).sum()) / free
    of_mean = float(draws.mean(axis=1).var(axis=1, ddof=1).sum()) / free
    of_each = float(draws.var(axis=2, ddof=1).mean(axis=1).sum()) / free
    return total, max(0.0, seeds * (of_each - of_mean) / (seeds - 1))


def _block_sums(predictions: Predictions, blocks: int) -> Floats:
    """Return the sums of correctness − confidence in blocks of rows and bins, (blocks, bins)."""
    n, probabilities = len(predictions), np.asarray(predictions.probabilities(), np.float64)
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == predictions.labels
    place = np.minimum((confidence * BINS).astype(np.intp), BINS - 1)
    cells = np.arange(n) * blocks // n * BINS + place
    sums = np.bincount(cells, weights=correct - confidence, minlength=blocks * BINS)
    return np.asarray(sums, dtype=np.float64).reshape(blocks, BINS)
