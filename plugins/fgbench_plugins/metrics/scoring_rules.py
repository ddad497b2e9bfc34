"""Proper scoring rules: the true probabilities have the best expected score."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fgbench import Metric, calibration

Bins = Annotated[int, Field(ge=1, le=10_000)]


class NegativeLogLikelihood(Metric):
    """Mean of −ln P(y), in nats; a probability below 2⁻⁵² counts as 2⁻⁵²."""

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,)."""
        return calibration.negative_log_likelihood(predictions, weights)


class Brier(Metric):
    """Mean of Σ_k (p_k − 1[y=k])² over all classes (Brier 1950): from 0 to 2."""

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,)."""
        return calibration.brier_score(predictions, weights)


class BrierCalibration(Metric):
    """The part of the Brier score that calibration removes, over equal-mass bins."""

    bins: Bins = 15

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,)."""
        return calibration.brier_calibration(predictions, weights, bins=self.bins)


class BrierRefinement(Metric):
    """The Brier score without its calibration part: the variance of outcomes within bins."""

    bins: Bins = 15

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,)."""
        score = calibration.brier_score(predictions, weights)
        return score - calibration.brier_calibration(predictions, weights, bins=self.bins)
