"""Guess how a data file is written: encoding, delimiter, and which columns are text and label."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fgbench import DataError, open_file, parse_json
from fgbench_plugins.datasets.hub_columns import LABELS, TEXTS, listed
from fgbench_plugins.datasets.tabular import SPLIT_NAMES
from fgbench_plugins.datasets.text_files import DELIMITERS, delimiter_name

_SPLITS = ("split", "set", "fold", "partition", "subset")
_BOMS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_SAMPLE_ROWS = 1000
_MOST_CLASSES = 100


@dataclass(frozen=True)
class Sample:
    """The first rows of a file: names of the columns, and the values of each row."""

    columns: list[str]
    rows: list[list[str]]

    def values(self, column: str) -> list[str]:
        """Return the values of a column."""
        index = self.columns.index(column)
        return [row[index] for row in self.rows]


@dataclass(frozen=True)
class Roles:
    """Which columns are text, label and, if there is one, split."""

    text: str
    label: str
    split: str | None


def guess_encoding(path: Path) -> str:
    """Return the encoding of a file: that of its byte order mark, or the first that decodes it."""
    with open_file(path) as stream:
        content = stream.read()
    for bom, encoding in _BOMS.items():
        if content.startswith(bom):
            return encoding
    for encoding in ("utf-8", "cp1252"):
        try:
            content.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"


def read_csv_sample(path: Path, encoding: str, delimiter: str | None) -> tuple[str, Sample]:
    """Return the delimiter (as asked, or guessed) and the first rows.

    The delimiter is the one that gives most of the first records the same number of columns, of
    several the one with the most columns.
    """
    candidates = DELIMITERS if delimiter is None else (delimiter,)
    best: tuple[tuple[float, int], str, list[list[str]]] | None = None
    for candidate in candidates:
        records = _records(path, encoding, candidate)
        if not records or len(records[0]) < 2:
            continue
        width = len(records[0])
        share = sum(len(record) == width for record in records) / len(records)
        if best is None or (share, width) > best[0]:
            best = (share, width), candidate, records
    if best is None:
        tried = " ".join(map(delimiter_name, candidates))
        raise DataError(
            f"{path}: no table of texts and labels: the first line is one column with the "
            f"delimiter {tried}. Set --delimiter."
        )
    _, found, records = best
    header = [name.strip() for name in records[0]]
    return found, Sample(header, [row for row in records[1:] if len(row) == len(header)])


def read_jsonl_sample(path: Path, encoding: str) -> Sample:
    """Return the first rows of a JSON Lines file; values that are not texts or integers are ''."""
    objects = []
    with _text(path, encoding) as stream:
        for number, line in enumerate(stream, start=1):
            if len(objects) >= _SAMPLE_ROWS:
                break
            if not line.strip():
                continue
            try:
                value = parse_json(line, lone_surrogates=True)
            except ValueError as error:
                raise DataError(f"{path} line {number}: not valid JSON ({error}).") from None
            if not isinstance(value, dict):
                raise DataError(f"{path} line {number}: not a JSON object.")
            objects.append(value)
    columns = list(dict.fromkeys(name for value in objects for name in value))
    rows = [
        [
            str(value.get(name, "")) if isinstance(value.get(name), str | int) else ""
            for name in columns
        ]
        for value in objects
    ]
    return Sample(columns, rows)


def guess_roles(where: Path, sample: Sample, text: str | None, label: str | None) -> Roles:
    """Return the columns of text, label and split: as asked, by name, or by their values."""
    for asked in (text, label):
        if asked is not None and asked not in sample.columns:
            raise DataError(f"{where}: no column {asked!r}; there are {listed(sample.columns)}.")
    if not sample.rows:
        raise DataError(f"{where}: no rows below the header.")
    split = _split_column(sample, {text, label})
    others = [name for name in sample.columns if name not in (split, text, label)]
    text = text or _named(others, TEXTS) or _longest(sample, others)
    others = [name for name in others if name != text]
    label = label or _named(others, LABELS) or _few_values(sample, others)
    if text is None or label is None:
        missing = "text" if text is None else "label"
        raise DataError(
            f"{where}: no column looks like the {missing}. Set --{missing} to one of "
            f"{listed(sample.columns)}."
        )
    if label in (value.strip() for value in sample.values(label)):
        raise DataError(
            f"{where}: the first line looks like data. A file needs a header with the names of "
            "its columns."
        )
    return Roles(text, label, split)


def _text(path: Path, encoding: str) -> io.TextIOWrapper:
    name = "utf-8-sig" if encoding == "utf-8" else encoding
    return io.TextIOWrapper(open_file(path), encoding=name, newline="")


def _records(path: Path, encoding: str, delimiter: str) -> list[list[str]]:
    records: list[list[str]] = []
    with _text(path, encoding) as stream:
        try:
            for record in csv.reader(stream, delimiter=delimiter):
                if record:
                    records.append(record)
                if len(records) > _SAMPLE_ROWS:
                    break
        except csv.Error:  # with a wrong delimiter, a quote may never end
            return records
    return records


def _named(columns: Sequence[str], usual: Sequence[str]) -> str | None:
    by_name = {name.casefold(): name for name in reversed(columns)}
    return next((by_name[name] for name in usual if name in by_name), None)


def _longest(sample: Sample, columns: Sequence[str]) -> str | None:
    """Return the column with the longest values, if they are longer than a word."""
    means = {
        name: sum(len(value) for value in sample.values(name)) / len(sample.rows)
        for name in columns
    }
    name = max(means, key=lambda name: means[name], default=None)
    return name if name is not None and any(" " in v for v in sample.values(name)) else None


def _few_values(sample: Sample, columns: Sequence[str]) -> str | None:
    """Return the column with the fewest different values, if each occurs several times."""
    counts = {name: len(set(sample.values(name))) for name in columns}
    most = min(_MOST_CLASSES, len(sample.rows) // 2)
    suitable = {name: count for name, count in counts.items() if 2 <= count <= most}
    return min(suitable, key=lambda name: suitable[name], default=None)


def _split_column(sample: Sample, taken: set[str | None]) -> str | None:
    """Return the column that names the split of each row: training and test rows at least."""
    for name in sample.columns:
        values = {value.strip().lower() for value in sample.values(name)}
        known = {SPLIT_NAMES.get(value) for value in values if value}
        if name not in taken and name.casefold() in _SPLITS and {"train", "test"} <= known:
            return name
    return None


def first_rows(sample: Sample, roles: Roles, n: int = 3) -> list[tuple[str, str]]:
    """Return the label and the text of the first rows."""
    texts, labels = sample.values(roles.text), sample.values(roles.label)
    return list(zip(labels, texts, strict=True))[:n]


def shortened(text: str, width: int) -> str:
    """Return a text in one line of at most `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def counted(values: Sequence[str], most: int = 12) -> str:
    """Return how often each value occurs, the most frequent first."""
    counts = Counter(values).most_common()
    listing = ", ".join(f"{shortened(value, 30)} {count:,}" for value, count in counts[:most])
    return listing + (f" and {len(counts) - most} more" if len(counts) > most else "")
