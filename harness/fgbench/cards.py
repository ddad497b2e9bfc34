"""Data set cards, and the folders in which their files are looked for.

A card is a TOML file: where the official files come from, what they hold, and what the loader
makes of them. `Card.read` reads one, a third party's as well as those of the registry.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from fgbench.digests import digest_file
from fgbench.errors import DataError, did_you_mean, validation_sentence

DATA_VARIABLE = "FGBENCH_DATA"
CACHE_VARIABLE = "FGBENCH_CACHE"

_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""A name that is also a safe file or folder name: no separator, no leading dot."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Model):
    """One official file.

    `confirmed = false` marks a digest that others have published and nobody has checked at the
    source: a difference is then a warning. `archive_member` is the file inside of a zip archive.
    """

    url: Annotated[str, Field(pattern=r"^https?://")]
    filename: _Name
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    bytes: Annotated[int, Field(ge=0)] | None = None
    confirmed: bool = True
    archive_member: str | None = None

    @property
    def pinned(self) -> str | None:
        """The digest that a download must have, if one is known for certain."""
        return self.sha256 if self.confirmed else None


class Citation(_Model):
    """How to cite the data set."""

    text: str
    url: str | None = None
    bibtex: str | None = None


class Label(_Model):
    """A class: its name, what belongs to it, and how the file writes it (default: the name)."""

    name: str
    description: str
    value: str | None = None


class PaperSizes(_Model):
    """The sizes that FITG's Table 2 prints, and how the files differ from them."""

    train: int
    test: int
    differences: str


class Card(_Model):
    """What is known of a data set; the order of `labels` is that of the class indices."""

    name: _Name
    title: str
    licence: str
    citation: Citation
    task: str
    splits: str
    labels: Annotated[tuple[Label, ...], Field(min_length=2)]
    folder: _Name | None = None
    sources: dict[str, Source] = Field(default_factory=dict)
    columns: dict[str, str] = Field(default_factory=dict)
    encoding: str = "utf-8"
    errors: Literal["strict", "replace"] = "strict"
    """What happens to bytes that are not valid in `encoding`: refused, or replaced by U+FFFD."""
    text: str = ""
    """What the loader makes of a row: decoding, white space, empty lines, duplicates."""
    paper: PaperSizes | None = None
    default_classifier: str | None = None
    notes: tuple[str, ...] = ()

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        import codecs

        try:
            codecs.lookup(value)
        except LookupError:
            raise ValueError(f"{value!r} is not an encoding that Python knows") from None
        return value

    @model_validator(mode="after")
    def _no_repetition(self) -> Card:
        for what, values in {
            "label names": [label.name for label in self.labels],
            "label values": [label.value or label.name for label in self.labels],
            "source filenames": [source.filename for source in self.sources.values()],
        }.items():
            if len(set(values)) < len(values):
                raise ValueError(f"two {what} are the same")
        return self

    @classmethod
    def read(cls, path: Path | str) -> Card:
        """Read a card from a TOML file; `DataError` names the file and the wrong key."""
        path = Path(path)
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(f"card {path}: there is no such file.") from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise DataError(f"card {path}: it cannot be read as TOML ({error}).") from error
        try:
            return cls.model_validate(table)
        except ValidationError as error:
            raise DataError(
                f"card {path}: {validation_sentence(error, cls.model_fields)}"
            ) from None

    @property
    def folder_name(self) -> str:
        """The folder of its files, in the data folder and in the cache; by default its name."""
        return self.folder or self.name

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the K classes, in the order of their indices."""
        return tuple(label.name for label in self.labels)

    def label(self, name: str) -> Label:
        """Return the label called `name`; an unknown name is a `DataError` with the nearest one."""
        for label in self.labels:
            if label.name == name:
                return label
        raise DataError(
            f"dataset {self.name}: there is no label {name!r}. "
            f"{did_you_mean(name, self.label_names)}"
        )

    def source(self, key: str) -> Source:
        """Return a source by its key."""
        if key not in self.sources:
            raise DataError(
                f"card {self.name}: there is no source {key!r}. {did_you_mean(key, self.sources)}"
            )
        return self.sources[key]


def default_cache_dir() -> Path:
    """Return the folder of fetched files: FGBENCH_CACHE, or the user's cache folder."""
    override = os.environ.get(CACHE_VARIABLE)
    if override:
        return Path(override).expanduser() / "data"
    from platformdirs import user_cache_path

    return user_cache_path("fgbench") / "data"


@dataclass
class DataFolder:
    """Where the files of data sets are looked for: the user's own folder, then the cache.

    Files of the user are theirs: one that differs from its card adds to `warnings`. A fetched
    file that does is damaged, and an error.
    """

    data_dir: Path | None
    cache_dir: Path
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def from_environment(cls, data_dir: str | Path | None = None) -> DataFolder:
        """Return the folders of `data_dir`, or of FGBENCH_DATA, and the cache."""
        chosen = data_dir or os.environ.get(DATA_VARIABLE) or None
        return cls(Path(chosen).expanduser() if chosen else None, default_cache_dir())

    def path(self, card: Card, source: str) -> Path:
        """Return the path of a source's file, its digest checked.

        Raises `DataError` if it is nowhere, saying both ways to have it, and if a fetched file is
        not what was fetched.
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
        found = _digest(card, path)
        wanted = expected.pinned or recorded_digest(path)
        if wanted is not None and found != wanted:
            raise DataError(
                f"dataset {card.name}: the fetched file {path} is damaged (SHA-256 "
                f"{_short(found)}, expected {_short(wanted)}). Fetch it again: "
                f"`fgbench data fetch {card.name}`."
            )
        self._compare(card, path, expected, found)
        return path

    def locate(self, card: Card, source: str) -> tuple[Path, bool] | None:
        """Return the path of a source's file and whether it is the user's; None if it is nowhere.

        Nothing is checked but that it is a file.
        """
        filename = card.source(source).filename
        if self.data_dir is not None:
            path = self.data_dir / card.folder_name / filename
            if path.is_file():
                return path, True
        path = self.fetched_path(card, source)
        return (path, False) if path.is_file() else None

    def fetched_path(self, card: Card, source: str) -> Path:
        """Return where `fgbench data fetch` puts a source's file."""
        return self.cache_dir / card.folder_name / card.source(source).filename

    def _missing(self, card: Card, source: str) -> str:
        filename = card.source(source).filename
        wanted = f"{card.folder_name}/{filename}"
        if self.data_dir is None:
            own = f"point --data-dir or {DATA_VARIABLE} to a folder with {wanted}"
        else:
            state = "" if self.data_dir.is_dir() else " (no such folder)"
            own = f"put {wanted} into the data folder {self.data_dir}{state}"
        return (
            f"dataset {card.name}: {filename} is not here. Fetch it with `fgbench data fetch "
            f"{card.name}`, or {own}."
        )

    def _compare(self, card: Card, path: Path, expected: Source, found: str) -> None:
        """Warn of a file that is not the card's, once."""
        if expected.sha256 in (None, found):
            return
        report, verdict = (
            ("the card says", "results are not comparable with those of others")
            if expected.confirmed
            else ("others report", "that digest is unconfirmed")
        )
        message = (
            f"dataset {card.name}: {path} has SHA-256 {_short(found)}, {report} "
            f"{_short(expected.sha256)}; {verdict}."
        )
        if message not in self.warnings:
            self.warnings.append(message)


def record_path(path: Path) -> Path:
    """Return where the record of a fetched file is: its URL, size and digest, as JSON."""
    return path.with_name(path.name + ".fetched.json")


def recorded_digest(path: Path) -> str | None:
    """Return the digest that a fetched file had when it came; None without a readable record."""
    try:
        record: Any = json.loads(record_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
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
