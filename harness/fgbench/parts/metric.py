"""Interface of metrics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from fgbench.parts.base import Part

if TYPE_CHECKING:
    from fgbench.data import FloatArray, Predictions


class Metric(Part, ABC):
    """A measure of the quality of predictions.

    `evaluate` gets one row of weights per bootstrap replicate, so a metric can share work between
    replicates.
    """

    kind = "metric"
    lower_is_better: ClassVar[bool] = True
    undefined_when: ClassVar[str] = "the metric is undefined for these predictions"
    """The reason for NaN; boards show it instead of a number."""

    margin: ClassVar[float | None] = None
    """A difference below this does not matter: the margin of equivalence. None: not declared."""

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
