"""vector, matrix and dirichlet: linear maps of logits, against other optimizers.

The reference values are the minima that torch 2.13's LBFGS (float64, strong Wolfe, autograd) finds
of the papers' objectives on `formulaic(400, 3)`, asked at `AT`; probmetrics, where it is installed,
is asked anew.
"""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from fgbench import DataError, Predictions
from fgbench_plugins.calibrators.linear import Dirichlet, MatrixScaling, VectorScaling
from support.calibrators import fitted, formulaic, nll, overconfident

AT = Predictions(
    np.array([[0, 0, 0], [2, 0, 0], [0, 3, -1], [-2, 1, 4], [6, 1, 1]], dtype=float),
    np.full(5, -1),
)
KINDS = [VectorScaling, MatrixScaling, Dirichlet]

REFERENCE = {
    VectorScaling: [
        [0.352676, 0.341768, 0.305557],
        [0.585161, 0.219023, 0.195817],
        [0.155218, 0.766234, 0.078548],
        [0.040667, 0.175562, 0.78377],
        [0.846348, 0.081314, 0.072337],
    ],
    MatrixScaling: [
        [0.346877, 0.339031, 0.314092],
        [0.578555, 0.220002, 0.201442],
        [0.14706, 0.772723, 0.080218],
        [0.042158, 0.165655, 0.792187],
        [0.844484, 0.082235, 0.073281],
    ],
    Dirichlet: [
        [0.338035, 0.34553, 0.316435],
        [0.58081, 0.21931, 0.199881],
        [0.154099, 0.771799, 0.074101],
        [0.047836, 0.159694, 0.79247],
        [0.868279, 0.069269, 0.062452],
    ],
}


def made(kind):
    return kind() if kind is VectorScaling else kind(regularization=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_linear_calibrators_reach_reference_minimum(kind):
    ours = fitted(made(kind), formulaic(400, 3)).transform(AT).probabilities()
    np.testing.assert_allclose(ours, REFERENCE[kind], atol=5e-6)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_unregularised_matrix_scaling_is_logistic_regression_on_logits(n_classes):
    held_out, test = (overconfident(2000, n_classes, 3.0, seed) for seed in (0, 1))
    theirs = LogisticRegression(C=1e9, tol=1e-10, max_iter=2000)
    theirs.fit(held_out.logits.astype(float), held_out.labels)
    ours = fitted(MatrixScaling(regularization=0), held_out).transform(test)
    expected = theirs.predict_proba(test.logits.astype(float))
    np.testing.assert_allclose(ours.probabilities(), expected, atol=2e-5)


def test_vector_scaling_recovers_its_own_map():
    weights, bias = np.array([0.5, 0.8, 1.2]), np.array([0.4, -0.6, 0.2])
    truth = overconfident(60_000, 3, 1.0)
    held_out = truth.with_logits((truth.logits - bias) / weights)
    calibrator = fitted(VectorScaling(), held_out)
    np.testing.assert_allclose(calibrator.weights_, weights, atol=0.03)
    np.testing.assert_allclose(calibrator.bias_ - calibrator.bias_.mean(), bias, atol=0.03)


def test_dirichlet_undoes_a_confusion_that_vector_scaling_cannot():
    """logits = M⁻¹ (true logits): only a full matrix turns them back."""
    mixing = np.array([[1.0, 0.6, 0.0], [0.0, 1.0, 0.6], [0.6, 0.0, 1.0]])
    held_out, test = (overconfident(5000, 3, 1.0, seed) for seed in (0, 1))
    best = nll(test, test.labels)
    held_out = held_out.with_logits(held_out.logits @ np.linalg.inv(mixing).T)
    test = test.with_logits(test.logits @ np.linalg.inv(mixing).T)
    for kind in (MatrixScaling, Dirichlet):
        assert nll(fitted(kind(), held_out).transform(test), test.labels) < best + 0.005
    assert nll(fitted(VectorScaling(), held_out).transform(test), test.labels) > best + 0.02


@pytest.mark.parametrize("kind", KINDS)
def test_linear_calibrators_nearly_keep_calibrated_predictions(kind):
    held_out = overconfident(20_000, 3, 1.0)
    result = fitted(kind(), held_out).transform(held_out)
    assert np.abs(result.probabilities() - held_out.probabilities()).mean() < 0.01


def test_strong_regularization_shrinks_off_diagonal():
    held_out = overconfident(500, 4, 2.0)
    calibrator = fitted(Dirichlet(regularization=1e6), held_out)
    assert np.abs(calibrator.weights_ - np.diag(np.diag(calibrator.weights_))).max() < 1e-4
    assert np.abs(calibrator.bias_).max() < 1e-4
    assert (np.diag(calibrator.weights_) < 0.8).all()


def test_regularization_is_chosen_by_cross_validation():
    few = fitted(Dirichlet(), overconfident(60, 5, 2.0))
    mixing = np.eye(3) + 2 * np.roll(np.eye(3), 1, axis=1)
    many = overconfident(5000, 3, 1.0)
    many = fitted(Dirichlet(), many.with_logits(many.logits @ mixing))
    assert few.regularization_ >= 10
    assert many.regularization_ <= 0.1


def test_dirichlet_depends_on_probabilities_alone():
    held_out, test = (overconfident(400, 3, 2.0, seed) for seed in (0, 1))
    rng = np.random.default_rng(0)
    shifted = [p.with_logits(p.logits + rng.normal(size=(400, 1))) for p in (held_out, test)]
    first = fitted(Dirichlet(regularization=0.1), held_out).transform(test)
    second = fitted(Dirichlet(regularization=0.1), shifted[0]).transform(shifted[1])
    np.testing.assert_allclose(first.probabilities(), second.probabilities(), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_linear_calibrators_are_equivariant_to_class_order(kind):
    held_out, order = overconfident(600, 4, 2.0), np.array([2, 0, 3, 1])
    renamed = Predictions(held_out.logits[:, order], np.argsort(order)[held_out.labels])
    first = fitted(kind(), held_out).transform(held_out).probabilities()
    second = fitted(kind(), renamed).transform(renamed).probabilities()
    np.testing.assert_allclose(second, first[:, order], atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_classes", [2, 5])
def test_linear_calibrators_lower_nll_of_overconfident_predictions(kind, n_classes):
    held_out, test = (overconfident(3000, n_classes, 4.0, seed) for seed in (0, 1))
    result = fitted(kind(), held_out).transform(test.without_labels())
    assert nll(result, test.labels) < nll(test, test.labels) - 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_class_absent_from_held_out_stays_possible(kind):
    held_out = overconfident(300, 3, 1.0)
    two = held_out.take(np.flatnonzero(held_out.labels != 2))
    result = fitted(kind(), two).transform(held_out).probabilities()[:, 2]
    assert result.min() > 0
    assert result.mean() < 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_separable_rows_give_finite_logits(kind):
    labels = np.arange(12) % 3
    held_out = Predictions(4 * np.eye(3)[labels], labels)
    result = fitted(kind(), held_out).transform(held_out)
    assert np.isfinite(result.logits).all()
    assert (result.probabilities()[np.arange(12), labels] > 0.99).all()


@pytest.mark.parametrize("kind", KINDS)
def test_linear_calibrators_refuse_single_class_or_unlabeled(kind):
    held_out = overconfident(30, 2, 1.0)
    with pytest.raises(DataError, match="all 30 held-out rows have the label 1, but it needs two"):
        kind().fit(Predictions(held_out.logits, np.ones(30, dtype=int)))
    with pytest.raises(DataError, match="needs labeled"):
        kind().fit(held_out.without_labels())


@pytest.mark.parametrize("kind", [MatrixScaling, Dirichlet])
def test_too_few_rows_for_cross_validation_are_refused(kind):
    with pytest.raises(DataError, match=r"5 held-out rows are too few to choose the regulariz"):
        kind().fit(overconfident(5, 2, 1.0))
    assert fitted(kind(regularization=1.0), overconfident(5, 2, 1.0)).regularization_ == 1


@pytest.mark.filterwarnings("ignore")
def test_linear_calibrators_match_installed_probmetrics():
    """It has no regularisation, works in float32, and sees log-probabilities."""
    peers = pytest.importorskip("probmetrics.calibrators", reason="probmetrics is not installed")
    held_out, test = (overconfident(1000, 3, 3.0, seed) for seed in (0, 1))
    for theirs, ours in [
        (peers.VectorScalingCalibrator(), VectorScaling()),
        (peers.MatrixScalingCalibrator(), MatrixScaling(regularization=0)),
    ]:
        theirs.fit(held_out.probabilities(), held_out.labels)
        logs = [p.with_logits(np.log(p.probabilities())) for p in (held_out, test)]
        result = fitted(ours, logs[0]).transform(logs[1]).probabilities()
        np.testing.assert_allclose(result, theirs.predict_proba(test.probabilities()), atol=3e-4)
