"""How far confidence is from frequency, and from the truth where that is known."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fgbench import Metric, calibration

Bins = Annotated[int, Field(ge=1, le=10_000)]


class TopLabelEce(Metric):
    """Expected calibration error of the predicted class's probability (Guo et al. 2017)."""

    bins: Bins = 15

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,)."""
        confidence, correct = calibration.top_label(predictions)
        return calibration.expected_calibration_error(confidence, correct, weights, bins=self.bins)


class PositiveClassEce(Metric):
    """Expected calibration error of P(y=1), of binary predictions: FITG's diagram."""

    bins: Bins = 15
    needs = frozenset({"binary"})

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,)."""
        probability, outcome = calibration.positive_class(predictions)
        return calibration.expected_calibration_error(probability, outcome, weights, bins=self.bins)


class Mce(Metric):
    """Largest gap of a bin of the predicted class's probability (Guo et al. 2017)."""

    bins: Bins = 15

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,)."""
        confidence, correct = calibration.top_label(predictions)
        return calibration.maximum_calibration_error(confidence, correct, weights, bins=self.bins)


class TrueCalibrationError(Metric):
    """Mean |p̂ − P(y|x)| against the known posterior: half the sum over classes."""

    needs = frozenset({"posterior"})

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,)."""
        return calibration.posterior_distance(predictions, weights)
