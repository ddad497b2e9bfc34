"""Files of predictions, one part per seed.

A `.csv` file has a header, a column `label` (a class index or name), and one column of
probabilities per class in the order of the classes; a single one is P(y=1). The columns `id`,
`seed` and `group` are optional. An `.npz` file contains `labels` (n,) and either `logits`, (n, K)
or (S, n, K), or `probabilities` in any shape that `fgbench.evaluate` takes, and optionally the true
`posterior` (n, K) and `groups` (n,): the prediction files of runs are such files.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import numpy as np

from fgbench.calibration.inputs import class_indices, predictions_from_probabilities
from fgbench.data import Predictions
from fgbench.errors import DataError
from fgbench.evaluation.shapes import predictions_of
from fgbench.foreign import ARRAYS, TABLE, open_file, read_arrays

LABEL, ID, SEED, GROUP = "label", "id", "seed", "group"


@dataclass(frozen=True, eq=False)
class Part:
    """The predictions of one seed in one file; `lines` are those of its rows, from 1."""

    file: Path
    predictions: Predictions
    classes: tuple[str, ...] = ()
    seed: str | None = None
    ids: tuple[str, ...] = ()
    lines: tuple[int, ...] = ()

    def place(self, row: int) -> str:
        """Return where a row is."""
        return f"{self.file} line {self.lines[row]}" if self.lines else f"{self.file} row {row}"


def read_parts(path: Path) -> Iterator[Part]:
    """Yield the predictions of each seed in a file. Raises `DataError` that names file and line."""
    if path.suffix.casefold() == ".csv":
        return _read_csv(path)
    if path.suffix.casefold() == ".npz":
        return _read_npz(path)
    raise DataError(f"{path}: unsupported format; predictions must be .npz or .csv files.")


def _read_npz(path: Path) -> Iterator[Part]:
    arrays = read_arrays(path, ARRAYS)
    labels, posterior, groups = (arrays.get(name) for name in ("labels", "posterior", "groups"))
    if labels is None or not {"logits", "probabilities"} & arrays.keys():
        raise DataError(
            f"{path}: must contain `labels` and either `logits` or `probabilities`, but contains "
            f"{', '.join(sorted(arrays)) or 'nothing'}."
        )
    try:
        if "probabilities" in arrays:
            found = predictions_of(
                "probabilities",
                arrays["probabilities"],
                labels,
                posterior=posterior,
                groups=groups,
            )
        else:
            logits = arrays["logits"]
            classes = class_indices(labels, logits.shape[-1] if logits.ndim else 0)
            found = tuple(
                Predictions(rows, classes, posterior=posterior, groups=groups)
                for rows in (logits if logits.ndim == 3 else (logits,))
            )
    except (DataError, ValueError, TypeError, OverflowError) as error:
        raise DataError(f"{path}: {error}") from None
    yield from (Part(path, predictions) for predictions in found)


@dataclass(eq=False)
class _Rows:
    """The rows of one seed of a CSV file."""

    probabilities: list[list[float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    ids: dict[str, int] = field(default_factory=dict)
    groups: list[str] = field(default_factory=list)


def _read_csv(path: Path) -> Iterator[Part]:
    with (
        open_file(path, TABLE) as binary,
        TextIOWrapper(binary, encoding="utf-8-sig", newline="") as stream,
    ):
        reader = csv.reader(stream)
        try:
            header = _header(path, next(reader, []))
            by_seed = _rows(path, header, reader)
        except (UnicodeDecodeError, csv.Error) as error:
            line = reader.line_num + 1
            raise DataError(f"{path} line {line}: invalid CSV: {error}.") from None
    if not by_seed:
        raise DataError(f"{path}: no predictions.")
    for seed, rows in by_seed.items():
        array = np.array(rows.probabilities)
        predictions = predictions_from_probabilities(
            array[:, 0] if array.shape[1] == 1 else array,
            rows.labels,
            groups=rows.groups or None,
            place=_line_of(path, rows.lines),
        )
        yield Part(path, predictions, header.named, seed, tuple(rows.ids), tuple(rows.lines))


def _line_of(path: Path, lines: Sequence[int]) -> Callable[[int], str]:
    return lambda row: f"{path} line {lines[row]}"


@dataclass(frozen=True)
class _Header:
    columns: tuple[str, ...]
    classes: tuple[int, ...]
    """The positions of the columns of probabilities."""

    @property
    def named(self) -> tuple[str, ...]:
        """The names of the classes; a single column has P(y=1), of classes without a name."""
        names = tuple(self.columns[position] for position in self.classes)
        return names if len(names) > 1 else ()

    def position(self, name: str) -> int | None:
        """Return the position of an optional column."""
        return self.columns.index(name) if name in self.columns else None


def _header(path: Path, row: Sequence[str]) -> _Header:
    columns = tuple(name.strip() for name in row)
    classes = tuple(
        position for position, name in enumerate(columns) if name not in (LABEL, ID, SEED, GROUP)
    )
    if LABEL not in columns or not classes:
        missing = "column of probabilities" if LABEL in columns else f"column `{LABEL}`"
        raise DataError(
            f"{path} line 1: the header must have one column `{LABEL}` and one column of "
            f"probabilities per class; it has no {missing}."
        )
    for name in columns:
        if columns.count(name) > 1:
            raise DataError(f"{path} line 1: two columns are named {name!r}.")
    return _Header(columns, classes)


def _rows(path: Path, header: _Header, reader: Any) -> dict[str | None, _Rows]:
    """Return the rows of each seed, in the order of the seeds' first rows."""
    label_at = header.columns.index(LABEL)
    optional = {name: header.position(name) for name in (ID, SEED, GROUP)}
    names = header.named or ("0", "1")
    index = {str(k): k for k in range(len(names))} | {name: k for k, name in enumerate(names)}
    by_seed: dict[str | None, _Rows] = {}
    for row in reader:
        if not row:
            continue
        line = reader.line_num
        if len(row) != len(header.columns):
            raise DataError(
                f"{path} line {line}: {len(row)} fields, but the header has {len(header.columns)}."
            )
        text = {name: row[at].strip() for name, at in optional.items() if at is not None}
        for name, value in text.items():
            if not value:
                raise DataError(f"{path} line {line}: no value in the column `{name}`.")
        label = index.get(row[label_at].strip())
        if label is None:
            raise DataError(
                f"{path} line {line}: label {row[label_at]!r} is neither an index from 0 to "
                f"{len(names) - 1} nor the name of a column."
            )
        rows = by_seed.setdefault(text.get(SEED), _Rows())
        if ID in text:
            if text[ID] in rows.ids:
                earlier = rows.lines[rows.ids[text[ID]]]
                raise DataError(
                    f"{path} line {line}: the id {text[ID]!r} is also on line {earlier}."
                )
            rows.ids[text[ID]] = len(rows.labels)
        rows.probabilities.append([_number(path, line, header, row, at) for at in header.classes])
        rows.labels.append(label)
        rows.lines.append(line)
        if GROUP in text:
            rows.groups.append(text[GROUP])
    return by_seed


def _number(path: Path, line: int, header: _Header, row: Sequence[str], at: int) -> float:
    try:
        return float(row[at])
    except ValueError:
        raise DataError(
            f"{path} line {line}: {row[at]!r} in the column {header.columns[at]!r} is not a number."
        ) from None
