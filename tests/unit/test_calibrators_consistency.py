"""consistency: shares of noisy logits, against integrals and the closed form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.integrate import quad
from scipy.stats import norm

from fgbench import DataError, Predictions, calibration
from fgbench_plugins.calibrators import consistency
from fgbench_plugins.calibrators.consistency import Consistency
from support.calibrators import at_scores, fitted, nll, overconfident

NOISE = np.geomspace(0.01, 100, 81)


def exact_share(logits, k, noise):
    """P(argmax(z + ε·noise) = k) = ∫ φ(t) Π_j Φ(t + (z_k − z_j)/ε) dt, by quadrature."""
    others = (logits[k] - np.delete(logits, k)) / noise
    return quad(lambda t: norm.pdf(t) * norm.cdf(t + others).prod(), -9, 9, epsabs=1e-10)[0]


def ece(predictions, labels):
    p = predictions.probabilities()
    right = p.argmax(axis=1) == labels
    return calibration.reliability_diagram(p.max(axis=1), right, 15).expected_calibration_error


@pytest.mark.parametrize("margin", [-3.0, -0.2, 0.0, 1.0, 4.0])
def test_binary_consistency_closed_form_is_integral(margin):
    calibrator = Consistency()
    calibrator.noise_ = 1.7
    share = calibrator.transform(at_scores([margin])).probabilities()[0, 1]
    assert share == pytest.approx(norm.cdf(margin / (1.7 * np.sqrt(2))), abs=1e-6)
    assert share == pytest.approx(exact_share(np.array([0, margin]), 1, 1.7), abs=1e-6)


def test_many_draws_approach_integral():
    logits = np.array([[2.0, 1.0, -1.0], [0.5, 0.4, 0.3], [-2.0, 3.0, 2.5]])
    calibrator = Consistency(draws=200_000)
    calibrator.noise_ = 1.3
    shares = calibrator.transform(Predictions(logits, np.full(3, -1))).probabilities()
    expected = [[exact_share(row, k, 1.3) for k in range(3)] for row in logits]
    np.testing.assert_allclose(shares, expected, atol=4 * 0.5 / np.sqrt(200_000))


def test_thousand_draws_are_within_binomial_error():
    logits = overconfident(8, 4, 2.0).logits
    calibrator = Consistency()
    calibrator.noise_ = 2.0
    shares = calibrator.transform(Predictions(logits, np.full(8, -1))).probabilities()
    expected = np.array([[exact_share(row, k, 2.0) for k in range(4)] for row in logits])
    errors = (shares - expected) / np.sqrt(expected * (1 - expected) / 1000 + 1e-6)
    assert np.abs(errors).max() < 5


def test_shares_for_every_noise_match_direct_count():
    logits = overconfident(40, 5, 2.0).logits.astype(float)
    noise = np.random.default_rng(0).standard_normal((300, 5))
    fast = consistency._drawn_confidences(logits, noise)
    for at in (0, 40, 60, 80):
        strength = NOISE[at]
        winner = (logits[:, None, :] + strength * noise).argmax(axis=2)
        slow = (winner == logits.argmax(axis=1)[:, None]).mean(axis=1)
        np.testing.assert_allclose(fast[at], slow, atol=1e-12)


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_noise_minimizes_held_out_ece(n_classes):
    held_out = overconfident(800, n_classes, 3.0)
    calibrator = fitted(Consistency(draws=300), held_out)
    least = ece(calibrator.transform(held_out), held_out.labels)
    for factor in (0.8, 1.0, 1.25):
        other = Consistency(draws=300)
        other.noise_ = float(NOISE[np.abs(NOISE / calibrator.noise_ - factor).argmin()])
        assert least <= ece(other.transform(held_out), held_out.labels) + 2e-3


@pytest.mark.parametrize("n_classes", [2, 5])
def test_consistency_lowers_ece_and_nll(n_classes):
    held_out, test = (overconfident(3000, n_classes, 4.0, seed) for seed in (0, 1))
    result = fitted(Consistency(), held_out).transform(test.without_labels())
    assert nll(result, test.labels) < nll(test, test.labels) - 0.1
    assert ece(result, test.labels) < ece(test, test.labels) / 2
    np.testing.assert_allclose(result.probabilities().sum(axis=1), 1, atol=1e-12)


@given(hnp.arrays(np.float32, (12, 4), elements=st.floats(-30, 30, width=16)), st.integers(0, 80))
def test_consistency_keeps_predicted_class(logits, at):
    top_two = np.sort(logits, axis=1)[:, -2:]
    logits = logits[top_two[:, 1] > top_two[:, 0]]
    calibrator = Consistency(draws=20)
    calibrator.noise_ = float(NOISE[at])
    result = calibrator.transform(Predictions(logits, np.full(len(logits), -1)))
    assert (result.logits.argmax(axis=1) == logits.argmax(axis=1)).all()


def test_consistency_keeps_binary_ranking():
    calibrator = fitted(Consistency(), overconfident(200, 2, 2.0))
    logits = calibrator.transform(at_scores(np.linspace(-8, 8, 50))).logits
    assert (np.diff(logits[:, 1] - logits[:, 0]) > 0).all()


def test_consistency_is_equivariant_to_class_order():
    held_out, order = overconfident(400, 4, 2.0), np.array([2, 0, 3, 1])
    calibrator = Consistency()
    calibrator.noise_ = 2.0
    first = calibrator.transform(held_out).probabilities()
    second = calibrator.transform(held_out.with_logits(held_out.logits[:, order])).probabilities()
    assert np.abs(second - first[:, order]).max() < 6 * np.sqrt(0.25 * 2 / 1000)


def test_all_correct_held_out_gets_smallest_noise():
    held_out = Predictions(8 * np.eye(3)[np.arange(30) % 3], np.arange(30) % 3)
    calibrator = fitted(Consistency(), held_out)
    assert calibrator.noise_ == pytest.approx(0.01)
    assert np.isfinite(calibrator.transform(held_out).logits).all()


def test_consistency_refuses_unlabeled_rows():
    with pytest.raises(DataError, match="calibrator consistency: needs labeled held-out"):
        Consistency().fit(overconfident(5, 2, 1.0).without_labels())
