"""The measurement grid of Tao et al. 2024: five binned errors at nine bin counts, and seven others.

Source: arXiv 2308.11838, section 3 and appendix B. Each is measured before and after temperature
scaling there; here `measure` is called with the predictions of either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fgbench.calibration.binned import (
    binned_calibration_error,
    classwise_calibration_error,
    maximum_calibration_error,
)
from fgbench.calibration.metrics import brier_score, negative_log_likelihood
from fgbench.calibration.reliability import top_label
from fgbench.calibration.rows import unit_weights
from fgbench.calibration.smoothed import (
    kernel_density_calibration_error,
    kolmogorov_smirnov_error,
    maximum_mean_calibration_error,
)

if TYPE_CHECKING:
    from fgbench.data import Predictions

BIN_COUNTS = (5, 10, 15, 20, 25, 50, 100, 200, 500)
FAMILIES = ("ece", "ece_mass", "mce", "classwise_ece", "classwise_ece_mass")
OTHERS = ("brier", "nll", "kde_ece", "ks", "mmce", "confidence_right", "confidence_wrong")


def measure(predictions: Predictions) -> dict[str, float]:
    """Return the 45 binned errors, named `ece:bins=5` and so on, and the seven others, by name.

    A mean confidence is NaN where no prediction is right, or none is wrong.
    """
    once = unit_weights(predictions)
    errors: dict[str, float] = {}
    for bins in BIN_COUNTS:
        values = (
            binned_calibration_error(predictions, once, bins=bins),
            binned_calibration_error(predictions, once, bins=bins, scheme="mass"),
            maximum_calibration_error(predictions, once, bins=bins),
            classwise_calibration_error(predictions, once, bins=bins),
            classwise_calibration_error(predictions, once, bins=bins, scheme="mass"),
        )
        for family, value in zip(FAMILIES, values, strict=True):
            errors[f"{family}:bins={bins}"] = float(value[0])
    confidence, correct = top_label(predictions)
    others = (
        float(brier_score(predictions, once)[0]),
        float(negative_log_likelihood(predictions, once)[0]),
        float(kernel_density_calibration_error(predictions, once)[0]),
        float(kolmogorov_smirnov_error(predictions, once)[0]),
        float(maximum_mean_calibration_error(predictions, once)[0]),
        float(confidence[correct].mean()) if correct.any() else np.nan,
        float(confidence[~correct].mean()) if not correct.all() else np.nan,
    )
    return errors | dict(zip(OTHERS, others, strict=True))
