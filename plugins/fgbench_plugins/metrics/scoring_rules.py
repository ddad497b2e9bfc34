"""Proper scoring rules: the best expected score is that of the true probabilities."""

from __future__ import annotations

from fgbench import Metric, calibration


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
