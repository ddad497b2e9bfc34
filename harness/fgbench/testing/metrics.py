"""The contract of a metric."""

from __future__ import annotations

import numpy as np

from fgbench.data import Predictions
from fgbench.parts.metric import Metric
from fgbench.testing.classifiers import class_counts
from fgbench.testing.common import check_part, fail, near, overconfident_logits, twin

_TOLERANCE = 1e-6


def check_metric(metric: Metric) -> None:
    """Check that a metric respects row weights.

    The checks, on synthetic predictions of two and of three classes with a known posterior: one
    number per row of weights, independent of the other rows of weights; equal rows of ones give
    equal numbers; weight k equals k copies of the row, and weight 0 its absence; no effect of the
    order of the rows; a number or NaN for a replicate with only one class; certain and right
    predictions are never worse than certain and wrong ones. Raises `PluginError`.
    """
    check_part(metric, Metric)
    for n_classes in class_counts(metric.needs):
        _check(metric, n_classes)


def _check(metric: Metric, n_classes: int) -> None:
    logits, posterior, labels = overconfident_logits(120, n_classes, seed=3)
    predictions = Predictions(logits=logits, labels=labels, posterior=posterior)
    n = len(predictions)
    rng = np.random.default_rng(4)
    counts = np.bincount(rng.integers(n, size=n), minlength=n).astype(np.float64)
    rows = np.vstack([np.ones(n), np.ones(n), counts, (labels == 0).astype(np.float64)])

    values = _values(metric, predictions, rows)
    if np.isinf(values).any():
        fail(metric, "it returns an infinite number; return NaN where it is undefined")
    if np.isnan(values[0]):
        fail(metric, "it is NaN for predictions with every class among the labels")
    if values[0] != values[1]:
        fail(metric, f"two equal rows of ones give {values[0]} and {values[1]}")
    for row, value in zip(rows, values, strict=True):
        if not near(_value(metric, predictions, row), value, _TOLERANCE):
            fail(metric, "the number of a replicate depends on the other rows of weights")

    repeated = predictions.take(np.repeat(np.arange(n), counts.astype(np.int64)))
    expected = _value(metric, repeated, np.ones(n))
    if not near(values[2], expected, _TOLERANCE):
        fail(
            metric,
            f"rows weighted by counts give {values[2]:.6g}, but rows repeated as often give "
            f"{expected:.6g}",
        )
    order = rng.permutation(n)
    if not near(_value(metric, predictions.take(order), np.ones(n)), values[0], _TOLERANCE):
        fail(metric, "its number depends on the order of the rows")
    _check_direction(metric, posterior.shape[1], labels)


def _check_direction(metric: Metric, n_classes: int, labels: np.ndarray) -> None:
    right, wrong = np.eye(n_classes)[labels], np.eye(n_classes)[(labels + 1) % n_classes]
    value_right, value_wrong = (
        _value(
            metric,
            Predictions(logits=12 * sure, labels=labels, posterior=right),
            np.ones(len(labels)),
        )
        for sure in (right, wrong)
    )
    if np.isnan(value_right) and np.isnan(value_wrong):
        return  # a metric that compares right with wrong predictions is undefined without both
    lower = value_right <= value_wrong
    if not (lower if metric.lower_is_better else value_right >= value_wrong):
        fail(
            metric,
            f"lower_is_better = {metric.lower_is_better}, but certain and right gives "
            f"{value_right:.6g} and certain and wrong {value_wrong:.6g}",
        )


def _value(metric: Metric, predictions: Predictions, row: np.ndarray) -> float:
    return float(_values(metric, predictions, row[None, :])[0])


def _values(metric: Metric, predictions: Predictions, rows: np.ndarray) -> np.ndarray:
    weights = rows.copy()
    values = np.asarray(twin(metric).evaluate(predictions, weights))
    if values.shape != (len(rows),):
        fail(metric, f"evaluate returned shape {values.shape} for {len(rows)} rows of weights")
    if not np.array_equal(weights, rows):
        fail(metric, "evaluate changes its weights")
    return values.astype(np.float64)
