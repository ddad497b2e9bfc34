"""Contrasts of two sets of predictions, from the evaluations of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fgbench.errors import DataError
from fgbench.inference.contrasts import Contrast, contrast
from fgbench.inference.evaluation import Evaluation, common_metrics

Floats = NDArray[np.float64]


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
