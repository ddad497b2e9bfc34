"""Suites: a matrix of cells as a TOML file, command-line options or Python arguments say it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from fgbench.errors import ConfigurationError, did_you_mean
from fgbench.loop.arms import ARMS, Arm
from fgbench.plugins.references import PartReference

Protocol = Literal["strict", "paper"]
Selector = Literal["threshold", "significant"]


def _as_list(value: Any) -> Any:
    if isinstance(value, str | Mapping | PartReference) or not isinstance(value, list | tuple):
        return [value]
    return list(value)


def _as_references(value: Any) -> list[dict[str, Any]]:
    return [PartReference.parse(item).to_table() for item in _as_list(value)]


_Parts = Annotated[list[dict[str, Any]], BeforeValidator(_as_references)]
_Unit = Annotated[float, Field(ge=0.0, le=1.0)]


class Suite(BaseModel):
    """Everything that decides a run's results.

    The lists span the matrix; an empty list of classifiers or generators stands for the default of
    each data set. `threshold` and `alpha` select bins (METHODS §1); `retries` is how often a source
    without an accepted text is asked for again, and a bin's other sources after that; `limit` cuts
    each split to its first rows, for a quick look.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)] = "run"
    datasets: _Parts = [{"name": "known-posterior"}]
    classifiers: _Parts = []
    losses: _Parts = [{"name": "cross-entropy"}]
    generators: _Parts = []
    calibrators: _Parts = [{"name": "none"}, {"name": "temperature"}]
    metrics: _Parts = []
    arms: Annotated[list[Arm], BeforeValidator(_as_list)] = list(ARMS)
    bins: Annotated[list[Annotated[int, Field(ge=2, le=1000)]], BeforeValidator(_as_list)] = [15]
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], BeforeValidator(_as_list)] = [0, 1, 2]
    protocol: Protocol = "strict"
    selector: Selector = "threshold"
    threshold: _Unit = 0.03
    alpha: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.05
    limit: Annotated[int, Field(ge=1)] | None = None
    examples_per_class: Annotated[int, Field(ge=0, le=100)] = 3
    retries: Annotated[int, Field(ge=0, le=100)] = 3
    drop_near_duplicates: Literal["none", "test", "all"] = "test"
    replicates: Annotated[int, Field(ge=1, le=100_000)] = 1000
    incompatible: Literal["refuse", "skip"] = "refuse"

    @model_validator(mode="after")
    def _no_empty_axis(self) -> Self:
        for axis in ("datasets", "losses", "calibrators", "arms", "bins", "seeds"):
            values = getattr(self, axis)
            if not values:
                raise ValueError(f"{axis} is empty: name at least one, or leave it out")
            if any(value in values[:position] for position, value in enumerate(values)):
                raise ValueError(f"{axis} names one value twice")
        return self

    @classmethod
    def build(cls, values: Mapping[str, Any], *, where: str = "suite") -> Suite:
        """Check `values`; a singular key ("dataset") stands for its plural.

        Raises `ConfigurationError` with `where`, the key, and the nearest valid one.
        """
        checked = cls.normalised(values, where=where)
        if checked.get("protocol") == "paper":
            # Retrained on the whole validation split, no arm leaves a row to fit a calibrator on.
            checked.setdefault("calibrators", ["none"])
        try:
            return cls.model_validate(checked)
        except ConfigurationError as error:
            raise ConfigurationError(f"{where}: {error}") from None
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(item) for item in first["loc"])
            message = first["msg"].removeprefix("Value error, ")
            given = f" = {first['input']!r}" if place and first["type"] != "value_error" else ""
            raise ConfigurationError(
                f"{where}: {place}{given}: {message}." if place else f"{where}: {message}."
            ) from None

    @classmethod
    def normalised(cls, values: Mapping[str, Any], *, where: str) -> dict[str, Any]:
        """Return the values under the suite's own keys; an unknown key is an error."""
        return _with_plural_keys(values, list(cls.model_fields), where)

    @classmethod
    def read(cls, path: Path) -> dict[str, Any]:
        """Return the checked keys of a suite file, unresolved, for options to override."""
        try:
            with path.open("rb") as stream:
                values = tomllib.load(stream)
        except FileNotFoundError:
            raise ConfigurationError(f"suite {path}: there is no such file.") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"suite {path}: not valid TOML: {error}.") from None
        except OSError as error:
            raise ConfigurationError(f"suite {path}: {error.strerror}.") from None
        values.setdefault("name", _name_of(path))
        where = f"suite {path}"
        cls.build(values, where=where)
        return cls.normalised(values, where=where)

    def to_toml(self) -> str:
        """Return the suite as TOML, every key present: what a resolved run records."""
        import tomli_w

        values = {key: value for key, value in self.model_dump().items() if value is not None}
        for key, value in values.items():
            if isinstance(value, list) and all(isinstance(item, dict) for item in value):
                values[key] = [
                    {name: item[name] for name in item if item[name] is not None} for item in value
                ]
        return tomli_w.dumps(values)


def _with_plural_keys(values: Mapping[str, Any], known: list[str], where: str) -> dict[str, Any]:
    """Return the values under the suite's own keys; an unknown key is an error."""
    plurals = {_singular(name): name for name in known}
    checked: dict[str, Any] = {}
    for key, value in values.items():
        name = plurals.get(key, key)
        if name not in known:
            raise ConfigurationError(f"{where}: unknown key {key!r}. {did_you_mean(key, known)}")
        if name in checked:
            raise ConfigurationError(f"{where}: {name!r} is given twice, as {key!r} too.")
        checked[name] = value
    return checked


def _singular(plural: str) -> str:
    if plural in ("bins", "retries", "replicates", "drop_near_duplicates", "examples_per_class"):
        return plural
    if plural == "losses":
        return "loss"
    return plural.removesuffix("s")


def _name_of(path: Path) -> str:
    """Return a run name made of a file's stem (or its folder's, for a `suite.toml`)."""
    stem = path.resolve().parent.name if path.stem == "suite" else path.stem
    kept = "".join(
        char if char.isascii() and (char.isalnum() or char in "._-") else "-" for char in stem
    )
    return kept.lstrip("._-")[:80] or "run"
