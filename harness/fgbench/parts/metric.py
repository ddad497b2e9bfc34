"""Metrics: what a metric plugin implements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from fgbench.parts.base import Part

if TYPE_CHECKING:
    from fgbench.data import FloatArray, Predictions


class Metric(Part, ABC):
    """A number that says how good predictions are.

    `evaluate` is given one row of weights per replicate, so that the bootstrap is a matter of
    weights and each metric can share the work between replicates.
    """

    kind = "metric"
    lower_is_better: ClassVar[bool] = True
    undefined_when: ClassVar[str] = "the metric is undefined for these predictions"
    """Why `evaluate` gives NaN; a board says it instead of a number."""

    @abstractmethod
    def evaluate(self, predictions: Predictions, weights: FloatArray) -> FloatArray:
        """Return the metric for each row of `weights`, (R,), from n predictions.

        `weights` is (R, n): how often each prediction counts in each replicate, all ones for the
        metric itself. NaN stands for "undefined in this replicate" (one class only, say).
        """

    def noise_floor(self, predictions: Predictions) -> float | None:
        """Return what chance alone gives a perfectly calibrated classifier with these predictions.

        Their labels play no part. None, the default, where there is no such floor.
        """
        return None
