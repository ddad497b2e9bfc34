"""Metrics against scikit-learn, against hand-worked cases, and under weights."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from fgbench.calibration import predictions_from_probabilities
from fgbench.data import Predictions
from fgbench.errors import ConfigurationError, DataError
from fgbench.inference import applicable
from fgbench.plugins.references import PartReference
from fgbench.plugins.registry import Registry

REGISTRY = Registry.load()
ALL = {
    name: REGISTRY.create("metric", PartReference.parse(name)) for name in REGISTRY.names("metric")
}


def value(name, predictions, weights=None):
    metric = REGISTRY.create("metric", PartReference.parse(name))
    weights = np.ones(len(predictions)) if weights is None else np.asarray(weights, dtype=float)
    (result,) = metric.evaluate(predictions, weights[None])
    return result


def random_predictions(n, classes, seed=0, decimals=None, known=False):
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=1.5, size=(n, classes))
    if decimals is not None:
        logits = logits.round(decimals)  # ties
    labels = rng.integers(0, classes, size=n)
    labels[:classes] = np.arange(classes)
    posterior = rng.dirichlet(np.ones(classes), size=n) if known else None
    return Predictions(logits, labels, posterior=posterior)


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("decimals", [None, 0])
def test_metrics_match_scikit_learn_with_and_without_weights(classes, decimals):
    predictions = random_predictions(300, classes, seed=classes, decimals=decimals)
    p, y = predictions.probabilities(), predictions.labels
    for w in (np.ones(300), np.random.default_rng(1).integers(0, 4, size=300)):
        w[:classes] = 1
        guess = p.argmax(axis=1)
        one_hot = np.eye(classes)[y]
        if classes == 2:
            auroc = reference.roc_auc_score(y, p[:, 1], sample_weight=w)
        else:
            auroc = np.mean(
                [
                    reference.roc_auc_score(one_hot[:, k], p[:, k], sample_weight=w)
                    for k in range(classes)
                ]
            )
        expected = {
            "accuracy": reference.accuracy_score(y, guess, sample_weight=w),
            "macro_f1": reference.f1_score(y, guess, average="macro", sample_weight=w),
            "nll": reference.log_loss(y, p, sample_weight=w, labels=range(classes)),
            "brier": np.average(((p - one_hot) ** 2).sum(axis=1), weights=w),
            "auroc": auroc,
        }
        for name, number in expected.items():
            assert value(name, predictions, w) == pytest.approx(number, rel=1e-9), name


def test_brier_is_twice_scikit_learns_binary_score():
    predictions = random_predictions(200, 2)
    p1 = predictions.probabilities()[:, 1]
    half = reference.brier_score_loss(predictions.labels, p1)
    assert value("brier", predictions) == pytest.approx(2 * half)


def naive_bins(p, outcome, bins):
    edges = np.linspace(0, 1, bins + 1)
    ece, largest = 0.0, 0.0
    for m in range(bins):
        inside = (p >= edges[m]) & ((p < edges[m + 1]) | (m == bins - 1))
        if inside.any():
            gap = abs(outcome[inside].mean() - p[inside].mean())
            ece += inside.mean() * gap
            largest = max(largest, gap)
    return ece, largest


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("bins", [1, 10, 15, 20])
def test_binned_errors_equal_a_loop_over_the_bins(classes, bins):
    predictions = random_predictions(400, classes, seed=bins)
    p = predictions.probabilities()
    correct = p.argmax(axis=1) == predictions.labels
    ece, mce = naive_bins(p.max(axis=1), correct, bins)
    assert value(f"ece:bins={bins}", predictions) == pytest.approx(ece, rel=1e-6)
    assert value(f"mce:bins={bins}", predictions) == pytest.approx(mce, rel=1e-6)
    if classes == 2:
        ece, _ = naive_bins(p[:, 1], predictions.labels, bins)
        assert value(f"ece_positive:bins={bins}", predictions) == pytest.approx(ece, rel=1e-6)


def test_positive_class_ece_detects_what_top_label_ece_hides():
    # METHODS: p in {.8, .2} with true rate p − 0.1: ece_positive 0.1, top-label about 0.
    p = np.repeat([0.8, 0.2], 1000)
    y = np.r_[np.arange(1000) < 700, np.arange(1000) < 100].astype(int)
    predictions = predictions_from_probabilities(p, y)
    assert value("ece_positive", predictions) == pytest.approx(0.1, abs=1e-6)
    assert value("ece", predictions) == pytest.approx(0.0, abs=1e-6)


def test_true_calibration_error_is_mean_distance_to_posterior():
    p, truth = np.array([0.9, 0.2, 0.5]), np.array([0.7, 0.3, 0.5])
    predictions = predictions_from_probabilities(p, [1, 0, 1], posterior=truth)
    assert value("true_calibration_error", predictions) == pytest.approx(0.3 / 3, rel=1e-6)
    three = predictions_from_probabilities([[0.6, 0.3, 0.1]], [0], posterior=[[0.5, 0.2, 0.3]])
    assert value("true_calibration_error", three) == pytest.approx(0.2, rel=1e-6)


def test_auroc_counts_ties_as_half_and_is_undefined_for_one_class():
    tied = predictions_from_probabilities([0.5, 0.5, 0.5], [0, 1, 1])
    assert value("auroc", tied) == 0.5
    assert np.isnan(value("auroc", predictions_from_probabilities([0.1, 0.9], [1, 1])))
    three = Predictions(np.eye(3), [0, 1, 1])
    assert np.isnan(value("auroc", three))
    assert ALL["auroc"].undefined_when


def test_nll_of_impossible_label_is_finite():
    predictions = Predictions([[-np.inf, 0.0]], [0])
    assert value("nll", predictions) == pytest.approx(52 * np.log(2))


@pytest.mark.parametrize("classes", [2, 4])
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(4, 40))
@settings(max_examples=25, deadline=None)
def test_weights_equal_repeated_rows_and_order_is_irrelevant(classes, seed, n):
    predictions = random_predictions(n, classes, seed=seed, decimals=1, known=True)
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, size=n)
    counts[:classes] = 1
    repeated = predictions.take(rng.permutation(np.repeat(np.arange(n), counts)))
    for name, metric in applicable(ALL, predictions).items():
        (weighted,) = metric.evaluate(predictions, counts[None].astype(float))
        expected = pytest.approx(value(name, repeated), abs=1e-9, nan_ok=True)
        assert weighted == expected, name
        both = metric.evaluate(predictions, np.stack([counts, np.ones(n)]).astype(float))
        same = pytest.approx([weighted, value(name, predictions)], abs=1e-12, nan_ok=True)
        assert both == same, name


@pytest.mark.parametrize("classes", [2, 4])
def test_metrics_stay_within_bounds(classes):
    predictions = random_predictions(100, classes, known=True)
    for name, metric in applicable(ALL, predictions).items():
        (number,) = metric.evaluate(predictions, np.ones((1, 100)))
        assert 0 <= number <= {"nll": 36.1, "brier": 2.0}.get(name, 1.0)


def test_calibration_errors_separate_calibrated_from_overconfident():
    rng = np.random.default_rng(0)
    p = rng.uniform(size=200_000)
    y = (rng.uniform(size=p.size) < p).astype(int)
    honest = predictions_from_probabilities(p, y, posterior=p)
    for name in ("ece", "ece_positive", "true_calibration_error"):
        assert value(name, honest) < 0.006
    loud = honest.with_logits(honest.logits * 3)
    for name in ("ece", "ece_positive", "true_calibration_error"):
        assert value(name, loud) > 0.05


def test_metrics_of_many_rows_equal_metrics_of_few():
    few = random_predictions(1000, 2, known=True)
    many = few.take(np.tile(np.arange(1000), 400))  # past the block size and the memo
    for name, metric in ALL.items():
        (number,) = metric.evaluate(many, np.ones((1, len(many))))
        # Cells of nearly equal scores stand for rows in what is ranked or binned.
        if name != "ece_debiased":  # which takes off less, the more rows there are
            assert number == pytest.approx(value(name, few), rel=2e-3), name


def test_metric_is_computed_only_where_defined():
    binary = random_predictions(10, 2)
    assert set(ALL) - set(applicable(ALL, binary)) == {"true_calibration_error"}
    assert "ece_positive" not in applicable(ALL, random_predictions(10, 3))


def test_metric_parameters_are_validated():
    with pytest.raises(ConfigurationError, match="bins"):
        REGISTRY.create("metric", PartReference.parse("ece:bins=0"))
    with pytest.raises(ConfigurationError, match="Did you mean 'bins'"):
        REGISTRY.create("metric", PartReference.parse("ece:bin=10"))


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        ([0.5, 1.2], [0, 1], "row 1"),
        ([[0.5, 0.4]], [0], "sums to 0.9"),
        ([[0.5, float("nan")]], [0], "row 0"),
        ([0.5], [0.5], "whole numbers"),
        ([0.5], [-1], "whole numbers"),
        ([0.5], [2], "label 2"),
        ([[[0.5]]], [0], "shape"),
        ([0.5, 0.5], [0], "2 rows"),
    ],
)
def test_invalid_predictions_are_refused(probabilities, labels, message):
    with pytest.raises(DataError, match=message):
        predictions_from_probabilities(probabilities, labels)


def test_third_party_metric_needs_only_public_names():
    from fgbench import Metric, calibration

    class MeanConfidence(Metric):
        lower_is_better = False

        def evaluate(self, predictions, weights):
            confidence, _ = calibration.top_label(predictions)
            return calibration.weighted_mean(confidence, weights)

    predictions = predictions_from_probabilities([0.9, 0.4], [1, 1])
    (number,) = MeanConfidence().evaluate(predictions, np.ones((1, 2)))
    assert number == pytest.approx(0.75)


def test_edge_probabilities_are_binned_exactly():
    edges = np.linspace(0, 1, 11)
    predictions = predictions_from_probabilities(np.repeat(edges, 2), np.tile([0, 1], 11))
    # Each edge opens its own bin, but 1.0, which the last one holds beside 0.9.
    gaps = np.abs(0.5 - edges)
    expected = (gaps[:9].sum() * 2 + abs(2.0 - 2 * 0.9 - 2 * 1.0)) / 22
    assert value("ece_positive:bins=10", predictions) == pytest.approx(expected, rel=1e-12)
