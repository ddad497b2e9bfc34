"""Accuracy and ranking metrics."""

from __future__ import annotations

import numpy as np

from fgbench import Metric, calibration


class Accuracy(Metric):
    """Share of rows whose most probable class is the true one."""

    limits = (0.0, 1.0)
    margin = 0.01
    shown_by_default = True
    lower_is_better = False

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,)."""
        return calibration.accuracy(predictions, weights)


class MacroF1(Metric):
    """Unweighted mean of the F1 of all classes that occur as label or prediction."""

    limits = (0.0, 1.0)
    rows_per_class = 10
    lower_is_better = False

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,)."""
        return calibration.macro_f1(predictions, weights)


class Auroc(Metric):
    """Area under the ROC curve of P(y=1); the mean of the one-vs-rest curves with K > 2."""

    limits = (0.0, 1.0)
    rows_per_class = 10
    lower_is_better = False
    undefined_when = "a class does not occur among the labels, so nothing ranks against it"

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,); NaN where a class does not occur."""
        if predictions.n_classes == 2:
            return calibration.auroc(predictions, weights, label=1)
        total = np.zeros(len(weights))
        for label in range(predictions.n_classes):
            total += calibration.auroc(predictions, weights, label=label)
        return total / predictions.n_classes


class AurocOfCorrectness(Metric):
    """Area under the ROC curve of confidence for correctness (Hendrycks and Gimpel 2017)."""

    limits = (0.0, 1.0)
    lower_is_better = False
    undefined_when = "all predictions are right, or all wrong, so confidence has nothing to rank"

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,); NaN where all or none are correct."""
        return calibration.auroc(predictions, weights, label=calibration.TOP_LABEL)


class Aurc(Metric):
    """Area under the risk-coverage curve (Geifman, Uziel and El-Yaniv 2019)."""

    version = "2"
    limits = (0.0, 1.0)

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,)."""
        return calibration.area_under_risk_coverage(predictions, weights)
