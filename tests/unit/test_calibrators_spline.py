"""spline: the derivative of a natural cubic spline of the accumulated excess.

The reference values are those of probmetrics 1.3.0 (`CDFSplineCalibrator`, a port of the authors'
code), fitted on `formulaic(400, 2)` and asked at `AT`. It puts the i-th of n scores at
(i − 1)/(n − 1) and this one at i/n, hence a tolerance of the order of 1/n.
"""

import numpy as np
import pytest
from scipy.special import expit

from fgbench import DataError, Predictions
from fgbench_plugins.calibrators.spline import Spline, recalibration
from support.calibrators import at_scores, fitted, formulaic, nll, overconfident

AT = np.array([-3, -2, -1, 0, 0.5, 1, 2, 3])
REFERENCE = [0.048361, 0.12798, 0.317402, 0.636297, 0.768734, 0.79262, 0.761939, 0.769139]


def positive(calibrator, predictions):
    return calibrator.transform(predictions.without_labels()).probabilities()[:, 1]


def natural_basis(x, knots):
    """Hastie, Tibshirani and Friedman 2009, eq. 5.4 and 5.5: truncated powers."""

    def d(k):
        cubes = np.maximum(x - knots[k], 0) ** 3 - np.maximum(x - knots[-1], 0) ** 3
        return cubes / (knots[-1] - knots[k])

    return np.column_stack([np.ones_like(x), x, *(d(k) - d(-2) for k in range(len(knots) - 2))])


def test_spline_matches_stored_probmetrics_values():
    ours = positive(fitted(Spline(), formulaic(400, 2)), at_scores(AT))
    np.testing.assert_allclose(ours, REFERENCE, atol=1 / 400)


def test_spline_is_least_squares_natural_spline():
    rng = np.random.default_rng(0)
    scores = np.sort(rng.uniform(0.05, 0.95, 500))
    hits = rng.random(500) < scores**2
    t = np.arange(501) / 500
    accumulated = np.concatenate([[0], np.cumsum(hits - scores)]) / 500
    knots = np.linspace(0, 1, 6)
    weights = np.linalg.lstsq(natural_basis(t, knots), accumulated, rcond=None)[0]
    middle, step = (np.arange(500) + 0.5) / 500, 1e-5
    slope = (natural_basis(middle + step, knots) - natural_basis(middle - step, knots)) / (2 * step)
    ours = recalibration(scores, hits, 6)(scores)
    np.testing.assert_allclose(ours, scores + slope @ weights, atol=1e-6)


def test_spline_recovers_known_map():
    rng = np.random.default_rng(1)
    p = rng.uniform(size=100_000)
    truth = 0.1 + 0.8 * p**2
    mapping = recalibration(p, rng.random(100_000) < truth, 6)
    at = np.linspace(0.1, 0.9, 25)
    np.testing.assert_allclose(mapping(at), 0.1 + 0.8 * at**2, atol=0.015)
    ends = np.array([0.0, 1.0])  # a natural spline is straight there, and γ flat
    np.testing.assert_allclose(mapping(ends), [0.1, 0.9], atol=0.08)


@pytest.mark.parametrize("target", ["classes", "top-label"])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_spline_nearly_keeps_calibrated_predictions(target, n_classes):
    held_out = overconfident(20_000, n_classes, 1.0)
    result = fitted(Spline(target=target), held_out).transform(held_out).probabilities()
    assert np.abs(result - held_out.probabilities()).mean() < 0.01


@pytest.mark.parametrize("target", ["classes", "top-label"])
@pytest.mark.parametrize("n_classes", [2, 5])
def test_spline_lowers_nll_of_overconfident_predictions(target, n_classes):
    held_out, test = (overconfident(3000, n_classes, 4.0, seed) for seed in (0, 1))
    result = fitted(Spline(target=target), held_out).transform(test.without_labels())
    assert nll(result, test.labels) < nll(test, test.labels) - 0.1
    np.testing.assert_allclose(result.probabilities().sum(axis=1), 1, atol=1e-12)


def test_top_label_spline_keeps_proportions_of_other_classes():
    held_out = overconfident(2000, 4, 2.0)
    before = held_out.probabilities()
    after = fitted(Spline(target="top-label"), held_out).transform(held_out).probabilities()
    rows = np.arange(2000)
    top = before.argmax(axis=1)
    hits = top == held_out.labels
    expected = recalibration(before[rows, top], hits, 6)(before[rows, top])
    np.testing.assert_allclose(after[rows, top], np.clip(expected, 1e-6, 1 - 1e-6), atol=1e-6)
    before[rows, top], after[rows, top] = 0, 0
    before, after = (p / p.sum(axis=1, keepdims=True) for p in (before, after))
    np.testing.assert_allclose(before, after, atol=1e-5)


def test_spline_does_not_depend_on_order_of_ties():
    rng = np.random.default_rng(0)
    scores, hits = rng.integers(1, 5, 200) / 5, rng.random(200) < 0.5
    order = rng.permutation(200)
    at = np.linspace(0, 1, 11)
    first = recalibration(scores, hits, 6)(at)
    np.testing.assert_allclose(recalibration(scores[order], hits[order], 6)(at), first, atol=1e-12)


def test_spline_of_identical_scores_is_base_rate():
    held_out = Predictions(at_scores(np.full(50, 1.0)).logits, np.arange(50) % 5 // 4)
    np.testing.assert_allclose(positive(fitted(Spline(), held_out), held_out), 0.2, atol=1e-6)


def test_spline_is_equivariant_to_class_order():
    held_out, order = overconfident(400, 4, 2.0), np.array([2, 0, 3, 1])
    renamed = Predictions(held_out.logits[:, order], np.argsort(order)[held_out.labels])
    first = fitted(Spline(), held_out).transform(held_out).probabilities()
    second = fitted(Spline(), renamed).transform(renamed).probabilities()
    np.testing.assert_allclose(second, first[:, order], atol=1e-5)


def test_spline_refuses_too_few_rows_and_single_class():
    with pytest.raises(DataError, match="calibrator spline: 5 held-out rows cannot determine 6"):
        Spline().fit(overconfident(5, 2, 1.0))
    with pytest.raises(DataError, match="all 9 held-out rows have the label 1"):
        Spline().fit(Predictions(np.zeros((9, 2)), np.ones(9, dtype=int)))
    with pytest.raises(DataError, match="needs labeled"):
        Spline(target="top-label").fit(overconfident(9, 2, 1.0).without_labels())


@pytest.mark.filterwarnings("ignore")
def test_spline_matches_installed_probmetrics():
    peers = pytest.importorskip("probmetrics.calibrators", reason="probmetrics is not installed")
    held_out = overconfident(50_000, 2, 3.0)
    theirs = peers.CDFSplineCalibrator()
    theirs.fit(held_out.probabilities(), held_out.labels)
    expected = theirs.predict_proba(np.column_stack([expit(-AT), expit(AT)]))[:, 1]
    ours = positive(fitted(Spline(), held_out), at_scores(AT))
    np.testing.assert_allclose(ours, expected, atol=1e-4)
