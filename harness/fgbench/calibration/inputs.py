"""Predictions from arrays of probabilities that anybody made."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fgbench.data import Predictions
from fgbench.errors import DataError

Floats = NDArray[np.float64]

Place = Callable[[int], str]
"""Names a row in messages: "probabilities, row 17", or "a.csv line 19"."""

TOLERANCE = 1e-4
"""Probabilities of a row sum to 1 within this."""


def predictions_from_probabilities(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    posterior: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    place: Place = "probabilities, row {}".format,
) -> Predictions:
    """Return predictions from probabilities (n, K), or P(y=1) (n,), and labels (n,).

    `posterior` takes the same shapes. Rows of the same label in `groups` (n,), of any type, are not
    independent. `place` names rows in messages. Raises `DataError` if a
    probability is outside [0, 1], a row does not sum to 1 within 1e-4, or a label is not a class.
    """
    rows = _probability_rows("probabilities", probabilities, place)
    classes = class_indices(labels, rows.shape[1])
    if len(classes) != len(rows):
        raise DataError(f"{len(rows):,} rows of probabilities, but {len(classes):,} labels.")
    true = None
    if posterior is not None:
        true = _probability_rows("the posterior", posterior, "posterior, row {}".format)
        if true.shape != rows.shape:
            raise DataError(f"the posterior has the shape {true.shape}, not {rows.shape}.")
    return Predictions(
        np.log(np.maximum(rows, 1e-38)).astype(np.float32),
        classes,
        posterior=true,
        given=rows,
        groups=None if groups is None else group_indices(groups, len(rows)),
    )


def class_indices(labels: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Return labels (n,) as indices of K classes.

    Raises `DataError` for anything but whole numbers from 0 to K − 1.
    """
    values = numbers("labels", labels)
    if values.ndim != 1:
        raise DataError(f"labels must have the shape (n,), not {values.shape}.")
    wrong = np.flatnonzero(~((values >= 0) & (values < classes) & (values == np.floor(values))))
    if len(wrong):
        raise DataError(
            f"labels, row {wrong[0]}: the label {values[wrong[0]]:g} is not a class: labels are "
            f"whole numbers from 0 to {classes - 1}."
        )
    return values.astype(np.int64)


def group_indices(groups: ArrayLike, n: int) -> NDArray[np.int64]:
    """Return the number of each row's group (n,), from labels of any type.

    Raises `DataError` if there is not one label per row.
    """
    values = np.asarray(groups, dtype=object)
    if values.shape != (n,):
        raise DataError(
            f"groups must have one label for each of {n:,} rows, but have the shape {values.shape}."
        )
    found: dict[object, int] = {}
    for row, value in enumerate(values.tolist()):
        if value is None or value != value:
            raise DataError(f"groups, row {row}: missing: give every row a group.")
        try:
            found.setdefault(value, len(found))
        except TypeError:
            raise DataError(f"groups, row {row}: not a number or text, but {value!r}.") from None
    return np.array([found[value] for value in values.tolist()], dtype=np.int64)


def numbers(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Return an array of numbers as float64. Raises `DataError` for anything else."""
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{name}: not an array of numbers ({reason}).") from None
    if array.dtype.kind not in "biuf":
        kind = "text" if array.dtype.kind in "USO" else array.dtype.name
        raise DataError(f"{name} must be an array of numbers, not of {kind}.")
    return array.astype(np.float64)


def _probability_rows(what: str, values: ArrayLike, place: Place) -> Floats:
    rows = numbers(what, values)
    if rows.ndim == 1:
        rows = np.stack([1.0 - rows, rows], axis=1)
    if rows.ndim != 2 or rows.shape[1] < 2:
        raise DataError(f"{what} must have the shape (n, K) or (n,), not {np.shape(values)}.")
    inside = (rows >= 0.0) & (rows <= 1.0)
    if not inside.all():
        row = int(np.argmin(inside.all(axis=1)))
        label = int(np.flatnonzero(~inside[row])[-1])
        raise DataError(
            f"{place(row)}: the probability of class {label}, {rows[row, label]:g}, is not in "
            "[0, 1]: give probabilities, not logits or percent."
        )
    sums = rows.sum(axis=1)
    wrong = np.flatnonzero(np.abs(sums - 1.0) > TOLERANCE)
    if len(wrong):
        raise DataError(f"{place(int(wrong[0]))}: it sums to {sums[wrong[0]]:g}, not to 1.")
    return rows
