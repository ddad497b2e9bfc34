"""Influence of training rows on held-out loss: against retraining with scikit-learn."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from fgbench import TrainingSet
from fgbench.data import Split
from fgbench.loop.influence import (
    influences,
    inverse_hessian_gradient,
    inverse_hessian_gradients,
    mean_gradient,
    residuals,
    sample_influences,
)
from fgbench_plugins.classifiers.logistic import LogisticRegression as Logreg
from fgbench_plugins.classifiers.logistic import TfidfLogisticRegression
from fgbench_plugins.losses.cross_entropy import CrossEntropy
from support.samples import make_sample

C = 0.5


def rows(n, classes, seed):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, 4))
    labels = rng.integers(0, classes, n)
    return centres[labels] + rng.normal(size=(n, 4)), labels


def fitted(features, labels, weights=None):
    model = LogisticRegression(C=C, tol=1e-10, max_iter=10_000)
    return model.fit(features, labels, sample_weight=weights)


def mean_loss(model, features, labels):
    return -model.predict_log_proba(features)[np.arange(len(labels)), labels].mean()


def estimated(classes, wrap=np.asarray):
    x, y = rows(80, classes, 0)
    held, wanted = rows(50, classes, 1)
    new, given = rows(25, classes, 2)
    model = fitted(x, y)
    lean = residuals(model.predict_proba(held), wanted)
    penalty = (2 if classes == 2 else 1) / C
    solved = inverse_hessian_gradient(
        wrap(x), model.predict_proba(x), mean_gradient(wrap(held), lean), penalty
    )
    assert solved.residual < 1e-5
    return influences(solved.weights, wrap(new), model.predict_proba(new), given)


def retrained(classes, weight):
    x, y = rows(80, classes, 0)
    held, wanted = rows(50, classes, 1)
    new, given = rows(25, classes, 2)
    before = mean_loss(fitted(x, y), held, wanted)
    changes = []
    for row, label in zip(new, given, strict=True):
        weights = np.r_[np.ones(len(y)), weight]
        model = fitted(np.r_[x, [row]], np.r_[y, label], weights)
        changes.append(mean_loss(model, held, wanted) - before)
    return np.array(changes)


@pytest.mark.parametrize("classes", [2, 4])
def test_influence_is_derivative_of_loss_by_row_weight(classes):
    slope = retrained(classes, 1e-3) / 1e-3
    np.testing.assert_allclose(estimated(classes), slope, rtol=0.01, atol=5e-6)


@pytest.mark.parametrize("classes", [2, 4])
def test_influence_predicts_effect_of_adding_row(classes):
    found, true = estimated(classes), retrained(classes, 1.0)
    assert np.corrcoef(found, true)[0, 1] > 0.98
    assert np.polyfit(found, true, 1)[0] == pytest.approx(1, abs=0.2)


def test_sparse_and_dense_features_give_equal_influence():
    np.testing.assert_allclose(estimated(3, csr_matrix), estimated(3), rtol=1e-5, atol=1e-9)


def test_untrained_class_has_no_influence():
    x, y = rows(60, 2, 0)
    p = np.column_stack([fitted(x, y).predict_proba(x), np.zeros(60)])
    lean = residuals(p[:20], np.r_[y[:19], 2])
    solved = inverse_hessian_gradient(x, p, mean_gradient(x[:20], lean), 1.0)
    got = influences(solved.weights, x[:3], p[:3], np.array([0, 1, 2]))
    assert np.isfinite(got).tolist() == [True, True, False]


def test_unpenalized_head_is_damped():
    x, y = rows(60, 2, 0)
    p = np.full((60, 2), 0.5)  # no minimum of anything
    solved = inverse_hessian_gradient(x, p, mean_gradient(x, residuals(p, y)), None)
    assert np.isfinite(solved.weights).all()
    assert solved.residual < 1e-5


def training(texts, labels):
    labels = np.array(labels)
    return TrainingSet(
        inputs=texts,
        labels=labels,
        n_classes=2,
        soft_labels=np.eye(2)[labels],
        synthetic=np.zeros(len(labels), dtype=bool),
    )


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("penalty", [0.3, 20.0])
def test_logistic_regression_head_is_at_its_minimum(classes, penalty):
    """The gradient of Σ cross-entropy + λ/2 ‖W‖² is zero with the λ that it says it has."""
    x, y = rows(90, classes, 5)
    model = Logreg(C=penalty)
    model.fit(
        TrainingSet(x, y, classes, np.eye(classes)[y], np.zeros(len(y), bool)),
        loss=CrossEntropy(),
        seed=0,
    )
    head = model.head(x)
    design = np.column_stack([head.features, np.ones(len(x))])
    logits = np.asarray(head.logits, dtype=np.float64)
    # Symmetric weights have logits that sum to zero, so they follow from the log-probabilities.
    weights = np.linalg.lstsq(design, logits - logits.mean(axis=1, keepdims=True), rcond=None)[0]
    gradient = head.features.T @ (softmax(logits, axis=1) - np.eye(classes)[y])
    np.testing.assert_allclose(gradient, -head.penalty * weights[:-1], atol=5e-3)


def test_text_influence_is_measured_on_the_other_half(tmp_path):
    words = [["good", "fine", "great", "nice"], ["bad", "poor", "awful", "sad"]]
    rng = np.random.default_rng(3)
    labels = np.arange(40) % 2
    texts = [" ".join(rng.choice(words[k], 3)) for k in labels]
    classifier = TfidfLogisticRegression()
    classifier.fit(training(texts[:20], labels[:20]), loss=CrossEntropy(), seed=0)
    train, validation = Split(texts[:20], labels[:20]), Split(texts[20:], labels[20:])
    chosen = np.arange(2, 20)
    facts, stored = inverse_hessian_gradients(classifier, train, validation, chosen, seed=0)
    assert facts["exact"]
    samples = [
        make_sample(index=int(row), label=int(validation.labels[row]), input=text)
        for row in chosen
        for text in (validation.inputs[row], None)
    ]
    got = sample_influences(classifier, samples, stored, is_text=True)
    # A copy of a source is worth what the source is; a candidate without a text, nothing.
    np.testing.assert_allclose(got["influence"][::2], stored["own"])
    assert np.isnan(got["influence"][1::2]).all()
    np.testing.assert_allclose(got["source_influence"][::2], stored["own"])
    # The true effect on the other half, by retraining with the copy.
    position = 0
    row = chosen[position]
    others = chosen[stored["side"] != stored["side"][position]]
    tuned = TfidfLogisticRegression()
    fitted_vectoriser = classifier._vectorizer
    features = fitted_vectoriser.transform(texts[:20])
    extra = fitted_vectoriser.transform([validation.inputs[row]])
    wanted = validation.labels[others]
    held = fitted_vectoriser.transform([validation.inputs[at] for at in others])
    model = LogisticRegression(C=tuned.C, tol=1e-10, max_iter=10_000)
    before = mean_loss(model.fit(features, labels[:20]), held, wanted)
    from scipy.sparse import vstack

    after = mean_loss(
        model.fit(
            vstack([features, extra]),
            np.r_[labels[:20], validation.labels[row]],
            sample_weight=np.r_[np.ones(20), 1e-3],
        ),
        held,
        wanted,
    )
    assert got["influence"][0] == pytest.approx((after - before) / 1e-3, rel=0.02)


def test_single_selection_row_has_no_influence():
    x, y = rows(30, 2, 0)
    model = Logreg()
    model.fit(TrainingSet(x, y, 2, np.eye(2)[y], np.zeros(30, bool)), loss=CrossEntropy(), seed=0)
    split = Split(x, y)
    facts, stored = inverse_hessian_gradients(model, split, split, np.array([4]), seed=0)
    assert np.isnan(stored["own"]).all()
    (half,) = stored["side"]
    assert np.isnan(stored["weights"][half]).all()
    assert np.isfinite(stored["weights"][1 - half]).all()
    assert facts["exact"] is True
    assert 0 <= facts["residual"] < 1e-5
