"""How often the predicted class is right, and how well the scores rank."""

from __future__ import annotations

import numpy as np

from fgbench import Metric, calibration


class Accuracy(Metric):
    """Share of rows whose most probable class is the true one."""

    lower_is_better = False

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,)."""
        return calibration.accuracy(predictions, weights)


class MacroF1(Metric):
    """Unweighted mean of the F1 of the classes that are true or predicted somewhere."""

    lower_is_better = False

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,)."""
        return calibration.macro_f1(predictions, weights)


class Auroc(Metric):
    """Area under the ROC curve of P(y=1); with K > 2 the mean over one-against-the-rest curves."""

    lower_is_better = False
    undefined_when = "a class does not occur among the labels, so nothing ranks against it"

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,); NaN where a class does not occur."""
        if predictions.n_classes == 2:
            scores, positive = calibration.positive_class(predictions)
            return calibration.auroc(scores, positive, weights)
        total = np.zeros(len(weights))
        for label in range(predictions.n_classes):
            scores = calibration.class_probability(predictions, label)
            total += calibration.auroc(scores, predictions.labels == label, weights)
        return total / predictions.n_classes
