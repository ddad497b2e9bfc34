"""Arrays of predictions: which of their axes are seeds, rows and classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fgbench.calibration.inputs import numbers, predictions_from_probabilities
from fgbench.errors import DataError

if TYPE_CHECKING:
    from fgbench.data import Predictions

Floats = NDArray[np.float64]


class Seeds(NamedTuple):
    """Predictions of S seeds, each (n,) or (n, K), and whether the array had an axis of seeds."""

    arrays: tuple[Floats, ...]
    has_axis: bool


def seeds_of(name: str, values: ArrayLike, n: int, seeds: int | None = None) -> Seeds:
    """Return the predictions of each seed for n rows.

    `values` are (n,) or (n, K) for one seed, (S, n) or (S, n, K) for S seeds; n tells them apart.
    Raises `DataError` for any other shape, and for (n, n), unless `seeds` is S (1 for one seed).
    """
    array = numbers(name, values)
    meanings: dict[int, Seeds] = {}
    if array.shape == (n,):
        meanings[1] = Seeds((array,), False)
    if array.ndim == 2 and len(array) == n and array.shape[1] > 1:
        meanings[1] = Seeds((array,), False)
    if array.ndim in (2, 3) and array.shape[1] == n and len(array) > 0:
        meanings.setdefault(len(array), Seeds(tuple(array), True))
    if not meanings:
        raise DataError(
            f"{name} has the shape {array.shape}, but there are {n:,} labels: it must be (n,) or "
            "(n, K) for one seed, (S, n) or (S, n, K) for S seeds, with n labels and K ≥ 2 classes."
        )
    if seeds is None and len(meanings) > 1:
        raise DataError(
            f"{name} has the shape {array.shape}, with {n} labels: either {n} rows of {n} classes "
            f"or {n} seeds of {n} rows. Pass seeds=1 or seeds={n}."
        )
    if seeds is not None and seeds not in meanings:
        raise DataError(
            f"{name} has the shape {array.shape}, which with {n:,} labels is "
            f"{' or '.join(map(_seeds_text, meanings))}, not {seeds}."
        )
    return meanings[seeds if seeds is not None else next(iter(meanings))]


def predictions_of(
    name: str,
    values: ArrayLike,
    labels: ArrayLike,
    *,
    seeds: int | None = None,
    posterior: ArrayLike | None = None,
    groups: ArrayLike | None = None,
) -> tuple[Predictions, ...]:
    """Return the predictions of each seed. Messages count seeds and rows from 0.

    Raises `DataError` for shapes that do not fit, and for values that are not probabilities.
    """
    n = len(numbers("labels", np.atleast_1d(labels)))
    found = seeds_of(name, values, n, seeds)
    return tuple(
        predictions_from_probabilities(
            array,
            labels,
            posterior=posterior,
            groups=groups,
            place=(
                f"{name}, seed {seed}, row {{}}" if found.has_axis else f"{name}, row {{}}"
            ).format,
        )
        for seed, array in enumerate(found.arrays)
    )


def _seeds_text(seeds: int) -> str:
    return "one seed" if seeds == 1 else f"{seeds} seeds"
