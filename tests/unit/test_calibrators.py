"""none, temperature, platt and isotonic: scikit-learn's maps, for any number of classes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import expit, log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression

from fgbench import DataError, Predictions
from fgbench_plugins.calibrators.identity import Identity
from fgbench_plugins.calibrators.isotonic import Isotonic
from fgbench_plugins.calibrators.platt import Platt
from fgbench_plugins.calibrators.temperature import Temperature
from support.calibrators import nll, overconfident

ALL = [Identity, Temperature, Platt, Isotonic]


class GivenLogits(ClassifierMixin, BaseEstimator):
    """A classifier whose decision values are its inputs."""

    def __init__(self, n_classes=2):
        self.n_classes = n_classes
        self.classes_ = np.arange(n_classes)

    def fit(self, inputs, labels):
        return self

    def predict(self, inputs):
        raise AssertionError("a calibrator needs decision values only")

    def decision_function(self, inputs):
        return inputs[:, 0] if self.n_classes == 2 else inputs


def fitted(kind, held_out):
    calibrator = kind()
    calibrator.fit(held_out)
    return calibrator


def scikit_learn(method, decision, labels, n_classes=2):
    model = CalibratedClassifierCV(
        FrozenEstimator(GivenLogits(n_classes)), method=method, ensemble=False
    )
    return model.fit(decision, labels)


def margin(predictions):
    return np.diff(predictions.logits.astype(float), axis=1)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_temperature_matches_scikit_learn_and_truth(n_classes):
    held_out = overconfident(4000, n_classes, 3.0)
    calibrator = fitted(Temperature, held_out)
    decision = (
        margin(held_out) / 2
        if n_classes == 2
        else log_softmax(held_out.logits.astype(float), axis=1)
    )
    theirs = scikit_learn("temperature", decision, held_out.labels, n_classes)
    np.testing.assert_allclose(
        calibrator.transform(held_out).probabilities(), theirs.predict_proba(decision), atol=1e-5
    )
    assert calibrator.temperature_ == pytest.approx(3.0, rel=0.1)


@pytest.mark.parametrize(("labels", "expected"), [([0, 1], 0.01), ([1, 0], 100.0)])
def test_temperature_stays_within_its_bounds(labels, expected):
    held_out = Predictions(np.array([[2.0, 0.0], [0.0, 2.0]]), np.array(labels))
    assert fitted(Temperature, held_out).temperature_ == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("margin", [0.01, 1.0, 50.0, 300.0])
@pytest.mark.parametrize(("right", "expected"), [(True, 0.01), (False, 100.0)])
def test_temperature_reaches_bound_for_extreme_logits(margin, right, expected):
    labels = np.array([0, 1, 2, 0])
    logits = margin * np.eye(3)[labels if right else (labels + 1) % 3]
    held_out = Predictions(logits, labels)
    assert fitted(Temperature, held_out).temperature_ == pytest.approx(expected, rel=1e-6)


@given(st.floats(0.05, 20), st.integers(2, 6), st.integers(0, 1000))
def test_temperature_scales_with_logits(factor, n_classes, seed):
    held_out = overconfident(60, n_classes, 1.0, seed)
    scaled = held_out.with_logits(held_out.logits * np.float32(factor))
    first, second = (fitted(Temperature, each).temperature_ for each in (held_out, scaled))
    if 0.02 < first < 50 and 0.02 < second < 50:
        assert second == pytest.approx(float(np.float32(factor)) * first, rel=1e-4)


def test_temperature_of_constant_logits_is_one():
    held_out = Predictions(np.zeros((4, 3)), np.array([0, 1, 2, 0]))
    assert fitted(Temperature, held_out).temperature_ == pytest.approx(1.0)


def test_temperature_can_be_fitted_on_one_class():
    held_out = overconfident(200, 2, 2.0)
    one = held_out.take(np.flatnonzero(held_out.labels == 1))
    assert 0.01 <= fitted(Temperature, one).temperature_ <= 100


def test_platt_matches_scikit_learn():
    held_out, test = overconfident(500, 2, 3.0), overconfident(100, 2, 3.0, seed=1)
    theirs = scikit_learn("sigmoid", margin(held_out), held_out.labels)
    ours = fitted(Platt, held_out).transform(test.without_labels())
    np.testing.assert_allclose(ours.probabilities(), theirs.predict_proba(margin(test)), atol=1e-5)


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_multiclass_calibrators_match_scikit_learn(method):
    held_out, test = (overconfident(800, 4, 3.0, seed=seed) for seed in (0, 1))
    log_odds = [np.log(p) - np.log1p(-p) for p in (held_out.probabilities(), test.probabilities())]
    theirs = scikit_learn(method, log_odds[0], held_out.labels, 4)
    kind = {"sigmoid": Platt, "isotonic": Isotonic}[method]
    ours = fitted(kind, held_out).transform(test.without_labels()).probabilities()
    # 1e−6 instead of 0 is all that differs, and scikit-learn stops a little early.
    np.testing.assert_allclose(ours, theirs.predict_proba(log_odds[1]), atol=2e-5)


def test_platt_of_two_rows_by_hand():
    """Targets 2/3 and 1/3 at scores ±s: a·s = ln 2, b = 0."""
    held_out = Predictions(np.array([[0, -3.0], [0, 3.0]]), np.array([0, 1]))
    result = fitted(Platt, held_out).transform(held_out).probabilities()[:, 1]
    np.testing.assert_allclose(result, [1 / 3, 2 / 3], atol=1e-5)


def test_isotonic_matches_scikit_learn():
    held_out, test = overconfident(500, 2, 3.0), overconfident(300, 2, 5.0, seed=1)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(margin(held_out)[:, 0], held_out.labels)
    ours = fitted(Isotonic, held_out).transform(test.without_labels())
    np.testing.assert_allclose(
        ours.probabilities()[:, 1], theirs.predict(margin(test)[:, 0]), atol=1e-5
    )


@pytest.mark.parametrize("n_classes", [3, 4])
def test_multiclass_isotonic_is_normalized_one_vs_rest(n_classes):
    held_out = overconfident(600, n_classes, 2.0)
    probabilities = held_out.probabilities()
    log_odds = np.log(probabilities) - np.log1p(-probabilities)
    expected = np.column_stack(
        [
            IsotonicRegression().fit(log_odds[:, k], held_out.labels == k).predict(log_odds[:, k])
            for k in range(n_classes)
        ]
    )
    expected /= expected.sum(axis=1, keepdims=True)
    ours = fitted(Isotonic, held_out).transform(held_out)
    np.testing.assert_allclose(ours.probabilities(), expected, atol=1e-4)


@pytest.mark.parametrize("kind", [Temperature, Platt, Isotonic])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_calibration_lowers_the_nll_of_overconfident_predictions(kind, n_classes):
    held_out = overconfident(2000, n_classes, 4.0)
    test = overconfident(2000, n_classes, 4.0, seed=1)
    ours = fitted(kind, held_out).transform(test.without_labels())
    assert nll(ours, test.labels) < nll(test, test.labels) - 0.1


@pytest.mark.parametrize("kind", [Platt, Isotonic])
def test_class_absent_from_held_out_gets_small_constant(kind):
    held_out = overconfident(300, 3, 1.0)
    two = held_out.take(np.flatnonzero(held_out.labels != 2))
    probabilities = fitted(kind, two).transform(held_out).probabilities()
    assert 0 < probabilities[:, 2].min() <= probabilities[:, 2].max() < 0.1


@pytest.mark.parametrize("kind", [Platt, Isotonic])
def test_single_class_held_out_is_refused(kind):
    with pytest.raises(DataError, match=r"all 3 held-out rows have the label 1, but it needs two"):
        kind().fit(Predictions(np.zeros((3, 2)), np.ones(3, dtype=int)))


@pytest.mark.parametrize("kind", [Temperature, Platt, Isotonic])
def test_unlabeled_held_out_is_refused(kind):
    with pytest.raises(DataError, match="needs labeled"):
        kind().fit(overconfident(5, 2, 1.0).without_labels())
    with pytest.raises(DataError, match="needs labeled"):
        kind().fit(overconfident(5, 2, 1.0).take([]))


def test_isotonic_logits_are_finite_at_certainty():
    held_out = Predictions(np.array([[9.0, 0], [8, 0], [0, 8], [0, 9]]), np.array([0, 0, 1, 1]))
    result = fitted(Isotonic, held_out).transform(held_out)
    assert np.isfinite(result.logits).all()
    np.testing.assert_allclose(
        result.probabilities()[:, 1], [1e-6, 1e-6, 1 - 1e-6, 1 - 1e-6], rtol=1e-5
    )


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_minus_infinity_logits_are_accepted(kind, n_classes):
    held_out = overconfident(50, n_classes, 1.0)
    logits = held_out.logits.copy()
    logits[::7, 0] = -np.inf
    possible = np.where(np.isinf(logits[:, 0]), 1, held_out.labels)
    result = fitted(kind, Predictions(logits, possible))
    transformed = result.transform(Predictions(logits, np.full(50, -1)))
    assert not np.isnan(transformed.probabilities()).any()


@given(
    hnp.arrays(np.float32, (12, 3), elements=st.floats(-50, 50, width=32)),
    hnp.arrays(np.int64, 12, elements=st.integers(0, 2)),
)
def test_accuracy_preserving_calibrators_keep_predicted_class(logits, labels):
    held_out = Predictions(logits, labels)
    for kind in (Identity, Temperature):
        assert kind.preserves_accuracy
        result = fitted(kind, held_out).transform(held_out.without_labels()).logits
        kept = result[np.arange(12), logits.argmax(axis=1)]
        assert (kept == result.max(axis=1)).all()


def test_none_calibrator_is_identity():
    predictions = overconfident(5, 2, 1.0)
    assert fitted(Identity, predictions).transform(predictions) is predictions


def test_platt_reaches_a_known_sigmoid():
    """Labels drawn with P = σ(0.5 s − 1) of margins s: the map is recovered."""
    rng = np.random.default_rng(0)
    scores = rng.uniform(-8, 8, 40_000)
    labels = (rng.random(40_000) < expit(0.5 * scores - 1)).astype(int)
    held_out = Predictions(np.column_stack([np.zeros_like(scores), scores]), labels)
    at = np.array([-4.0, 0.0, 2.0, 6.0])
    points = Predictions(np.column_stack([np.zeros(4), at]), np.full(4, -1))
    result = fitted(Platt, held_out).transform(points).probabilities()[:, 1]
    np.testing.assert_allclose(result, expit(0.5 * at - 1), atol=0.015)
