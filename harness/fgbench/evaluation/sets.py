"""Sets of predictions from files: those of several seeds, or two sets on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fgbench.calibration.inputs import group_indices, predictions_from_probabilities
from fgbench.errors import DataError
from fgbench.evaluation.files import ID, SEED, Part, read_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fgbench.data import Predictions


@dataclass(frozen=True, eq=False)
class PredictionSet:
    """Predictions of S seeds on the same n rows, and the names of their files."""

    seeds: tuple[Predictions, ...]
    files: tuple[str, ...]


def read_predictions(*paths: Path) -> PredictionSet:
    """Read the predictions of one or more seeds on the same rows, from one or more files.

    Each file has one seed, or several in its column `seed`. Rows are matched by `id`, or else by
    their order. Raises `DataError` that names file and line.
    """
    parts = _parts(paths)
    return PredictionSet(_predictions(_aligned(parts[0], parts)), _names(paths))


def read_pair(a: Sequence[Path], b: Sequence[Path]) -> tuple[PredictionSet, PredictionSet]:
    """Read two sets of predictions of the same rows, labels and seeds.

    Seeds are matched by their values in the column `seed`, or else by their order. Raises
    `DataError` that names file and line.
    """
    first, second = _parts(a), _parts(b)
    if len(first) != len(second):
        raise DataError(
            f"{_text(a)}: {_seeds(len(first))}, but {_text(b)}: {_seeds(len(second))}. Compare "
            "predictions of the same seeds."
        )
    if first[0].seed is not None and second[0].seed is not None:
        by_seed = {part.seed: part for part in second}
        for part in first:
            if part.seed not in by_seed:
                raise DataError(f"{part.file}: seed {part.seed} is not in {_text(b)}.")
        second = [by_seed[part.seed] for part in first]
    predictions = _predictions(_aligned(first[0], [*first, *second]))
    return (
        PredictionSet(predictions[: len(first)], _names(a)),
        PredictionSet(predictions[len(first) :], _names(b)),
    )


def _parts(paths: Sequence[Path]) -> list[Part]:
    """Return the parts of all files, one per seed; either all seeds have a name, or none."""
    parts = [part for path in paths for part in read_parts(path)]
    named: dict[str, Path] = {}
    for part in parts:
        if (part.seed is None) != (parts[0].seed is None):
            one, other = (part, parts[0]) if part.seed is None else (parts[0], part)
            raise DataError(f"{one.file}: no column `{SEED}`, but {other.file} has one.")
        if part.seed is not None and part.seed in named:
            raise DataError(f"{part.file}: seed {part.seed} is also in {named[part.seed]}.")
        if part.seed is not None:
            named[part.seed] = part.file
    return parts


def _aligned(first: Part, parts: Sequence[Part]) -> list[Part]:
    """Return the parts with the rows and classes in the order of the first.

    Raises `DataError` if they are not predictions of the same rows, with the same labels.
    """
    aligned = []
    for part in parts:
        part = _with_classes_of(first, part)
        rows = _rows_of(first, part)
        labels = first.predictions.labels, part.predictions.labels[rows]
        differs = np.flatnonzero(labels[0] != labels[1])
        if len(differs):
            row = int(differs[0])
            wanted, found = (int(each[row]) for each in labels)
            names = first.classes if first.classes == part.classes else ()
            way = "" if first.ids else f", or add a column `{ID}` to both"
            raise DataError(
                f"{part.place(int(rows[row]))}: label {_name(names, found)}, but "
                f"{first.place(row)} has label {_name(names, wanted)}. Give the same rows in the "
                f"same order{way}."
            )
        aligned.append(_with_rows(part, rows))
    return aligned


def _rows_of(first: Part, part: Part) -> NDArray[np.int64]:
    """Return the row of `part` for each row of `first`: by id, or else by order."""
    if bool(first.ids) != bool(part.ids):
        one, other = (first, part) if part.ids else (part, first)
        raise DataError(f"{one.file}: no column `{ID}`, but {other.file} has one.")
    if not first.ids:
        if len(first.predictions) != len(part.predictions):
            raise DataError(
                f"{part.file}: {len(part.predictions):,} rows, but {first.file} has "
                f"{len(first.predictions):,}. Give predictions of the same rows."
            )
        return np.arange(len(first.predictions))
    known, wanted = {text: row for row, text in enumerate(part.ids)}, set(first.ids)
    for one, other, ids in ((first, part, known.keys()), (part, first, wanted)):
        for row, text in enumerate(one.ids):
            if text not in ids:
                raise DataError(f"{one.place(row)}: the id {text!r} is not in {other.file}.")
    return np.array([known[text] for text in first.ids], dtype=np.int64)


def _with_rows(part: Part, rows: NDArray[np.int64]) -> Part:
    return replace(
        part,
        predictions=part.predictions.take(rows),
        ids=tuple(part.ids[row] for row in rows) if part.ids else (),
        lines=tuple(part.lines[row] for row in rows) if part.lines else (),
    )


def _with_classes_of(first: Part, part: Part) -> Part:
    """Return the part with its classes in the order of the first part's, matched by name.

    Files that have no name in common, as `p0,p1` and `no,yes`, have their classes in one order.
    """
    if first.predictions.n_classes != part.predictions.n_classes:
        raise DataError(
            f"{part.file}: {part.predictions.n_classes} classes, but {first.file} has "
            f"{first.predictions.n_classes}."
        )
    common = set(first.classes) & set(part.classes)
    if not common or first.classes == part.classes:
        return part
    for one, other in ((part, first), (first, part)):
        for name in one.classes:
            if name not in common:
                raise DataError(
                    f"{one.file} line 1: {other.file} has no column {name!r}. Name the classes "
                    "alike in both."
                )
    order = [part.classes.index(name) for name in first.classes]
    old = part.predictions
    assert old.given is not None  # only CSV files name their classes
    predictions = predictions_from_probabilities(old.given[:, order], np.argsort(order)[old.labels])
    return replace(part, predictions=replace(predictions, groups=old.groups), classes=first.classes)


def _predictions(parts: Sequence[Part]) -> tuple[Predictions, ...]:
    """Return the predictions of aligned parts, all with the groups that one of them names."""
    grouped = [part for part in parts if part.predictions.groups is not None]
    if not grouped:
        return tuple(part.predictions for part in parts)
    n = len(parts[0].predictions)
    first = _partition(grouped[0], n)
    for part in grouped:
        differs = np.flatnonzero(_partition(part, n) != first)
        if len(differs):
            raise DataError(
                f"{part.place(int(differs[0]))}: its group has other rows than in "
                f"{grouped[0].file}. Group the rows alike."
            )
    return tuple(replace(part.predictions, groups=first) for part in parts)


def _partition(part: Part, n: int) -> NDArray[np.int64]:
    """Return the groups numbered in the order of their first rows."""
    assert part.predictions.groups is not None
    return group_indices(part.predictions.groups, n)


def _name(classes: Sequence[str], label: int) -> str:
    return classes[label] if classes else str(label)


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"{count} seeds"


def _names(paths: Sequence[Path]) -> tuple[str, ...]:
    return tuple(str(path) for path in paths)


def _text(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths))
