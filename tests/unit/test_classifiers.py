"""logreg and tfidf-logreg: scikit-learn's probabilities, for any training set and any text."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fgbench import ConfigurationError, DataError, TrainingSet
from fgbench_plugins.classifiers.logistic import LogisticRegression, TfidfLogisticRegression
from fgbench_plugins.datasets.known_posterior import KnownPosterior
from fgbench_plugins.losses.cross_entropy import CrossEntropy


def training_set(inputs, labels, n_classes):
    labels = np.asarray(labels)
    soft = np.eye(n_classes)[labels]
    return TrainingSet(inputs, labels, n_classes, soft, np.zeros(len(labels), dtype=bool))


def fit(classifier, inputs, labels, n_classes):
    classifier.fit(training_set(inputs, labels, n_classes), loss=CrossEntropy(), seed=0)
    return classifier


def logits(classifier, inputs):
    return classifier.predict(inputs, frozenset()).logits


@pytest.fixture(scope="module", params=[2, 4])
def messages(request):
    data = KnownPosterior.create(
        {"classes": request.param, "train": 200, "validation": 100, "test": 100}, name="k"
    ).load(None)
    return data.splits["train"], data.splits["test"], request.param


def test_tfidf_logreg_matches_scikit_learn(messages):
    train, test, n_classes = messages
    ours = fit(TfidfLogisticRegression(C=1.0, max_n=2), train.inputs, train.labels, n_classes)
    theirs = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2)),
        SklearnLogisticRegression(max_iter=1000, tol=1e-6),
    ).fit(train.inputs, train.labels)
    np.testing.assert_allclose(
        softmax(logits(ours, test.inputs), axis=1), theirs.predict_proba(test.inputs), atol=1e-3
    )
    assert logits(ours, test.inputs).shape == (100, n_classes)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_logreg_matches_scikit_learn(n_classes):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(200, 3)) * [1, 50, 0.01]
    labels = rng.integers(n_classes, size=200)
    ours = fit(LogisticRegression(), inputs, labels, n_classes)
    theirs = make_pipeline(StandardScaler(), SklearnLogisticRegression()).fit(inputs, labels)
    np.testing.assert_allclose(
        softmax(logits(ours, inputs), axis=1), theirs.predict_proba(inputs), atol=1e-3
    )


def test_weaker_penalty_raises_confidence(messages):
    train, test, n_classes = messages
    confidence = [
        softmax(
            logits(
                fit(TfidfLogisticRegression(C=C), train.inputs, train.labels, n_classes),
                test.inputs,
            ),
            axis=1,
        )
        .max(axis=1)
        .mean()
        for C in (0.1, 1.0, 100.0)
    ]
    assert confidence == sorted(confidence)


@pytest.mark.parametrize("present", [[0, 2], [1, 2, 3]])
def test_class_without_training_rows_has_low_finite_logit(present):
    texts = [f"word{label} common" for label in present for _ in range(5)]
    labels = [label for label in present for _ in range(5)]
    result = logits(fit(TfidfLogisticRegression(), texts, labels, 5), texts)
    assert result.shape == (len(texts), 5)
    assert np.isfinite(result).all()
    assert (result.argmax(axis=1) == labels).all()
    absent = sorted(set(range(5)) - set(present))
    assert softmax(result, axis=1)[:, absent].max() < 1e-10


def test_unconverged_training_is_silent_and_reproducible():
    texts = ["alpha beta", "beta gamma", "gamma delta", "delta alpha"] * 3
    labels = [0, 1, 0, 1] * 3
    first, second = (
        logits(fit(TfidfLogisticRegression(C=1e9, max_iter=1), texts, labels, 2), texts)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("texts", [["", "?", "a", "!!"], ["  "] * 4])
def test_training_texts_without_words_are_refused(texts):
    with pytest.raises(DataError, match="none of the 4 training texts has a word"):
        fit(TfidfLogisticRegression(), texts, [0, 1, 0, 1], 2)


@pytest.mark.parametrize(
    ("min_df", "error"), [(3, DataError), (50, (DataError, ConfigurationError))]
)
def test_min_df_without_remaining_words_is_refused(min_df, error):
    with pytest.raises(error, match="min_df"):
        fit(TfidfLogisticRegression(min_df=min_df), ["ab cd", "ef gh", "ij kl"], [0, 1, 0], 2)


def test_single_class_training_is_refused():
    with pytest.raises(DataError, match="same label"):
        fit(TfidfLogisticRegression(), ["ab", "cd"], [1, 1], 2)


def test_any_unicode_can_be_predicted():
    classifier = fit(TfidfLogisticRegression(), ["ab cd", "ef gh"], [0, 1], 2)
    result = logits(classifier, ["", "\ud800", "日本語 العربية", "🦉", "ab\x00cd", "x" * 100_000])
    assert np.isfinite(result).all()


def test_classifier_parameters_are_validated():
    create = TfidfLogisticRegression.create
    with pytest.raises(ConfigurationError, match="max_n=1 is less than min_n=2"):
        create({"min_n": 2, "max_n": 1}, name="tfidf-logreg")
    with pytest.raises(ConfigurationError, match="C = -1"):
        create({"C": -1}, name="tfidf-logreg")
    assert create({"C": "100"}, name="tfidf-logreg").parameters()["C"] == 100.0
