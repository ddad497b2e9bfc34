"""No calibration: the classifier's own probabilities."""

from __future__ import annotations

from fgbench import Calibrator, Predictions


class Identity(Calibrator):
    """Returns the predictions unchanged."""

    is_identity = True
    preserves_accuracy = True
    learns = False

    def fit(self, held_out: Predictions) -> None:
        """Do nothing: there is nothing to fit."""

    def transform(self, predictions: Predictions) -> Predictions:
        """Return the predictions unchanged."""
        return predictions
