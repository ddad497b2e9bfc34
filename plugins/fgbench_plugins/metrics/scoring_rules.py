"""Proper scoring rules: the true probabilities have the best expected score."""

from __future__ import annotations

from math import inf
from typing import Annotated

from pydantic import Field

from fgbench import Metric, calibration

Bins = Annotated[int, Field(ge=1, le=10_000)]


class NegativeLogLikelihood(Metric):
    """Mean of −ln P(y), in nats; a probability below 2⁻⁵² counts as 2⁻⁵²."""

    limits = (0.0, inf)
    shown_by_default = True

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,)."""
        return calibration.negative_log_likelihood(predictions, weights)


class Brier(Metric):
    """Mean of Σ_k (p_k − 1[y=k])² over all classes (Brier 1950): from 0 to 2."""

    limits = (0.0, 2.0)

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,)."""
        return calibration.brier_score(predictions, weights)


class BrierCalibration(Metric):
    """The part of the Brier score that calibration removes, over equal-mass bins."""

    has_interval = False
    bins: Bins = 15

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,)."""
        return calibration.brier_calibration(predictions, weights, bins=self.bins)


class BrierRefinement(Metric):
    """The variance of outcomes within bins: uncertainty − resolution of the Brier score."""

    version = "2"
    has_interval = False
    bins: Bins = 15

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,)."""
        return calibration.brier_refinement(predictions, weights, bins=self.bins)


class BrierResolution(Metric):
    """The variance of outcomes between bins, which the Brier score rewards."""

    is_default = False
    has_interval = False
    lower_is_better = False
    bins: Bins = 15

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,)."""
        uncertainty = calibration.brier_uncertainty(predictions, weights)
        return uncertainty - calibration.brier_refinement(predictions, weights, bins=self.bins)


class BrierUncertainty(Metric):
    """The Brier score of always predicting the shares of the classes."""

    is_default = False
    limits = (0.0, 1.0)

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,)."""
        return calibration.brier_uncertainty(predictions, weights)
