"""Predictions from arrays of probabilities that anybody made."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fgbench.data import Predictions
from fgbench.errors import DataError

Floats = NDArray[np.float64]


def predictions_from_probabilities(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    posterior: ArrayLike | None = None,
    groups: ArrayLike | None = None,
) -> Predictions:
    """Return predictions from probabilities (n, K), or P(y=1) (n,), and labels (n,).

    `posterior` takes the same shapes. Rows of the same label in `groups` (n,), of any type, are not
    independent. Raises `DataError` if a probability is outside [0, 1], a row does not sum to 1
    within 1e-4, or a label is not a class.
    """
    rows = _probability_rows("probabilities", probabilities)
    logits = np.log(np.maximum(rows, 1e-38))
    classes = np.asarray(labels)
    whole = classes.astype(np.int64) if classes.dtype.kind in "biuf" else None
    if whole is None or not np.array_equal(whole, classes) or (whole.size and whole.min() < 0):
        raise DataError(f"labels must be whole numbers from 0 to {logits.shape[1] - 1}.")
    true = None if posterior is None else _probability_rows("posterior", posterior)
    if true is not None and true.shape != logits.shape:
        raise DataError(f"the posterior has the shape {true.shape}, not {logits.shape}.")
    units = None if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    return Predictions(logits.astype(np.float32), whole, posterior=true, given=rows, groups=units)


def _probability_rows(what: str, values: ArrayLike) -> Floats:
    rows = np.asarray(values, dtype=np.float64)
    if rows.ndim == 1:
        rows = np.stack([1.0 - rows, rows], axis=1)
    if rows.ndim != 2 or rows.shape[1] < 2:
        raise DataError(f"{what} must have the shape (n, K) or (n,), not {np.shape(values)}.")
    wrong = np.flatnonzero(~((rows >= 0.0) & (rows <= 1.0)).all(axis=1))
    if len(wrong):
        raise DataError(f"{what}, row {wrong[0]}: {rows[wrong[0]].tolist()} is not in [0, 1].")
    sums = rows.sum(axis=1)
    wrong = np.flatnonzero(np.abs(sums - 1.0) > 1e-4)
    if len(wrong):
        raise DataError(f"{what}, row {wrong[0]}: it sums to {sums[wrong[0]]:g}, not to 1.")
    return rows
