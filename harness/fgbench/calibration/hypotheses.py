"""Tests of perfect calibration, beside the sizes of calibration errors.

Each takes probabilities and labels of n independent rows, and tests the hypothesis that every label
was drawn from its row's probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, ndtr

from fgbench.calibration.reliability import positive_class
from fgbench.digests import seed_for

if TYPE_CHECKING:
    from fgbench.data import Predictions

Floats = NDArray[np.float64]
Weights = NDArray[Any]

_NEAR_CERTAIN = 1e-12
_STEPS, _CONVERGED = 50, 1e-10
_MOST_ROWS = 2000
_SEPARATED = 1e-6


@dataclass(frozen=True)
class CalibrationTest:
    """A statistic, and the p-value of perfect calibration."""

    statistic: float
    p_value: float


@dataclass(frozen=True)
class CoxTest:
    """Intercept and slope of logit P(y=1) on logit p, 0 and 1 for a calibrated classifier.

    `p_value` is that of the likelihood ratio test of both.
    """

    intercept: float
    slope: float
    p_value: float


def spiegelhalter_test(predictions: Predictions) -> CalibrationTest:
    """Return Spiegelhalter's Z of binary predictions, and its two-sided p-value.

    Source: Spiegelhalter 1986, section 6.
    """
    z = float(spiegelhalter_z(predictions, np.ones((1, len(predictions))))[0])
    return CalibrationTest(z, float(2.0 * ndtr(-abs(z))))


def spiegelhalter_z(predictions: Predictions, weights: Weights) -> Floats:
    """Return Z = Σ(y − p)(1 − 2p) / √Σ(1 − 2p)² p(1 − p) in each replicate, (R,).

    NaN where all probabilities are 0, ½ or 1.
    """
    p, outcome = positive_class(predictions)
    terms = (outcome - p) * (1.0 - 2.0 * p)
    variances = (1.0 - 2.0 * p) ** 2 * p * (1.0 - p)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = (weights @ terms) / np.sqrt(weights @ variances)
    return np.where(np.isfinite(z), z, np.nan)


def cox_test(predictions: Predictions) -> CoxTest:
    """Return Cox's recalibration test of binary predictions. Source: Cox 1958.

    Intercept, slope and p-value are NaN if the labels can be separated perfectly.
    """
    once = np.ones((1, len(predictions)))
    intercept, slope = (float(values[0]) for values in cox_recalibration(predictions, once))
    if np.isnan(slope):
        return CoxTest(intercept, slope, float("nan"))
    x, y = _logits_and_labels(predictions)
    gain = _log_likelihood(intercept + slope * x, y) - _log_likelihood(x, y)
    return CoxTest(intercept, slope, float(chdtrc(2.0, max(0.0, 2.0 * gain))))


def cox_recalibration(predictions: Predictions, weights: Weights) -> tuple[Floats, Floats]:
    """Return intercept and slope of logit P(y=1) on logit p in each replicate, (R,) each.

    Newton's method; NaN where it does not converge, as for labels that can be separated.
    """
    x, y = _logits_and_labels(predictions)
    a, b = np.zeros(len(weights)), np.ones(len(weights))
    moved = np.full(len(weights), np.inf)
    with np.errstate(all="ignore"):
        for _ in range(_STEPS):
            q = 1.0 / (1.0 + np.exp(-(a[:, None] + b[:, None] * x)))
            residual, curvature = weights * (y - q), weights * q * (1.0 - q)
            g0, g1 = residual.sum(axis=1), residual @ x
            h00, h01, h11 = curvature.sum(axis=1), curvature @ x, curvature @ x**2
            determinant = h00 * h11 - h01**2
            step_a = (h11 * g0 - h01 * g1) / determinant
            step_b = (h00 * g1 - h01 * g0) / determinant
            a, b = a + step_a, b + step_b
            moved = np.abs(step_a) + np.abs(step_b)
            if not (moved > _CONVERGED).any():
                break
    # Labels that can be separated leave no curvature.
    found = (moved <= 1e-6) & (h00 > _SEPARATED * weights.sum(axis=1))
    return np.where(found, a, np.nan), np.where(found, b, np.nan)


def skce_test(predictions: Predictions, *, draws: int = 200) -> CalibrationTest:
    """Return the squared kernel calibration error of all classes, and the p-value of 0.

    The statistic is the unbiased quadratic estimator, of the first 2,000 rows. Its distribution
    under perfect calibration is that for labels drawn from the predictions. The kernel is exp(−d/m)
    times the identity, d the total variation distance of two rows' probabilities and m its median.
    Source: Widmann, Lindsten and Zachariah 2019, lemma 2; Bröcker and Smith 2007 for the draws. NaN
    for fewer than two rows.
    """
    p = np.asarray(predictions.probabilities()[:_MOST_ROWS], dtype=np.float64)
    n, classes = p.shape
    if n < 2:
        return CalibrationTest(float("nan"), float("nan"))
    distance = np.zeros((n, n))
    for k in range(classes):
        distance += 0.5 * np.abs(p[:, k, None] - p[:, k])
    scale = float(np.median(distance[np.triu_indices(n, 1)])) or 1.0
    kernel = np.exp(-distance / scale)
    np.fill_diagonal(kernel, 0.0)
    measured = _skce(kernel, p, predictions.labels[:n])
    rng = np.random.default_rng(seed_for("skce", n, draws))
    above = 0
    for _ in range(draws):
        labels = (p.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
        above += _skce(kernel, p, np.minimum(labels, classes - 1)) >= measured
    return CalibrationTest(measured, (above + 1) / (draws + 1))


def _skce(kernel: Floats, p: Floats, labels: NDArray[Any]) -> float:
    residual = -p
    residual[np.arange(len(p)), labels] += 1.0
    return float(np.sum((kernel @ residual) * residual) / (len(p) * (len(p) - 1)))


def _logits_and_labels(predictions: Predictions) -> tuple[Floats, Floats]:
    p, outcome = positive_class(predictions)
    inner = np.clip(p, _NEAR_CERTAIN, 1.0 - _NEAR_CERTAIN)
    return np.log(inner) - np.log1p(-inner), outcome.astype(np.float64)


def _log_likelihood(logits: Floats, labels: Floats) -> float:
    return float(labels @ logits - np.logaddexp(0.0, logits).sum())
