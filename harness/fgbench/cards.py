"""Data set cards, and the folders in which the files of data sets are searched.

A card is a TOML file that describes a data set: the sources of its official files, their content,
and how the loader reads them. `Card.read` reads the cards of the registry and of third parties.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from fgbench.digests import digest_file
from fgbench.errors import DataError, did_you_mean, validation_sentence
from fgbench.foreign import CARD, NOTE, read_json, read_toml

DATA_VARIABLE = "FGBENCH_DATA"
CACHE_VARIABLE = "FGBENCH_CACHE"

_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""A name that is also a safe file or folder name: no separator, no leading dot."""

_Folder = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$")
]
"""A relative path of such names."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Model):
    """One official file.

    `confirmed = false` marks a digest that was published by others but not checked at the source; a
    different digest is then only a warning. `archive_member` is the file inside a zip archive.
    """

    url: Annotated[str, Field(pattern=r"^https?://")]
    filename: _Name
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    bytes: Annotated[int, Field(ge=0)] | None = None
    confirmed: bool = True
    archive_member: str | None = None

    @property
    def pinned(self) -> str | None:
        """The digest that a download must have, if the card has a confirmed one."""
        return self.sha256 if self.confirmed else None


class Hub(_Model):
    """Where the Hugging Face hub has the data set, and the columns of its texts and labels.

    `revision` is a commit, or a branch if no commit is known.
    """

    path: str
    config: str | None = None
    revision: str = "main"
    text: str
    label: str


class Citation(_Model):
    """How to cite the data set."""

    text: str
    url: str | None = None
    bibtex: str | None = None


class Label(_Model):
    """A class: its name, its description, and its value in the file (default: the name)."""

    name: str
    description: str
    value: str | None = None


class PaperSizes(_Model):
    """The sizes in FITG's Table 2, and how the official files differ from them."""

    train: int
    test: int
    differences: str


class Card(_Model):
    """Description of a data set; `labels` is in the order of the class indices."""

    name: _Name
    title: str
    licence: str
    citation: Citation
    task: str
    splits: str
    labels: Annotated[tuple[Label, ...], Field(min_length=2)]
    folder: _Folder | None = None
    sources: dict[str, Source] = Field(default_factory=dict)
    hub: Hub | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    encoding: str = "utf-8"
    errors: Literal["strict", "replace"] = "strict"
    """Handling of bytes that are invalid in `encoding`: an error, or replaced by U+FFFD."""
    text: str = ""
    """How the loader converts rows: decoding, white space, empty lines, duplicates."""
    paper: PaperSizes | None = None
    default_classifier: str | None = None
    notes: tuple[str, ...] = ()

    @field_validator("encoding")
    @classmethod
    def _check_encoding(cls, value: str) -> str:
        try:
            "a".encode(value)  # `codecs.lookup` also finds codecs that are not of texts
        except (LookupError, ValueError):
            raise ValueError(f"{value!r} is not an encoding supported by Python") from None
        return value

    @model_validator(mode="after")
    def _check_duplicates(self) -> Card:
        for field_name, values in {
            "label name": [label.name for label in self.labels],
            "label value": [label.value or label.name for label in self.labels],
            "source filename": [source.filename for source in self.sources.values()],
        }.items():
            if len(set(values)) < len(values):
                raise ValueError(f"duplicate {field_name}")
        return self

    @classmethod
    def read(cls, path: Path | str) -> Card:
        """Read a card from a TOML file.

        Raises `DataError` that names the file and the invalid key.
        """
        path = Path(path)
        table = read_toml(path, CARD)
        try:
            return cls.model_validate(table)
        except ValidationError as error:
            raise DataError(
                f"card {path}: {validation_sentence(error, cls.model_fields)}"
            ) from None

    @property
    def folder_name(self) -> str:
        """The subfolder of its files in the data folder and in the cache (default: the name)."""
        return self.folder or self.name

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the K classes, in the order of the class indices."""
        return tuple(label.name for label in self.labels)

    def label(self, name: str) -> Label:
        """Return a label by name; raises `DataError` that suggests the nearest name."""
        for label in self.labels:
            if label.name == name:
                return label
        raise DataError(
            f"dataset {self.name}: no label {name!r}. {did_you_mean(name, self.label_names)}"
        )

    def source(self, key: str) -> Source:
        """Return a source by key; raises `DataError` that suggests the nearest key."""
        if key not in self.sources:
            raise DataError(
                f"card {self.name}: no source {key!r}. {did_you_mean(key, self.sources)}"
            )
        return self.sources[key]


def default_cache_dir() -> Path:
    """Return the folder of downloaded files: FGBENCH_CACHE, or the user's cache folder."""
    override = os.environ.get(CACHE_VARIABLE)
    if override:
        return Path(override).expanduser() / "data"
    from platformdirs import user_cache_path

    return user_cache_path("fgbench") / "data"


@dataclass
class DataFolder:
    """The folders in which files of data sets are searched: the user's data folder, then the cache.

    A user's file that differs from its card adds to `warnings`. A downloaded file that differs is
    corrupt, which is an error. Loaders add to `notes` what they guessed or left out, and to
    `warnings` what makes results doubtful.
    """

    data_dir: Path | None
    cache_dir: Path
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def from_environment(cls, data_dir: str | Path | None = None) -> DataFolder:
        """Return the folders for `data_dir` (default: FGBENCH_DATA) and the user's cache."""
        chosen = data_dir or os.environ.get(DATA_VARIABLE) or None
        return cls(Path(chosen).expanduser() if chosen else None, default_cache_dir())

    def path(self, card: Card, source: str) -> Path:
        """Return the path of a source's file after checking its digest.

        Raises `DataError` if the file is missing, with the two ways to get it, or if a downloaded
        file is corrupt.
        """
        located = self.locate(card, source)
        if located is None:
            raise DataError(self._missing(card, source))
        path, is_users = located
        expected = card.source(source)
        if is_users:
            if expected.sha256 is not None:
                self._compare(card, path, expected, _digest(card, path))
            return path
        actual = _digest(card, path)
        required = expected.pinned or recorded_digest(path)
        if required is not None and actual != required:
            raise DataError(
                f"dataset {card.name}: downloaded file {path} is corrupt (SHA-256 "
                f"{_short(actual)}, expected {_short(required)}). Download it again with "
                f"`fgbench data fetch {card.name}`."
            )
        self._compare(card, path, expected, actual)
        return path

    def locate(self, card: Card, source: str) -> tuple[Path, bool] | None:
        """Return the path of a source's file and whether it is the user's; None if it is missing.

        The content is not checked.
        """
        filename = card.source(source).filename
        if self.data_dir is not None:
            path = self.data_dir / card.folder_name / filename
            if path.is_file():
                return path, True
        path = self.fetched_path(card, source)
        return (path, False) if path.is_file() else None

    def fetched_path(self, card: Card, source: str) -> Path:
        """Return the path to which `fgbench data fetch` downloads a source's file."""
        return self.cache_dir / card.folder_name / card.source(source).filename

    def _missing(self, card: Card, source: str) -> str:
        filename = card.source(source).filename
        relative_path = f"{card.folder_name}/{filename}"
        if self.data_dir is None:
            alternative = f"point --data-dir or {DATA_VARIABLE} to a folder with {relative_path}"
        else:
            state = "" if self.data_dir.is_dir() else " (no such folder)"
            alternative = f"put {relative_path} into the data folder {self.data_dir}{state}"
        return (
            f"dataset {card.name}: {filename} is missing. Download it with `fgbench data fetch "
            f"{card.name}`, or {alternative}."
        )

    def _compare(self, card: Card, path: Path, expected: Source, actual: str) -> None:
        """Add a warning, once, if the digest of a file differs from that of its card."""
        if expected.sha256 in (None, actual):
            return
        reference, consequence = (
            ("the card has", "results are not comparable with those of others")
            if expected.confirmed
            else ("others report", "their digest is unconfirmed")
        )
        message = (
            f"dataset {card.name}: {path} has SHA-256 {_short(actual)}, but {reference} "
            f"{_short(expected.sha256)}; {consequence}."
        )
        if message not in self.warnings:
            self.warnings.append(message)


def record_path(path: Path) -> Path:
    """Return the path of a downloaded file's record: its URL, size and digest, as JSON."""
    return path.with_name(path.name + ".fetched.json")


def recorded_digest(path: Path) -> str | None:
    """Return the digest recorded when a file was downloaded; None without a readable record."""
    try:
        record = read_json(record_path(path), NOTE)
    except DataError:
        return None
    value = record.get("sha256") if isinstance(record, Mapping) else None
    return value if isinstance(value, str) else None


def _digest(card: Card, path: Path) -> str:
    try:
        return digest_file(path)
    except OSError as error:
        raise DataError(
            f"dataset {card.name}: {path} cannot be read ({error.strerror or error})."
        ) from error


def _short(sha256: str | None) -> str:
    return f"{sha256[:12]}…" if sha256 else "unknown"
