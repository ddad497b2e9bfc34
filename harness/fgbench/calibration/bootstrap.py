"""Bootstrap weights: how often each test point is drawn in each replicate."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from fgbench.digests import seed_for

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MAX_CACHED_BYTES = 50_000_000
"""Counts of a bootstrap up to this size are cached for the next evaluation."""

_WEIGHTS_AT_ONCE = 1 << 18
"""Metrics get at most this many weights at a time (2 MiB), but at least one replicate."""


def bootstrap_weights(n: int, replicates: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield the weights of all replicates in order, as float64 arrays (a few replicates, n)."""
    step = max(1, _WEIGHTS_AT_ONCE // n)
    cached = n * replicates <= _MAX_CACHED_BYTES
    counts = _cached_counts(n, replicates, seed) if cached else None
    for start in range(0, replicates, step):
        stop = min(start + step, replicates)
        if counts is not None:
            yield counts[start:stop].astype(np.float64)
        else:
            yield np.stack([_counts(n, seed, r) for r in range(start, stop)]).astype(np.float64)


@lru_cache(maxsize=4)
def _cached_counts(n: int, replicates: int, seed: int) -> NDArray[np.uint8]:
    counts = np.empty((replicates, n), dtype=np.uint8)
    for replicate in range(replicates):
        counts[replicate] = _counts(n, seed, replicate)
    counts.flags.writeable = False
    return counts


def _counts(n: int, seed: int, replicate: int) -> NDArray[np.uint8]:
    """Return how often each of n rows is drawn; more than 255 times is practically impossible."""
    rng = np.random.default_rng(seed_for("bootstrap", n, seed, replicate))
    draws = rng.integers(0, n, size=n, dtype=np.int32 if n < 2**31 else np.int64)
    return np.bincount(draws, minlength=n).astype(np.uint8)
