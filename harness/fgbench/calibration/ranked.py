"""Sums along ascending scores, shared by binned and ranking metrics.

Predictions are sorted once, and summed once per block of bootstrap replicates. Replicates of more
than 2¹⁵ rows are summed over 2¹³ groups of neighbors; the error is far below the differences
between replicates. More than `MAX_CACHED_ROWS` rows are not sorted, but collected block by block in
cells of nearly equal scores, in constant memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgbench.calibration.reliability import bin_edges, probability_block
from fgbench.calibration.rows import MAX_CACHED_ROWS, row_blocks

if TYPE_CHECKING:
    from fgbench.data import Predictions

Floats = NDArray[np.float64]
Weights = NDArray[Any]

TOP_LABEL = -1
"""Stands for the predicted class: its probability (the confidence), and whether it is correct."""

_FINE_ROWS, _GROUPS = 1 << 15, 1 << 13
_TEMPORARIES = 4
"""Arrays as large as the weights that summing needs at a time: together they fit the cache."""
_NEAR = 1e-10
"""Shares of the weight that differ by less than this count as equal."""
_CELLS = 1 << 17
_LOGIT_SHARE = 1.0 / 40.0
"""Cells have equal widths in p + logit(p)/40: at most 2.3e-5 in p, and 1e-3 in logit(p)."""
_SMALLEST = 1e-9


@dataclass(frozen=True, eq=False)
class Scores:
    """n probabilities and their outcomes, 0 or 1: `block(rows)` returns both, (b,), float64."""

    n: int
    block: Callable[[slice], tuple[Floats, Floats]]

    @classmethod
    def of_arrays(cls, score: NDArray[Any], outcome: NDArray[Any]) -> Scores:
        """Use two arrays (n,)."""

        def block(rows: slice) -> tuple[Floats, Floats]:
            return score[rows].astype(np.float64), outcome[rows].astype(np.float64)

        return cls(len(score), block)

    @classmethod
    def of_class(cls, predictions: Predictions, label: int) -> Scores:
        """Use the probability of a class, or of the predicted one (`TOP_LABEL`).

        Where classes tie, the first is predicted.
        """

        def block(rows: slice) -> tuple[Floats, Floats]:
            probabilities = probability_block(predictions, rows)
            truth = predictions.labels[rows]
            if label != TOP_LABEL:
                return probabilities[:, label].copy(), (truth == label).astype(np.float64)
            guess = probabilities.argmax(axis=1)
            return probabilities.max(axis=1), (guess == truth).astype(np.float64)

        return cls(len(predictions), block)


@dataclass(frozen=True, eq=False)
class Sums:
    """Weighted sums over the C distinct values of `score` (C,), ascending, for R replicates.

    Rows in one cell share a value, or nearly. `weight`, `outcome` and `residual`, each (R, C+1),
    are the sums of 1, of the outcome, and of outcome − score over the first 0 … C values.
    """

    score: Floats
    weight: Floats
    outcome: Floats
    residual: Floats
    _bins: dict[tuple[int, str, bool], Bins] = field(init=False, default_factory=dict)

    @property
    def total(self) -> Floats:
        """The sum of the weights, (R,)."""
        return self.weight[:, -1]

    def of(self, replicates: NDArray[np.bool_]) -> Sums:
        """Return the sums of some of the replicates."""
        return Sums(
            self.score,
            self.weight[replicates],
            self.outcome[replicates],
            self.residual[replicates],
        )

    def in_bins(
        self, bins: int, scheme: Literal["width", "mass"], *, complement: bool = False
    ) -> Bins:
        """Return `equal_width` or `equal_mass` bins, cached because several metrics use them."""
        key = bins, scheme, complement
        if key not in self._bins:
            between = self.equal_width if scheme == "width" else self.equal_mass
            self._bins[key] = between(bins, complement=complement)
        return self._bins[key]

    def equal_width(self, bins: int, *, complement: bool = False) -> Bins:
        """Return the sums in M equal-width bins of the score, or of 1 − score and 1 − outcome."""
        inner = bin_edges(bins)[1:-1]
        if complement:
            below = np.searchsorted((1.0 - self.score)[::-1], inner, side="left")
            places = (len(self.score) - below)[::-1]
        else:
            places = np.searchsorted(self.score, inner, side="left")
        return self._between(np.concatenate([[0], places, [len(self.score)]]), complement)

    def equal_mass(self, bins: int, *, complement: bool = False) -> Bins:
        """Return the sums in M bins of nearly equal weight; see `equal_width`.

        Equal scores share the upper bin, so that the order of the rows does not matter.
        """
        steps = np.arange(1, bins) / bins
        edges = np.zeros((len(self.weight), bins + 1), dtype=np.intp)
        edges[:, -1] = len(self.score)
        if complement:
            above = (1.0 - steps - _NEAR) * self.total[:, None]
            edges[:, 1:-1] = self._places_of(above, "left")[:, ::-1]
        else:
            below = (steps + _NEAR) * self.total[:, None]
            edges[:, 1:-1] = self._places_of(below, "right") - 1
        return self._between(edges, complement)

    def _places_of(self, weights: Floats, side: Literal["left", "right"]) -> NDArray[np.intp]:
        """Return the positions of weights (R, B) in each replicate's sums of weights, (R, B)."""
        length = self.weight.shape[1]
        lift = self._lift[:, None]
        lifted = np.searchsorted(self._lifted, (weights + lift).ravel(), side=side)
        places = lifted.reshape(weights.shape) - length * np.arange(len(weights))[:, None]
        return np.asarray(places)

    @cached_property
    def _lift(self) -> Floats:
        return np.arange(len(self.weight), dtype=np.float64) * (float(self.total.max()) + 1.0)

    @cached_property
    def _lifted(self) -> Floats:
        """The sums of all replicates in one ascending row, each shifted above the previous one."""
        return (self.weight + self._lift[:, None]).ravel()

    def _between(self, edges: NDArray[np.intp], complement: bool) -> Bins:
        """Return the sums between ascending places, (R, M+1) or the same (M+1,) for all."""
        parts = (self.weight, self.outcome, self.residual)
        if edges.ndim == 1:
            weight, outcome, residual = (np.diff(part[:, edges], axis=1) for part in parts)
        else:
            places = edges + self.weight.shape[1] * np.arange(len(self.weight))[:, None]
            weight, outcome, residual = (_differences(part.ravel().take(places)) for part in parts)
        if not complement:
            return Bins(weight, outcome, residual)
        weight, outcome, residual = (part[:, ::-1] for part in (weight, outcome, residual))
        return Bins(weight, weight - outcome, -residual)


def _differences(rows: Floats) -> Floats:
    """Return the differences between neighbors in each row; `numpy.diff` is slow on short rows."""
    return rows[:, 1:] - rows[:, :-1]


class Bins(NamedTuple):
    """Weighted sums in M bins, (R, M) each: of 1, of the outcome, of outcome − score."""

    weight: Floats
    outcome: Floats
    residual: Floats


def sums_along(predictions: Predictions, label: int, weights: Weights) -> Sums:
    """Return the sums along the probability of a class (or `TOP_LABEL`), for weights (R, n).

    They are cached until other weights are used, so that the metrics of a cell share them.
    """
    cache = predictions.__dict__
    if cache.get("_summed", (None,))[0] is not weights:
        cache["_summed"] = (weights, {})
    sums: dict[int, Sums] = cache["_summed"][1]
    if label not in sums:
        rankings: dict[int, Ranking] = cache.setdefault("_rankings", {})
        if label not in rankings:
            rankings[label] = Ranking(Scores.of_class(predictions, label))
        sums[label] = rankings[label].sums(weights)
    return sums[label]


class Ranking:
    """n probabilities in ascending order."""

    def __init__(self, scores: Scores) -> None:
        self._scores = scores
        self._cell_scores: Floats | None = None
        self._in_cells = scores.n > MAX_CACHED_ROWS
        if not self._in_cells:
            score, outcome = scores.block(slice(0, scores.n))
            self._order = np.argsort(score, kind="stable")
            score, self._outcome = score[self._order], outcome[self._order]
            self._residual = self._outcome - score
            last = np.append(np.diff(score) > 0, np.ones(min(1, len(score)), dtype=np.bool_))
            self._score = score[last]
            self._ends = None if last.all() else np.flatnonzero(last)
            if scores.n > _FINE_ROWS:
                starts = np.arange(_GROUPS) * scores.n // _GROUPS
                starts = starts[np.append(True, np.diff(score[starts]) > 0)]
                self._groups, self._group_scores = starts, score[starts]

    def sums(self, weights: Weights) -> Sums:
        """Return the sums for the weights (R, n) of R replicates."""
        if self._in_cells:
            return self._sums_of_cells(weights)
        if len(weights) > 1 and self._scores.n > _FINE_ROWS:
            return self._sums_of_groups(weights)
        sums = np.empty((3, len(weights), len(self._score) + 1))
        sums[:, :, 0] = 0.0
        for rows in row_blocks(len(weights), _TEMPORARIES * self._scores.n):
            for column, target in zip(self._table(weights[rows]), sums[:, rows, 1:], strict=True):
                running = np.cumsum(column, axis=1)
                target[...] = running if self._ends is None else running.take(self._ends, axis=1)
        return Sums(self._score, *sums)

    def _table(self, weights: Weights) -> Iterator[NDArray[Any]]:
        """Yield the weights in ascending order of scores, times 1, outcome and residual, (R, n).

        The first two are integers if the weights are: their sums are exact, and several times
        faster than those of floats.
        """
        weight = weights.take(self._order, axis=1)
        counts = weight.astype(np.int64)
        if np.array_equal(counts, weight):
            yield counts
            yield counts * self._outcome.astype(np.int64)
        else:
            yield weight
            yield weight * self._outcome
        yield weight * self._residual

    def _columns(self, weights: Weights) -> Iterator[tuple[Floats, Floats, Floats]]:
        for weight in weights:  # one at a time, to fit the processor's cache
            ordered = weight[self._order]
            yield ordered, ordered * self._outcome, ordered * self._residual

    def _sums_of_groups(self, weights: Weights) -> Sums:
        sums = np.zeros((3, len(weights), len(self._groups) + 1))
        for replicate, columns in enumerate(self._columns(weights)):
            for column, target in zip(columns, sums[:, replicate, 1:], strict=True):
                np.add.reduceat(column, self._groups, out=target)
        np.cumsum(sums, axis=2, out=sums)
        return Sums(self._group_scores, *sums)

    def _sums_of_cells(self, weights: Weights) -> Sums:
        sums = np.zeros((3, len(weights), _CELLS + 1))
        plain = np.zeros((2, _CELLS))
        for rows in row_blocks(self._scores.n):
            score, outcome = self._scores.block(rows)
            cell = _cell(score)
            if self._cell_scores is None:
                plain[0] += np.bincount(cell, minlength=_CELLS)
                plain[1] += np.bincount(cell, score, minlength=_CELLS)
            for replicate in range(len(weights)):
                weight = weights[replicate, rows]
                target = sums[:, replicate, 1:]
                target[0] += np.bincount(cell, weight, minlength=_CELLS)
                target[1] += np.bincount(cell, weight * outcome, minlength=_CELLS)
                target[2] += np.bincount(cell, weight * (outcome - score), minlength=_CELLS)
        if self._cell_scores is None:
            filled = plain[0] > 0
            means = np.divide(plain[1], plain[0], out=np.zeros(_CELLS), where=filled)
            # An empty cell has the score of the one below.
            self._cell_scores = np.maximum.accumulate(means)
        np.cumsum(sums, axis=2, out=sums)
        return Sums(self._cell_scores, *sums)


def _cell(score: Floats) -> NDArray[np.intp]:
    p = np.clip(score, _SMALLEST, 1.0 - _SMALLEST)
    position = (_spread(p) - _LOWEST) * (_CELLS / (_HIGHEST - _LOWEST))
    return np.asarray(np.minimum(position.astype(np.intp), _CELLS - 1))


def _spread(p: Any) -> Any:
    return p + _LOGIT_SHARE * (np.log(p) - np.log1p(-p))


_LOWEST, _HIGHEST = _spread(_SMALLEST), _spread(1.0 - _SMALLEST)
