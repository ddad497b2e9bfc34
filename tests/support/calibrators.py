"""Predictions whose miscalibration is known, for the tests of calibrators."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from fgbench import Predictions


def draw(probabilities, rng):
    """Return a class for each row of probabilities (n, K)."""
    below = probabilities.cumsum(axis=1) < rng.random((len(probabilities), 1))
    return below.sum(axis=1).clip(max=probabilities.shape[1] - 1)


def overconfident(n, n_classes, factor, seed=0):
    """Return predictions whose logits are `factor` times those that the labels are drawn from."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=1.5, size=(n, n_classes))
    return Predictions(factor * logits, draw(softmax(logits, axis=1), rng))


def fitted(calibrator, held_out):
    """Return the calibrator, fitted."""
    calibrator.fit(held_out)
    return calibrator


def nll(predictions, labels):
    """Return the mean negative log-likelihood of the labels."""
    rows = np.arange(len(labels))
    return -np.log(predictions.probabilities()[rows, labels]).mean()


def formulaic(n, n_classes):
    """Return overconfident predictions by a formula: for reference values, without a generator."""
    row = np.arange(n)[:, None]
    column = np.arange(n_classes)[None, :]
    true = 2 * np.sin((row + 1) * (1 + 0.37 * column)) + 0.3 * column
    cumulative = softmax(true, axis=1).cumsum(axis=1)
    uniform = (0.5 + 0.7548776662466927 * row) % 1
    labels = (cumulative < uniform).sum(axis=1).clip(max=n_classes - 1)
    return Predictions(2 * true, labels)


def at_scores(scores):
    """Return binary predictions with these log-odds of class 1."""
    scores = np.asarray(scores, dtype=float)
    return Predictions(np.column_stack([np.zeros_like(scores), scores]), np.full(len(scores), -1))
