"""User data: a CSV or JSON Lines file with a text and a label per row."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from fgbench import DataError, DataFolder, Dataset, DatasetLoader, parse_json
from fgbench_plugins.datasets.splitting import split_official, split_texts
from fgbench_plugins.datasets.text_files import TextFile, csv_records

_MAX_DIGITS = 300
_SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}


def _encoding(value: str) -> str:
    try:
        "a".encode(value)  # `lookup` also finds codecs that are not of texts
    except (LookupError, ValueError):
        raise ValueError("unknown encoding") from None
    return value


Encoding = Annotated[str, AfterValidator(_encoding)]
Row = tuple[int, str, str, str | None]
"""Line, text, label and, if there is a split column, the split."""


class _UserFile(DatasetLoader):
    """Base of the loaders of user files.

    Errors show no content of the file: a suite that somebody else wrote may name any file.

    `path` is relative to the working directory; `text`, `label` and `split` name the columns.
    `labels` lists the classes in order (default: those of the file, sorted); a row with another
    label is an error. `descriptions` describes each class and `task` describes a text; both are
    used in LLM prompts. Without `split`, 20 % of the rows are the test split and 20 % of the rest
    the validation split, stratified, with equal texts kept together.
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
    paths = frozenset({"path"})

    def load(self, folder: DataFolder) -> Dataset:
        """Read the file; raises `DataError` for a row without text or label."""
        columns = [self.text, self.label, *([self.split] if self.split else [])]
        if len(set(columns)) < len(columns):
            raise DataError(f"{self.path}: text, label and split must be different columns.")
        try:
            path = self.path.expanduser()
        except RuntimeError as error:  # no such user
            raise DataError(f"{self.path}: no such file ({error}).") from None
        if path.is_dir():
            raise DataError(f"{path}: is a folder. Set path= to a data file.")
        file = TextFile.of_path(path, str(path), self.encoding)
        rows = list(self._validated_rows(file, columns))
        if not rows:
            raise DataError(f"{path}: no rows.")
        names = self.labels or tuple(sorted({label for _, _, label, _ in rows}, key=_sort_key))
        if len(names) < 2:
            raise DataError(
                f"{path}: every row has the same label; a classifier needs at least two classes."
            )
        dataset = Dataset(
            name=path.stem,
            label_names=names,
            label_descriptions=self.descriptions,
            splits=self._splits(file, rows, {name: i for i, name in enumerate(names)}),
            task=self.task,
        )
        dataset.validate()
        return dataset

    @abstractmethod
    def _rows(self, file: TextFile, columns: list[str]) -> Iterator[tuple[int, list[str]]]:
        """Yield the line number of each row and its values in these columns."""

    def _validated_rows(self, file: TextFile, columns: list[str]) -> Iterator[Row]:
        for line, (text, label, *split) in self._rows(file, columns):
            if not text.strip():
                raise file.error(line, f"empty text ({self.text}).")
            if not label.strip():
                raise file.error(line, f"empty label ({self.label}).")
            if self.labels and label.strip() not in self.labels:
                raise file.error(
                    line, f"the label ({self.label}) is not one of {', '.join(self.labels)}."
                )
            if split and split[0].strip().lower() not in _SPLIT_NAMES:
                raise file.error(
                    line, f"the split ({self.split}) is not train, validation or test."
                )
            split_name = _SPLIT_NAMES[split[0].strip().lower()] if split else None
            yield line, text.strip(), label.strip(), split_name

    def _splits(self, file: TextFile, rows: list[Row], index_of: dict[str, int]) -> Any:
        if self.split is None:
            return split_texts(
                [text for _, text, _, _ in rows],
                [index_of[label] for _, _, label, _ in rows],
                test_share=0.2,
                seed=self.split_seed,
            )
        parts: dict[str, tuple[list[str], list[int]]] = {}
        for _, text, label, split in rows:
            texts, labels = parts.setdefault(split or "", ([], []))
            texts.append(text)
            labels.append(index_of[label])
        for required in ("train", "test"):
            if required not in parts:
                raise DataError(f"{file.where}: no row has the split {required!r} in {self.split}.")
        return split_official(parts, seed=self.split_seed)


class CsvFile(_UserFile):
    """A CSV file with a header."""

    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","

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
        if isinstance(value, int) and not isinstance(value, bool) and column == self.label:
            return str(value)
        if not isinstance(value, str):
            raise file.error(line, f"{column!r} is {_kind(value)}, not a string.")
        return value


def _kind(value: Any) -> str:
    kinds = {type(None): "null", bool: "a boolean", dict: "an object", list: "an array"}
    return kinds.get(type(value), "a number")


def _sort_key(label: str) -> tuple[int, int, str]:
    """Sort integers by value and before other labels."""
    digits = label.removeprefix("-")
    number = digits.isascii() and digits.isdigit()
    return (0, int(label), "") if number and len(digits) <= _MAX_DIGITS else (1, 0, label)
