"""Iteration over predictions in blocks of rows, in memory that does not grow with the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fgbench.data import Predictions

_BLOCK_VALUES = 1 << 18
"""Values of a temporary float64 array: 2 MiB, which fit a processor's cache."""

MAX_CACHED_ROWS = 1 << 18
"""Intermediate results of predictions with more rows than this are recomputed, not cached."""

T = TypeVar("T")


def row_blocks(rows: int, width: int = 1) -> Iterator[slice]:
    """Yield slices over `rows` rows such that a block of `width` columns is small."""
    size = max(1, _BLOCK_VALUES // max(1, width))
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def unit_weights(predictions: Predictions) -> NDArray[np.float64]:
    """Return weights (1, n) of 1, always the same array, so that sums over it are computed once."""
    cache = predictions.__dict__
    if "_unit_weights" not in cache:
        cache["_unit_weights"] = np.broadcast_to(np.float64(1.0), (1, len(predictions)))
    weights: NDArray[np.float64] = cache["_unit_weights"]
    return weights


def cached_by_predictions(function: Callable[[Predictions], T]) -> Callable[[Predictions], T]:
    """Cache the function's result with the predictions, so that the metrics of a cell share it.

    Like a cached property, the result lives as long as the predictions. Large ones are not cached.
    """
    from functools import wraps

    @wraps(function)
    def result(predictions: Predictions) -> T:
        if len(predictions) > MAX_CACHED_ROWS:
            return function(predictions)
        cache: dict[str, Any] = predictions.__dict__.setdefault("_rows", {})
        if function.__qualname__ not in cache:
            cache[function.__qualname__] = function(predictions)
        return cache[function.__qualname__]  # type: ignore[no-any-return]

    return result
