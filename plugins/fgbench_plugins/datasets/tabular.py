"""User data: a CSV or JSON Lines file with a text and a label per row."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from fgbench import (
    ConfigurationError,
    DataError,
    DataFolder,
    Dataset,
    DatasetLoader,
    Split,
    parse_json,
)
from fgbench_plugins.datasets.class_names import check_labels, label_warnings, ordered_classes
from fgbench_plugins.datasets.splitting import split_official, split_texts
from fgbench_plugins.datasets.text_files import TextFile, csv_records

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
"""The split that each value of a split column means."""


def known_encoding(value: str) -> str:
    """Return the name of an encoding of texts; raises `ValueError` for any other."""
    try:
        "a".encode(value)  # `lookup` also finds codecs that are not of texts
    except (LookupError, ValueError):
        raise ValueError("unknown encoding") from None
    return value


def delimiter_of(value: Any) -> Any:
    """Return the delimiter that a name stands for: `tab` or `\\t` for a tab."""
    return {"tab": "\t", "\\t": "\t"}.get(value, value) if isinstance(value, str) else value


Encoding = Annotated[str, AfterValidator(known_encoding)]
Delimiter = Annotated[str, BeforeValidator(delimiter_of), Field(min_length=1, max_length=1)]


@dataclass(frozen=True)
class Row:
    """A valid row of a file; `split` is None if the file has no split of its own."""

    text: str
    label: str
    split: str | None


class _UserFile(DatasetLoader):
    """Base of the loaders of user files.

    Errors show no content of the file: a suite that somebody else wrote may name any file.

    `path` is relative to the working directory; `text`, `label` and `split` name the columns.
    Further files with the same columns may hold the test and the validation split: `test`,
    `validation`. `labels` lists the classes in order (default: those of the file, sorted); a row
    with another label is an error. `descriptions` describes each class and `task` describes a
    text; both are used in LLM prompts. Without `split` and `test`, 20 % of the rows are the test
    split and 20 % of the rest the validation split, stratified, with equal texts kept together.
    `drop_invalid` drops rows without text, label or known split instead of refusing the file.
    """

    path: Path
    text: str
    label: str
    split: str | None = None
    labels: tuple[str, ...] = ()
    descriptions: tuple[str, ...] = ()
    task: str = "a text"
    encoding: Encoding = "utf-8"
    split_seed: int = 0
    test: Path | None = None
    validation: Path | None = None
    drop_invalid: bool = False
    paths = frozenset({"path", "test", "validation"})
    unnamed = "path"
    younger = frozenset({"test", "validation", "drop_invalid"})

    def load(self, folder: DataFolder) -> Dataset:
        """Read the files; raises `DataError` for a row without text or label."""
        columns = [self.text, self.label, *([self.split] if self.split else [])]
        if len(set(columns)) < len(columns):
            raise DataError(f"{self.path}: text, label and split must be different columns.")
        path = _expanded(self.path)
        rows = [row for file, split in self._files() for row in self._read(file, split, folder)]
        found = [row.label for row in rows]
        if not self.labels:
            check_labels(str(path), self.label, found)
        names = self.labels or ordered_classes(found)
        dataset = Dataset(
            name=path.stem,
            label_names=names,
            label_descriptions=self.descriptions,
            splits=self._splits(rows, {name: i for i, name in enumerate(names)}),
            task=self.task,
        )
        dataset.validate()
        if not self.labels:
            folder.warnings += [f"{path}: {text}." for text in label_warnings(found)]
        return dataset

    @abstractmethod
    def _rows(self, file: TextFile, columns: list[str]) -> Iterator[tuple[int, list[str]]]:
        """Yield the line number of each row and its values in these columns."""

    def _files(self) -> list[tuple[TextFile, str | None]]:
        """Return each file and the split that it is; None: see the column, or draw it."""
        if self.test is None and self.validation is not None:
            raise ConfigurationError("validation= needs test=, the file of the test split.")
        if self.test is not None and self.split is not None:
            raise ConfigurationError("split= and test= are both given: use one of them.")
        files = {
            "train": self.path,
            "validation": self.validation,
            "test": self.test,
        }
        return [
            (self._file(path, key), split if self.test is not None else None)
            for (split, path), key in zip(
                files.items(), ("path", "validation", "test"), strict=True
            )
            if path is not None
        ]

    def _file(self, path: Path, key: str) -> TextFile:
        path = _expanded(path)
        if path.is_dir():
            raise DataError(f"{path}: is a folder. Set {key}= to a data file.")
        return TextFile.of_path(path, str(path), self.encoding)

    def _read(self, file: TextFile, fixed: str | None, folder: DataFolder) -> list[Row]:
        """Return the valid rows of a file; an invalid one is an error, or dropped and noted."""
        rows: list[Row] = []
        dropped: Counter[str] = Counter()
        lines: list[int] = []
        columns = [self.text, self.label, *([self.split] if self.split else [])]
        for line, values in self._rows(file, columns):
            problem = self._problem(values)
            if problem is None:
                text, label, *split = (value.strip() for value in values)
                rows.append(Row(text, label, SPLIT_NAMES[split[0].lower()] if split else fixed))
            elif self.drop_invalid:
                dropped[problem[0]] += 1
                lines.append(line)
            else:
                raise file.error(line, problem[1])
        if dropped:
            reasons = ", ".join(f"{count:,} × {reason}" for reason, count in dropped.items())
            folder.notes.append(
                f"{file.where}: dropped {len(lines):,} of {len(lines) + len(rows):,} rows "
                f"({reasons}), the first at line {lines[0]}."
            )
        if not rows:
            raise DataError(f"{file.where}: no rows.")
        return rows

    def _problem(self, values: Sequence[str]) -> tuple[str, str] | None:
        """Return what is wrong with a row, as a kind and as a sentence; None if it is valid."""
        text, label, *split = (value.strip() for value in values)
        if not text:
            return "empty text", f"empty text ({self.text})."
        if not label:
            return "empty label", f"empty label ({self.label})."
        if self.labels and label not in self.labels:
            listed = ", ".join(self.labels)
            return "label not listed", f"the label ({self.label}) is not one of {listed}."
        if split and split[0].lower() not in SPLIT_NAMES:
            problem = f"the split ({self.split}) is not train, validation or test."
            return "unknown split", problem
        return None

    def _splits(self, rows: Sequence[Row], index_of: dict[str, int]) -> dict[str, Split]:
        if self.split is None and self.test is None:
            return split_texts(
                [row.text for row in rows],
                [index_of[row.label] for row in rows],
                test_share=0.2,
                seed=self.split_seed,
                where=str(self.path),
            )
        parts: dict[str, tuple[list[str], list[int]]] = {}
        for row in rows:
            texts, labels = parts.setdefault(row.split or "", ([], []))
            texts.append(row.text)
            labels.append(index_of[row.label])
        for required in ("train", "test"):
            if required not in parts:
                raise DataError(f"{self.path}: no row has the split {required!r} in {self.split}.")
        return split_official(parts, seed=self.split_seed)


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:  # no such user
        raise DataError(f"{path}: no such file ({error}).") from None


class CsvFile(_UserFile):
    """A CSV file with a header; the delimiter `tab` is a tab."""

    delimiter: Delimiter = ","

    def _rows(self, file: TextFile, columns: list[str]) -> Iterator[tuple[int, list[str]]]:
        return csv_records(file, columns, delimiter=self.delimiter)


class JsonLinesFile(_UserFile):
    """A JSON Lines file: one object per line; a label is a string or an integer."""

    def _rows(self, file: TextFile, columns: list[str]) -> Iterator[tuple[int, list[str]]]:
        for line, content in file.lines():
            if not content.strip():
                continue
            try:
                row = parse_json(content, lone_surrogates=True)
            except ValueError as error:
                raise file.error(line, f"not valid JSON ({error}).") from None
            if not isinstance(row, dict):
                raise file.error(line, "not a JSON object.")
            yield line, [self._value(file, line, row, column) for column in columns]

    def _value(self, file: TextFile, line: int, row: dict[str, Any], column: str) -> str:
        if column not in row:
            raise file.error(line, f"no {column!r} in the object.")
        value = row[column]
        if value is None:
            return ""
        if isinstance(value, int) and not isinstance(value, bool) and column == self.label:
            return str(value)
        if not isinstance(value, str):
            raise file.error(line, f"{column!r} is {_kind(value)}, not a string.")
        return value


def _kind(value: Any) -> str:
    kinds = {bool: "a boolean", dict: "an object", list: "an array"}
    return kinds.get(type(value), "a number")
