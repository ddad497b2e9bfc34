"""Interface of metrics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, ClassVar

from fgbench.parts.base import Part

if TYPE_CHECKING:
    from fgbench.data import FloatArray, Predictions


@dataclass(frozen=True, eq=False)
class Gaps:
    """The cells (bins) of a calibration error Σ_c a_c |outcome − score|, each array (C,).

    `weight` is a_c, `score` the mean predicted probability of a cell, `outcome` its event rate, and
    `trials` its number of independent rows.
    """

    weight: FloatArray
    score: FloatArray
    outcome: FloatArray
    trials: FloatArray


class Metric(Part, ABC):
    """A measure of the quality of predictions.

    `evaluate` gets one row of weights per bootstrap replicate, so a metric can share work between
    replicates.
    """

    kind = "metric"
    lower_is_better: ClassVar[bool] = True
    undefined_when: ClassVar[str] = "the metric is undefined for these predictions"
    """The reason for NaN; boards show it instead of a number."""

    is_default: ClassVar[bool] = True
    """Whether it is computed where no metrics are named."""
    limits: ClassVar[tuple[float, float]] = (-inf, inf)
    """The least and the largest possible value; intervals stay inside."""
    has_interval: ClassVar[bool] = True
    """Whether mean and bootstrap standard error give a valid 95 % interval. False for errors that
    chance alone makes positive: they print no interval unless they define `gaps`."""
    rows_per_class: ClassVar[int] = 0
    """The interval is valid from this number of test rows per class on, on average."""
    margin: ClassVar[float | None] = None
    """A difference below this does not matter: the margin of equivalence. None: not declared."""
    shown_by_default: ClassVar[bool] = False
    """Whether tables show it beside the primary metric."""

    @abstractmethod
    def evaluate(self, predictions: Predictions, weights: FloatArray) -> FloatArray:
        """Return the metric of n predictions for each row of `weights`, as an array (R,).

        `weights` (R, n) is the number of times that each prediction counts in each replicate; the
        row for the metric itself has ones only. NaN means undefined in this replicate, for example
        if only one class occurs.
        """

    def noise_floor(self, predictions: Predictions) -> float | None:
        """Return the expected value for a perfectly calibrated classifier with these predictions.

        The labels are not used. The default, None, is for metrics without a noise floor.
        """
        return None

    def gaps(self, predictions: Predictions) -> Gaps | None:
        """Return the cells of a calibration error, from which chance is removed.

        The error without chance is then what the interval belongs to. The default, None, is for
        metrics that are no sum of gaps.
        """
        return None
