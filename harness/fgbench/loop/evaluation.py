"""Evaluate test predictions: each metric and its bootstrap replicates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fgbench.calibration.statistics import Evaluation, applicable, evaluate_metrics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fgbench.data import Predictions
    from fgbench.parts.metric import Metric


def evaluate_predictions(
    predictions: Predictions, metrics: Mapping[str, Metric], *, replicates: int, seed: int
) -> Evaluation:
    """Return the metrics that apply to these predictions, with their bootstrap replicates.

    The replicates' weights depend on the number of rows and the seed alone, so that two arms with
    the same seed are resampled alike and can be compared pair by pair.
    """
    usable = applicable(metrics, predictions)
    return evaluate_metrics(predictions, usable, replicates=replicates, seed=seed)
