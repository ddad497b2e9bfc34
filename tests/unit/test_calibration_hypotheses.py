"""Tests of perfect calibration: against scikit-learn and scipy, level and power."""

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression

from fgbench.calibration import (
    cox_test,
    predictions_from_probabilities,
    skce_test,
    spiegelhalter_test,
)


def sample(n, slope, seed):
    rng = np.random.default_rng(seed)
    z = 1.5 * rng.normal(size=n)
    y = (rng.random(n) < 1 / (1 + np.exp(-slope * z))).astype(int)
    return predictions_from_probabilities(1 / (1 + np.exp(-z)), y), z, y


def test_cox_equals_unpenalized_logistic_regression():
    predictions, z, y = sample(400, 0.6, 0)
    found = cox_test(predictions)
    peer = LogisticRegression(C=1e10, tol=1e-10).fit(z[:, None], y)
    assert found.slope == pytest.approx(peer.coef_[0, 0], abs=1e-4)
    assert found.intercept == pytest.approx(peer.intercept_[0], abs=1e-4)


def test_cox_of_separable_labels_is_undefined():
    p = np.array([0.1, 0.2, 0.8, 0.9])
    assert np.isnan(cox_test(predictions_from_probabilities(p, [0, 0, 1, 1])).slope)


def test_spiegelhalter_by_hand():
    # Terms (y − p)(1 − 2p): .2·(−.6), −.3·.4; variances .36·.16, .16·.21
    found = spiegelhalter_test(predictions_from_probabilities([0.8, 0.3], [1, 0]))
    z = (-0.12 - 0.12) / np.sqrt(0.36 * 0.16 + 0.16 * 0.21)
    assert found.statistic == pytest.approx(z)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(z)))


def test_skce_of_two_pairs_by_hand():
    p = np.array([0.5, 0.5, 0.5, 0.5])
    found = skce_test(predictions_from_probabilities(p, [1, 1, 1, 0]))
    # residuals ±(½, −½): products ½ for equal labels, −½ otherwise; kernel 1
    assert found.statistic == pytest.approx((3 * 0.5 - 3 * 0.5) / 6)


@pytest.mark.parametrize("test", [cox_test, spiegelhalter_test, skce_test])
def test_level_and_power(test):
    level = np.mean([test(sample(200, 1.0, seed)[0]).p_value < 0.05 for seed in range(200)])
    assert 0.02 <= level <= 0.085
    power = np.mean([test(sample(300, 0.4, seed)[0]).p_value < 0.05 for seed in range(40)])
    assert power > (0.8 if test is skce_test else 0.95)
