"""histogram and beta: maps of one score, one class against the rest.

The reference values are those of probmetrics 1.3.0 (`BinaryHistogramBinningCalibrator`, strategy
quantile), betacal 1.1.0 (`parameters="abm"`) and netcal 1.4.0 (`BetaCalibration(method="mle")`),
fitted on `formulaic(400, 2)` and asked at `AT`; where they are installed, they are asked anew.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from fgbench import DataError, Predictions
from fgbench_plugins.calibrators.beta import Beta
from fgbench_plugins.calibrators.histogram import HistogramBinning
from support.calibrators import at_scores, fitted, formulaic, nll, overconfident

AT = np.array([-6, -3, -1, 0, 0.5, 2, 4, 8])


def positive(calibrator, predictions):
    return calibrator.transform(predictions.without_labels()).probabilities()[:, 1]


def test_histogram_matches_stored_probmetrics_values():
    calibrator = fitted(HistogramBinning(bins=8), formulaic(400, 2))
    theirs = [0.02, 0.04, 0.22, 0.68, 0.68, 0.72, 0.94, 0.98]
    np.testing.assert_allclose(positive(calibrator, at_scores(AT)), theirs, atol=1e-6)


def test_histogram_by_hand():
    """Two bins of three: shares 1/3 and 2/3; the edge is the median, half way."""
    held_out = at_scores([-3, -2, -1, 1, 2, 3])
    held_out = Predictions(held_out.logits, np.array([0, 1, 0, 1, 1, 0]))
    calibrator = fitted(HistogramBinning(bins=2), held_out)
    asked = at_scores([-9, -0.1, 0, 0.1, 9])
    np.testing.assert_allclose(
        positive(calibrator, asked), [1 / 3, 1 / 3, 2 / 3, 2 / 3, 2 / 3], atol=1e-6
    )


@given(
    hnp.arrays(np.float64, 40, elements=st.sampled_from([-2.0, -1.0, 0.0, 1.0, 3.0])),
    st.integers(1, 40),
    st.integers(0, 1000),
)
def test_histogram_bin_mean_is_class_share(scores, bins, seed):
    labels = np.random.default_rng(seed).integers(0, 2, 40)
    labels[:2] = 0, 1
    held_out = Predictions(at_scores(scores).logits, labels)
    result = positive(fitted(HistogramBinning(bins=bins), held_out), held_out)
    for value in np.unique(result):
        share = labels[result == value].mean()
        assert value == pytest.approx(np.clip(share, 1e-6, 1 - 1e-6), abs=1e-6)
    for score in np.unique(scores):
        assert len(np.unique(result[scores == score])) == 1


def test_one_bin_histogram_is_base_rate():
    held_out = overconfident(300, 3, 3.0)
    result = fitted(HistogramBinning(bins=1), held_out).transform(held_out).probabilities()
    rates = np.bincount(held_out.labels) / 300
    np.testing.assert_allclose(result, np.tile(rates, (300, 1)), atol=1e-6)


def test_histogram_refuses_fewer_rows_than_bins():
    with pytest.raises(DataError, match=r"calibrator histogram: 10 held-out rows cannot fill 15 b"):
        HistogramBinning().fit(overconfident(10, 2, 1.0))


def test_beta_matches_stored_betacal_and_netcal_values():
    """Within what their optimizers leave: betacal's stops early, netcal's is nearer."""
    calibrator = fitted(Beta(), formulaic(400, 2))
    betacal = [0.00206043, 0.06415942, 0.36771392, 0.57893771]
    betacal += [0.66194632, 0.81327605, 0.90370222, 0.9735578]
    netcal = [0.00206341, 0.0641879, 0.36769611, 0.5788768]
    netcal += [0.66187943, 0.81322773, 0.90368501, 0.97356104]
    ours = positive(calibrator, at_scores(AT))
    np.testing.assert_allclose(ours, betacal, atol=1e-4)
    np.testing.assert_allclose(ours, netcal, atol=2e-5)


def test_beta_is_logistic_regression_on_two_logarithms():
    held_out = overconfident(1000, 2, 3.0, seed=4)
    p = held_out.probabilities()[:, 1]
    inputs = np.column_stack([np.log(p), -np.log1p(-p)])
    theirs = LogisticRegression(C=1e9, tol=1e-10, max_iter=1000).fit(inputs, held_out.labels)
    assert (theirs.coef_ > 0).all()
    ours = positive(fitted(Beta(), held_out), held_out)
    np.testing.assert_allclose(ours, theirs.predict_proba(inputs)[:, 1], atol=2e-5)


def test_beta_recovers_its_own_map():
    rng = np.random.default_rng(0)
    scores = rng.normal(scale=3, size=100_000)
    p = expit(scores)
    labels = rng.random(100_000) < expit(0.4 * np.log(p) - 0.8 * np.log1p(-p) + 0.3)
    calibrator = fitted(Beta(), Predictions(at_scores(scores).logits, labels.astype(int)))
    q = expit(AT)
    expected = expit(0.4 * np.log(q) - 0.8 * np.log1p(-q) + 0.3)
    np.testing.assert_allclose(positive(calibrator, at_scores(AT)), expected, atol=0.01)


def test_beta_of_calibrated_predictions_is_nearly_the_identity():
    held_out = overconfident(50_000, 2, 1.0)
    result = positive(fitted(Beta(), held_out), at_scores(AT[1:-1]))
    np.testing.assert_allclose(result, expit(AT[1:-1]), atol=0.02)


@given(hnp.arrays(np.float64, 30, elements=st.floats(-20, 20)), st.integers(0, 1000))
def test_beta_keeps_binary_ranking(scores, seed):
    labels = np.random.default_rng(seed).integers(0, 2, 30)
    labels[:2] = 0, 1
    calibrator = fitted(Beta(), Predictions(at_scores(scores).logits, labels))
    result = calibrator.transform(at_scores(np.sort(scores))).logits.astype(float)
    assert (np.diff(result[:, 1] - result[:, 0]) >= -1e-5).all()


def test_beta_of_reversed_labels_is_the_base_rate():
    """a and b would be negative, so both are 0."""
    held_out = overconfident(2000, 2, 1.0)
    reverse = Predictions(held_out.logits, 1 - held_out.labels)
    result = positive(fitted(Beta(), reverse), at_scores(AT))
    np.testing.assert_allclose(result, reverse.labels.mean(), atol=1e-3)


def test_beta_of_separable_rows_is_finite():
    held_out = Predictions(at_scores([-2, -1, 1, 2]).logits, np.array([0, 0, 1, 1]))
    result = positive(fitted(Beta(), held_out), held_out)
    assert (logit(result[:2]) < -3).all()
    assert (logit(result[2:]) > 3).all()


@pytest.mark.parametrize("kind", [HistogramBinning, Beta])
def test_binary_maps_are_equivariant_to_class_order(kind):
    held_out, order = overconfident(400, 4, 2.0), np.array([2, 0, 3, 1])
    renamed = Predictions(held_out.logits[:, order], np.argsort(order)[held_out.labels])
    first = fitted(kind(), held_out).transform(held_out).probabilities()
    second = fitted(kind(), renamed).transform(renamed).probabilities()
    np.testing.assert_allclose(second, first[:, order], atol=1e-5)


@pytest.mark.parametrize("kind", [HistogramBinning, Beta])
@pytest.mark.parametrize("n_classes", [2, 5])
def test_binary_maps_lower_nll_of_overconfident_predictions(kind, n_classes):
    held_out, test = (overconfident(3000, n_classes, 4.0, seed) for seed in (0, 1))
    result = fitted(kind(), held_out).transform(test.without_labels())
    assert nll(result, test.labels) < nll(test, test.labels) - 0.1
    np.testing.assert_allclose(result.probabilities().sum(axis=1), 1, atol=1e-12)


@pytest.mark.parametrize("kind", [HistogramBinning, Beta])
def test_binary_maps_refuse_single_class_or_unlabeled(kind):
    held_out = overconfident(30, 2, 1.0)
    with pytest.raises(DataError, match="all 30 held-out rows have the label 1, but it needs two"):
        kind().fit(Predictions(held_out.logits, np.ones(30, dtype=int)))
    with pytest.raises(DataError, match="needs labeled"):
        kind().fit(held_out.without_labels())


@pytest.mark.filterwarnings("ignore")
def test_histogram_matches_installed_probmetrics():
    peers = pytest.importorskip("probmetrics.calibrators", reason="probmetrics is not installed")
    held_out, test = overconfident(997, 2, 3.0), overconfident(300, 2, 3.0, seed=1)
    theirs = peers.BinaryHistogramBinningCalibrator(n_bins=10, strategy="quantile")
    theirs.fit(held_out.probabilities(), held_out.labels)
    ours = positive(fitted(HistogramBinning(bins=10), held_out), test)
    other = theirs.predict_proba(test.probabilities())[:, 1]
    # An edge lies between two scores; there, half way in log-odds is not half way in probability.
    assert (np.abs(ours - other) > 1e-5).mean() < 0.02


@pytest.mark.filterwarnings("ignore")
def test_beta_matches_installed_netcal_and_betacal():
    held_out, test = overconfident(997, 2, 3.0), overconfident(300, 2, 3.0, seed=1)
    ours = positive(fitted(Beta(), held_out), test)
    netcal = pytest.importorskip("netcal.scaling", reason="netcal is not installed")
    theirs = netcal.BetaCalibration(method="mle")
    theirs.fit(held_out.probabilities()[:, 1], held_out.labels)
    np.testing.assert_allclose(ours, theirs.transform(test.probabilities()[:, 1]), atol=2e-5)
    betacal = pytest.importorskip("betacal", reason="betacal is not installed")
    theirs = betacal.BetaCalibration(parameters="abm")
    theirs.fit(held_out.probabilities()[:, 1:], held_out.labels)
    np.testing.assert_allclose(ours, theirs.predict(test.probabilities()[:, 1]), atol=1e-4)
