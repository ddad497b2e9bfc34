"""Which validation rows select bins, and which fit calibrators (protocols of DESIGN.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fgbench.digests import seed_for

if TYPE_CHECKING:
    from fgbench.data import IntArray


def selection_rows(labels: IntArray, protocol: str, seed: int) -> IntArray:
    """Return the validation rows that select bins and then join the training set, sorted."""
    import numpy as np

    if protocol == "paper":
        return np.arange(len(labels))
    return halve(labels, "validation halves", seed)[0]


def calibration_rows(labels: IntArray, protocol: str, seed: int) -> IntArray:
    """Return the validation rows that fit calibrators, sorted.

    Under `strict` no arm trains on them. Under `paper` they are the whole validation split, which
    only the baseline arm does not train on.
    """
    import numpy as np

    if protocol == "paper":
        return np.arange(len(labels))
    return halve(labels, "validation halves", seed)[1]


def halve(labels: IntArray, purpose: str, seed: int) -> tuple[IntArray, IntArray]:
    """Return two random halves of the rows, stratified by class.

    The draw depends on `purpose` and `seed`.
    """
    import numpy as np

    rng = np.random.default_rng(seed_for(purpose, seed))
    first: list[int] = []
    extra = 0  # the odd rows of the classes alternate between the halves
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        half, odd = divmod(len(rows), 2)
        take = half + (odd and extra % 2 == 0)
        extra += odd
        first.extend(rows[: int(take)].tolist())
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[first] = True
    return np.flatnonzero(chosen), np.flatnonzero(~chosen)
