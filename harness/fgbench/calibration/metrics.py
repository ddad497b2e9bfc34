"""Accuracy and scoring rules: means over rows, each for R replicates at once.

Every function takes `weights` (R, n), how often each of the n rows counts in each replicate, and
returns (R,). NaN marks replicates in which the metric is undefined. Sums are matrix products over
blocks of rows, which shares the work between replicates and bounds memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fgbench.calibration.reliability import probability_block, top_label
from fgbench.calibration.rows import cached_by_predictions, row_blocks

if TYPE_CHECKING:
    from fgbench.data import Predictions

Floats = NDArray[np.float64]
Weights = NDArray[Any]

_MAX_CACHED_VALUES = 1 << 20

SMALLEST_PROBABILITY = 2.0**-52
"""Smaller probabilities are replaced by this in log-likelihoods, as in scikit-learn's log_loss."""


def accuracy(predictions: Predictions, weights: Weights) -> Floats:
    """Return the share of rows whose predicted class is the true one."""
    _, correct = top_label(predictions)
    return weighted_mean(correct, weights)


def negative_log_likelihood(predictions: Predictions, weights: Weights) -> Floats:
    """Return the mean of −ln P(y), in nats."""
    return weighted_mean(_negative_log_likelihoods(predictions), weights)


def brier_score(predictions: Predictions, weights: Weights) -> Floats:
    """Return the mean of Σ_k (p_k − 1[y=k])², in [0, 2] (Brier 1950).

    The sum goes over all classes: with two, it is twice (P(y=1) − y)².
    """
    return weighted_mean(_squared_distances(predictions), weights)


def posterior_distance(predictions: Predictions, weights: Weights) -> Floats:
    """Return the mean of ½ Σ_k |p_k − P(k|x)|, the total variation distance, in [0, 1].

    With two classes it is METHODS' mean |p̂ − P(y=1|x)|. Needs `predictions.posterior`.
    """
    return weighted_mean(_posterior_distances(predictions), weights)


def macro_f1(predictions: Predictions, weights: Weights) -> Floats:
    """Return the unweighted mean of the F1 of all classes that occur as label or prediction."""
    classes = predictions.n_classes
    sums = np.zeros((len(weights), 2 * classes))
    if len(predictions) * 2 * classes <= _MAX_CACHED_VALUES:
        sums += weights.astype(np.float64, copy=False) @ _all_occurrences(predictions)
    else:
        for rows in row_blocks(len(predictions), 2 * classes):
            block = weights[:, rows].astype(np.float64, copy=False)
            sums += block @ _occurrences(predictions, rows)
    right, occurrences = sums[:, :classes], sums[:, classes:]
    with np.errstate(invalid="ignore"):
        f1 = np.where(occurrences > 0, 2.0 * right / occurrences, 0.0)
        return np.asarray(f1.sum(axis=1) / (occurrences > 0).sum(axis=1))


def weighted_mean(values: NDArray[Any], weights: Weights) -> Floats:
    """Return the weighted mean of n values in each replicate; NaN where all weights are 0."""
    total, mass = np.zeros(len(weights)), np.zeros(len(weights))
    for rows in row_blocks(len(values)):
        block = weights[:, rows].astype(np.float64, copy=False)
        total += block @ values[rows].astype(np.float64, copy=False)
        mass += block.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / mass)


@cached_by_predictions
def _all_occurrences(predictions: Predictions) -> Floats:
    return _occurrences(predictions, slice(None))


def _occurrences(predictions: Predictions, rows: slice) -> Floats:
    """Return (b, 2K): true positives of each class, and its occurrences as label or prediction."""
    classes = predictions.n_classes
    guess = probability_block(predictions, rows).argmax(axis=1)
    truth = predictions.labels[rows]
    row = np.arange(len(guess))
    table = np.zeros((len(guess), 2 * classes))
    table[row, guess] = guess == truth
    table[row, classes + guess] += 1.0
    table[row, classes + truth] += 1.0
    return table


@cached_by_predictions
def _negative_log_likelihoods(predictions: Predictions) -> Floats:
    values = np.empty(len(predictions))
    for rows in row_blocks(len(predictions), predictions.n_classes):
        labels = predictions.labels[rows]
        likelihood = probability_block(predictions, rows)[np.arange(len(labels)), labels]
        values[rows] = -np.log(np.maximum(likelihood, SMALLEST_PROBABILITY))
    return values


@cached_by_predictions
def _squared_distances(predictions: Predictions) -> Floats:
    values = np.empty(len(predictions))
    for rows in row_blocks(len(predictions), predictions.n_classes):
        labels = predictions.labels[rows]
        probabilities = probability_block(predictions, rows)
        probabilities[np.arange(len(labels)), labels] -= 1.0
        values[rows] = np.einsum("nk,nk->n", probabilities, probabilities)
    return values


@cached_by_predictions
def _posterior_distances(predictions: Predictions) -> Floats:
    posterior = predictions.posterior
    if posterior is None:
        raise ValueError("the predictions have no posterior")
    values = np.empty(len(predictions))
    for rows in row_blocks(len(predictions), predictions.n_classes):
        distance = probability_block(predictions, rows) - posterior[rows]
        values[rows] = 0.5 * np.abs(distance).sum(axis=1)
    return values
