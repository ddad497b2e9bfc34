"""The noise floor against resampled outcomes, the bounds against simulation."""

import numpy as np
import pytest
from scipy import stats

from fgbench.calibration import (
    binned_calibration_error,
    bounds_sentences,
    classwise_noise_floor,
    noise_floor,
    paper_bound,
    predictions_from_probabilities,
    valid_bound,
)
from fgbench.calibration.noise import mean_absolute_deviations
from fgbench.errors import DataError


@pytest.mark.parametrize(("n", "p"), [(1, 0.5), (1, 0.01), (7, 0.3), (40, 0.975), (900, 0.5)])
def test_mean_absolute_deviation_matches_binomial(n, p):
    x = np.arange(n + 1)
    expected = np.sum(np.abs(x - n * p) * stats.binom.pmf(x, n, p))
    assert mean_absolute_deviations(np.array([n]), np.array([p]))[0] == pytest.approx(expected)


@pytest.mark.parametrize("n", [0, 5])
@pytest.mark.parametrize("p", [0.0, 1.0])
def test_certain_predictions_have_no_deviation(n, p):
    assert mean_absolute_deviations(np.array([n]), np.array([p]))[0] == 0.0


@pytest.mark.parametrize(
    ("label", "scheme"), [(1, "width"), (-1, "width"), (-1, "mass"), (0, "mass")]
)
@pytest.mark.parametrize("n", [120, 1500])
def test_noise_floor_matches_simulation(label, scheme, n):
    rng = np.random.default_rng(n)
    p = rng.beta(0.7, 1.5, size=n)
    drawn = []
    for _ in range(400):
        resampled = predictions_from_probabilities(p, rng.random(n) < p)
        drawn += binned_calibration_error(
            resampled, np.ones((1, n)), bins=15, scheme=scheme, label=label
        ).tolist()
    floor = noise_floor(resampled, bins=15, scheme=scheme, label=label)
    spread = np.std(drawn) / np.sqrt(len(drawn))
    assert floor == pytest.approx(np.mean(drawn), abs=4 * spread + 0.01 * floor)


def test_noise_floor_does_not_depend_on_labels():
    p = np.random.default_rng(0).random(200)
    one = predictions_from_probabilities(p, np.zeros(200))
    other = predictions_from_probabilities(p, np.ones(200))
    assert noise_floor(one, bins=15) == pytest.approx(noise_floor(other, bins=15), rel=1e-12)
    assert classwise_noise_floor(one, bins=15) > 0


def draw_bins(rng, n, shares, accuracy):
    """Return counts and accuracies of bins in a sample of n."""
    counts = rng.multinomial(n, shares)
    hits = rng.binomial(counts, accuracy)
    return counts, np.divide(hits, counts, out=np.zeros(len(shares)), where=counts > 0)


def test_valid_bound_coverage():
    rng = np.random.default_rng(0)
    shares = np.array([0.5, 0.3, 0.15, 0.05])
    accuracy, confidence = np.array([0.3, 0.6, 0.75, 0.9]), np.array([0.2, 0.4, 0.6, 0.8])
    for n in (50, 400):
        bound, broken = valid_bound(n, 4, delta=0.1), 0
        for _ in range(1000):
            counts, seen = draw_bins(rng, n, shares, accuracy)
            weights = counts / n
            sample = np.sum(weights * np.abs(seen - confidence))
            true = np.sum(weights * np.abs(accuracy - confidence))
            broken += abs(sample - true) > bound
        assert broken <= 100


def test_paper_bound_fails_on_counterexample():
    """Two bins whose errors cancel in ΔAcc: the ECE is off by 0.1, however many points there are.

    The bound, as printed, promises any ε > 0 from some n on.
    """
    shares, confidence = np.array([0.5, 0.5]), np.array([0.3, 0.7])
    training, truth = np.array([0.3, 0.7]), np.array([0.4, 0.6])
    difference = np.sum(shares * np.abs(training - confidence)) - np.sum(
        shares * np.abs(truth - confidence)
    )
    assert abs(difference) == pytest.approx(0.1)
    assert np.sum(shares * (training - truth)) == pytest.approx(0)
    assert paper_bound(10_000, shares, confidence, confidence).epsilon < 0.02


def test_paper_bound_and_sample_size_are_inverse():
    shares, confidence = [0.25, 0.75], [0.2, 0.9]
    bound = paper_bound(500, shares, confidence, confidence, delta=0.05)
    assert bound.epsilon == pytest.approx(np.sqrt(np.log(2 / 0.025) / 1000))
    assert bound.n == pytest.approx(500)
    shifted = paper_bound(500, shares, confidence, [0.3, 0.8], delta=0.05)
    assert shifted.epsilon == pytest.approx(bound.epsilon + 0.1)
    assert shifted.n == pytest.approx(np.log(80) / (2 * (shifted.epsilon - 0.05) ** 2))


def test_bounds_text_states_validity():
    said = bounds_sentences(1000, 15)
    assert f"{valid_bound(1000, 15):.3f}".removeprefix("0") in said
    assert f"{np.sqrt(np.log(80) / 2000):.3f}".removeprefix("0") in said
    assert "its proof does not hold" in said


@pytest.mark.parametrize("arguments", [(0, 15), (10, 0)])
def test_bounds_refuse_empty_input(arguments):
    with pytest.raises(DataError, match="at least one"):
        valid_bound(*arguments)
    with pytest.raises(DataError, match="between 0 and 1"):
        valid_bound(10, 15, delta=1.0)
