"""Calibration errors: distances of confidence from frequency, or from a known posterior."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fgbench import Metric, calibration

Bins = Annotated[int, Field(ge=1, le=10_000)]


class TopLabelEce(Metric):
    """Expected calibration error of the predicted class's probability (Guo et al. 2017)."""

    margin = 0.01
    has_interval = False
    bins: Bins = 15

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,)."""
        return calibration.binned_calibration_error(predictions, weights, bins=self.bins)

    def noise_floor(self, predictions):
        """Return the expected error of a perfectly calibrated classifier."""
        return calibration.noise_floor(predictions, bins=self.bins)

    def gaps(self, predictions):
        """Return the gaps of the bins."""
        return calibration.gaps_of_bins(predictions, bins=self.bins)


class PositiveClassEce(Metric):
    """Expected calibration error of P(y=1), of binary predictions: FITG's diagram."""

    margin = 0.01
    has_interval = False
    bins: Bins = 15
    needs = frozenset({"binary"})

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,)."""
        return calibration.binned_calibration_error(predictions, weights, bins=self.bins, label=1)

    def noise_floor(self, predictions):
        """Return the expected error of a perfectly calibrated classifier."""
        return calibration.noise_floor(predictions, bins=self.bins, label=1)

    def gaps(self, predictions):
        """Return the gaps of the bins."""
        return calibration.gaps_of_bins(predictions, bins=self.bins, label=1)


class EqualMassEce(Metric):
    """Expected calibration error over bins of equal mass (Nguyen and O'Connor 2015)."""

    has_interval = False
    margin = 0.01
    bins: Bins = 15

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,)."""
        return calibration.binned_calibration_error(
            predictions, weights, bins=self.bins, scheme="mass"
        )

    def noise_floor(self, predictions):
        """Return the expected error of a perfectly calibrated classifier."""
        return calibration.noise_floor(predictions, bins=self.bins, scheme="mass")


class Mce(Metric):
    """Largest gap of a bin of the predicted class's probability (Guo et al. 2017)."""

    has_interval = False
    bins: Bins = 15

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,)."""
        return calibration.maximum_calibration_error(predictions, weights, bins=self.bins)


class Ace(Metric):
    """Mean gap over all classes' equal-mass bins (Nixon et al. 2019)."""

    has_interval = False
    bins: Bins = 15

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,)."""
        return calibration.adaptive_calibration_error(predictions, weights, bins=self.bins)


class ClasswiseEce(Metric):
    """Mean over the classes of the calibration error of P(y=k) (Kull et al. 2019)."""

    has_interval = False
    bins: Bins = 15

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,)."""
        return calibration.classwise_calibration_error(predictions, weights, bins=self.bins)

    def noise_floor(self, predictions):
        """Return the expected error of a perfectly calibrated classifier."""
        return calibration.classwise_noise_floor(predictions, bins=self.bins)


class DebiasedEce(Metric):
    """Root mean square gap, corrected for the bias of finite bins (Kumar et al. 2019)."""

    has_interval = False
    bins: Bins = 15

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,)."""
        return calibration.debiased_calibration_error(predictions, weights, bins=self.bins)


class SweptEce(Metric):
    """Equal-mass error with the largest monotone number of bins (Roelofs et al. 2022)."""

    has_interval = False

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,)."""
        return calibration.swept_calibration_error(predictions, weights)


class SmoothEce(Metric):
    """Kernel-smoothed calibration error that sets its bandwidth (Błasiok and Nakkiran 2024)."""

    version = "2"
    has_interval = False

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,)."""
        return calibration.smooth_calibration_error(predictions, weights)


class KolmogorovSmirnov(Metric):
    """Largest cumulative difference of outcomes and confidence (Gupta et al. 2021)."""

    has_interval = False

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,)."""
        return calibration.kolmogorov_smirnov_error(predictions, weights)


class TrueCalibrationError(Metric):
    """Mean |p̂ − P(y|x)| against the known posterior: half the sum over classes."""

    limits = (0.0, 1.0)
    shown_by_default = True
    needs = frozenset({"posterior"})

    def evaluate(self, predictions, weights):
        """Return the metric of each replicate, (R,)."""
        return calibration.posterior_distance(predictions, weights)
