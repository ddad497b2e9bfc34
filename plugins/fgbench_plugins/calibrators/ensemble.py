"""Deep ensembles over seeds (Lakshminarayanan et al. 2017)."""

from __future__ import annotations

from fgbench import Calibrator, DataError, Predictions
from fgbench_plugins.calibrators.averaging import log_mean_probabilities


class Ensemble(Calibrator):
    """The mean softmax of the models of all seeds of the suite, all trained on the same arm.

    Nothing is fitted. All seeds share one ensemble, so their values are identical and their spread
    is 0; the interval reflects the test rows only.
    """

    needs = frozenset({"members"})
    learns = False

    def fit(self, held_out: Predictions) -> None:
        """Do nothing: there is nothing to fit."""

    def transform(self, predictions: Predictions) -> Predictions:
        """Return the logarithm of the mean probabilities."""
        if predictions.stochastic_logits is None:
            raise DataError("ensemble: these predictions have no members.")
        return predictions.with_logits(log_mean_probabilities(predictions.stochastic_logits))
