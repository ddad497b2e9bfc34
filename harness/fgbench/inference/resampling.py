"""Bootstrap weights: how often each test row is drawn in each replicate.

Replicate r draws U of the U independent units with replacement, from a random stream that depends
on (U, seed, r) alone. All arms, seeds, metrics, processes and machines therefore see the same
resamples of a test set, and differences are paired replicate by replicate. A unit is a row, or all
rows of one group, which are drawn together.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from fgbench.digests import seed_for
from fgbench.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_MAX_CACHED_BYTES = 50_000_000
"""Counts of a bootstrap up to this size are cached for the next evaluation."""

_WEIGHTS_AT_ONCE = 1 << 18
"""Metrics get at most this many weights at a time (2 MiB), but at least one replicate."""


def bootstrap_weights(
    n: int, replicates: int, seed: int, units: NDArray[np.intp] | None = None
) -> Iterator[NDArray[np.float64]]:
    """Yield the weights of all replicates in order, as float64 arrays (a few replicates, n).

    `units` (n,) is the unit of each row, from 0; None if each row is one.
    """
    size = n if units is None else int(units.max()) + 1
    step = max(1, _WEIGHTS_AT_ONCE // n)
    cached = size * replicates <= _MAX_CACHED_BYTES
    counts = _cached_counts(size, replicates, seed) if cached else None
    for start in range(0, replicates, step):
        stop = min(start + step, replicates)
        block = (
            np.stack([_counts(size, seed, r) for r in range(start, stop)])
            if counts is None
            else counts[start:stop]
        )
        yield (block if units is None else block.take(units, axis=1)).astype(np.float64)


def units_of(groups: ArrayLike | None, n: int) -> NDArray[np.intp] | None:
    """Return the unit of each of n rows from group labels (n,) of any type; None if all differ.

    Raises `DataError` if there is not one label per row.
    """
    if groups is None:
        return None
    labels = np.asarray(groups)
    if labels.shape != (n,):
        raise DataError(f"groups must have one label per row, ({n},), not {labels.shape}.")
    _, units = np.unique(labels, return_inverse=True)
    return None if n == 0 or units.max() == n - 1 else np.asarray(units, dtype=np.intp).reshape(n)


@lru_cache(maxsize=4)
def _cached_counts(size: int, replicates: int, seed: int) -> NDArray[np.uint8]:
    counts = np.empty((replicates, size), dtype=np.uint8)
    for replicate in range(replicates):
        counts[replicate] = _counts(size, seed, replicate)
    counts.flags.writeable = False
    return counts


def _counts(size: int, seed: int, replicate: int) -> NDArray[np.uint8]:
    """Return how often each unit is drawn; more than 255 times is practically impossible."""
    rng = np.random.default_rng(seed_for("bootstrap", size, seed, replicate))
    draws = rng.integers(0, size, size=size, dtype=np.int32 if size < 2**31 else np.int64)
    return np.bincount(draws, minlength=size).astype(np.uint8)
