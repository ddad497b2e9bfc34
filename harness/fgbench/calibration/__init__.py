"""Reliability diagrams and metrics: arrays in, numbers out."""

from fgbench.calibration.binned import (
    adaptive_calibration_error,
    binned_calibration_error,
    brier_calibration,
    brier_refinement,
    brier_uncertainty,
    classwise_calibration_error,
    debiased_calibration_error,
    ece,
    maximum_calibration_error,
    swept_calibration_error,
)
from fgbench.calibration.bounds import PaperBound, bounds_sentences, paper_bound, valid_bound
from fgbench.calibration.gaps import Corrected, corrected, gaps_of_bins
from fgbench.calibration.hypotheses import (
    CalibrationTest,
    CoxTest,
    cox_recalibration,
    cox_test,
    skce_test,
    spiegelhalter_test,
    spiegelhalter_z,
)
from fgbench.calibration.inputs import predictions_from_probabilities
from fgbench.calibration.metrics import (
    accuracy,
    brier_score,
    macro_f1,
    negative_log_likelihood,
    posterior_distance,
    weighted_mean,
)
from fgbench.calibration.noise import classwise_noise_floor, noise_floor
from fgbench.calibration.pooling import PooledDiagram, pooled_diagram, wilson_interval
from fgbench.calibration.ranked import TOP_LABEL
from fgbench.calibration.ranking import area_under_risk_coverage, auroc
from fgbench.calibration.reliability import (
    ReliabilityDiagram,
    bin_edges,
    bin_index,
    class_probability,
    positive_class,
    reliability_diagram,
    top_label,
)
from fgbench.calibration.smoothed import (
    kernel_density_calibration_error,
    kolmogorov_smirnov_error,
    maximum_mean_calibration_error,
    smooth_calibration_error,
    smooth_ece,
)

__all__ = [
    "TOP_LABEL",
    "CalibrationTest",
    "Corrected",
    "CoxTest",
    "PaperBound",
    "PooledDiagram",
    "ReliabilityDiagram",
    "accuracy",
    "adaptive_calibration_error",
    "area_under_risk_coverage",
    "auroc",
    "bin_edges",
    "bin_index",
    "binned_calibration_error",
    "bounds_sentences",
    "brier_calibration",
    "brier_refinement",
    "brier_score",
    "brier_uncertainty",
    "class_probability",
    "classwise_calibration_error",
    "classwise_noise_floor",
    "corrected",
    "cox_recalibration",
    "cox_test",
    "debiased_calibration_error",
    "ece",
    "gaps_of_bins",
    "kernel_density_calibration_error",
    "kolmogorov_smirnov_error",
    "macro_f1",
    "maximum_calibration_error",
    "maximum_mean_calibration_error",
    "negative_log_likelihood",
    "noise_floor",
    "paper_bound",
    "pooled_diagram",
    "positive_class",
    "posterior_distance",
    "predictions_from_probabilities",
    "reliability_diagram",
    "skce_test",
    "smooth_calibration_error",
    "smooth_ece",
    "spiegelhalter_test",
    "spiegelhalter_z",
    "swept_calibration_error",
    "top_label",
    "valid_bound",
    "weighted_mean",
    "wilson_interval",
]
