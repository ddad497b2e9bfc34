"""Compare two sets of predictions: arrays, or evaluations that are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fgbench.calibration.inputs import predictions_from_probabilities
from fgbench.errors import DataError
from fgbench.inference.contrasts import Contrast, contrast
from fgbench.inference.evaluation import REPLICATES, Evaluation, common_metrics, evaluate_metrics

if TYPE_CHECKING:
    from fgbench.data import Predictions
    from fgbench.parts.metric import Metric

Floats = NDArray[np.float64]


def compare(
    a: ArrayLike,
    b: ArrayLike,
    labels: ArrayLike,
    metrics: Mapping[str, Metric],
    *,
    groups: ArrayLike | None = None,
    margins: Mapping[str, float] | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> dict[str, Contrast]:
    """Return the contrast a − b of S seeds on the same n rows in each metric.

    `a` and `b` are probabilities (S, n, K), paired by seed, and `labels` (n,). Rows of the same
    label in `groups` (n,) are one unit. `margins` of equivalence are by metric, by default those
    of the metrics (`Metric.margin`). Raises `DataError` for different shapes, or for values that
    are not probabilities.
    """
    sides = [_seeds("a", a, labels, groups), _seeds("b", b, labels, groups)]
    first, second = (np.shape(side) for side in (a, b))
    if first != second:
        raise DataError(
            f"the shapes (seeds, rows, classes) differ, {first} and {second}: compare predictions "
            "of the same seeds on the same test rows."
        )
    evaluations = [
        [
            evaluate_metrics(predictions, metrics, replicates=replicates, seed=seed)
            for predictions in side
        ]
        for side in sides
    ]
    own = {name: metric.margin for name, metric in metrics.items()}
    found = compare_evaluations(*evaluations, margins={**own, **(margins or {})})
    for name, probabilities in (("a", a), ("b", b)):
        if _is_constant(probabilities):
            reason = f"the predictions of {name} are the same for every row"
            return {metric: item.without_inference(reason) for metric, item in found.items()}
    return found


def compare_evaluations(
    a: Sequence[Evaluation],
    b: Sequence[Evaluation],
    *,
    margins: Mapping[str, float | None] | None = None,
) -> dict[str, Contrast]:
    """Return the contrast a − b in each metric that is defined for all of S + S evaluations.

    Evaluation s of both sides has the same seed, and all have the same rows and replicates.
    """
    if len(a) != len(b):
        raise DataError(
            f"{len(a)} and {len(b)} seeds cannot be paired: evaluate both sides with the same "
            "seeds."
        )
    units = {evaluation.units for evaluation in (*a, *b)}
    if len(units) > 1:
        raise DataError(
            f"evaluations of {' and '.join(map(str, sorted(units)))} independent rows cannot be "
            "paired: evaluate both sides on the same test rows."
        )
    known = set(common_metrics(b))
    return {
        name: contrast(
            *(np.array([item.values[name] for item in side]) for side in (a, b)),
            *(_stacked(name, side) for side in (a, b)),
            units=next(iter(units)),
            margin=(margins or {}).get(name),
        )
        for name in common_metrics(a)
        if name in known
    }


def _stacked(name: str, evaluations: Sequence[Evaluation]) -> Floats:
    replicates = [evaluation.replicates[name] for evaluation in evaluations]
    if len({len(values) for values in replicates}) > 1:
        raise DataError(f"metric {name}: evaluations of different replicates cannot be paired.")
    return np.stack(replicates)


def _seeds(
    side: str, probabilities: ArrayLike, labels: ArrayLike, groups: ArrayLike | None
) -> list[Predictions]:
    array = np.asarray(probabilities)
    if array.ndim != 3:
        raise DataError(f"{side} must have the shape (seeds, rows, classes), not {array.shape}.")
    return [predictions_from_probabilities(rows, labels, groups=groups) for rows in array]


def _is_constant(probabilities: ArrayLike) -> bool:
    array = np.asarray(probabilities)
    return bool((array == array[:, :1]).all())
