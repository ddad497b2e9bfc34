"""Monte Carlo dropout (Gal and Ghahramani 2016)."""

from __future__ import annotations

from fgbench import Calibrator, DataError, Predictions
from fgbench_plugins.calibrators.averaging import log_mean_probabilities


class MonteCarloDropout(Calibrator):
    """The mean softmax of the stochastic passes; the classifier sets their number.

    Nothing is fitted, and held-out rows are not used. The logits are the logarithms of the mean, at
    least log 1e−30.
    """

    needs = frozenset({"stochastic_forward"})
    learns = False

    def fit(self, held_out: Predictions) -> None:
        """Do nothing: there is nothing to fit."""

    def transform(self, predictions: Predictions) -> Predictions:
        """Return the logarithm of the mean probabilities."""
        if predictions.stochastic_logits is None:
            raise DataError("mc-dropout: these predictions have no stochastic passes.")
        return predictions.with_logits(log_mean_probabilities(predictions.stochastic_logits))
