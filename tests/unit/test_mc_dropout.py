"""mc-dropout: the mean of the stochastic passes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from fgbench import DataError, Predictions
from fgbench.testing import check_calibrator
from fgbench_plugins.calibrators.mc_dropout import MonteCarloDropout


def predictions(passes):
    passes = np.asarray(passes, dtype=np.float64)
    n, k = passes.shape[1:]
    return Predictions(
        logits=np.zeros((n, k)), labels=np.zeros(n, dtype=int), stochastic_logits=passes
    )


def transform(passes):
    calibrator = MonteCarloDropout()
    calibrator.fit(predictions(passes))
    return calibrator.transform(predictions(passes))


def test_mc_dropout_conforms():
    check_calibrator(MonteCarloDropout())


def test_mc_dropout_averages_probabilities():
    passes = [[[np.log(0.9), np.log(0.1)]], [[np.log(0.3), np.log(0.7)]]]
    np.testing.assert_allclose(transform(passes).probabilities(), [[0.6, 0.4]], rtol=1e-6)


def test_mc_dropout_of_any_number_of_passes_and_classes():
    passes = np.random.default_rng(0).normal(size=(7, 5, 4)) * 3
    np.testing.assert_allclose(
        transform(passes).probabilities(), softmax(passes, axis=2).mean(axis=0), rtol=1e-5
    )


def test_zero_probabilities_give_finite_logits():
    calibrated = transform([[[0.0, -1e4]], [[0.0, -np.inf]]])
    assert np.isfinite(calibrated.logits).all()
    np.testing.assert_allclose(calibrated.probabilities(), [[1.0, 0.0]], atol=1e-12)


def test_missing_stochastic_passes_are_an_error():
    plain = Predictions(logits=np.zeros((1, 2)), labels=np.zeros(1, dtype=int))
    with pytest.raises(DataError, match="no stochastic passes"):
        MonteCarloDropout().transform(plain)
