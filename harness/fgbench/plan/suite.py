"""Suites: the matrix of a run, from a TOML file, command-line options or Python arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from fgbench.coordinates import MAX_BINS, MAX_REPLICATES, MAX_SEEDS
from fgbench.errors import ConfigurationError, validation_sentence
from fgbench.foreign import SUITE, read_toml
from fgbench.loop.arms import DEFAULT_ARMS, Arm
from fgbench.plugins.references import PartReference
from fgbench.primary import Primary

Protocol = Literal["strict", "paper"]
Selector = Literal["threshold", "significant"]


def _as_list(value: Any) -> Any:
    if isinstance(value, str | Mapping | PartReference) or not isinstance(value, list | tuple):
        return [value]
    return list(value)


def _as_references(value: Any) -> list[dict[str, Any]]:
    return [PartReference.parse(item).to_table() for item in _as_list(value)]


def _also(singular: str, default: list[Any]) -> Any:
    """Return a field that can be given by its own name, the plural, or by the singular."""
    plural = "losses" if singular == "loss" else f"{singular}s"
    return Field(default=default, validation_alias=AliasChoices(plural, singular))


MAX_VALUES, MAX_COMBINATIONS = 1000, 100_000
"""Of one axis, and of all axes with each other."""
_Parts = Annotated[
    list[dict[str, Any]], Field(max_length=MAX_VALUES), BeforeValidator(_as_references)
]
_NEVER_EMPTY = ("datasets", "losses", "calibrators", "arms", "bins", "doses", "seeds")
_Unit = Annotated[float, Field(ge=0.0, le=1.0)]


class Suite(BaseModel):
    """Everything that determines the results of a run.

    The lists span the matrix. A suite without data sets, losses or calibrators has those of the
    hook `fgbench_defaults`; one without classifiers or generators has each data set's own.
    `threshold` and `alpha` select bins (METHODS §1). `retries` is the number of times that a source
    without an accepted text is asked for again, and after that the bin's other sources. `limit`
    cuts each split to its first rows, for a quick look. `doses` are numbers of synthetic inputs for
    each targeted point. `reserve` is the share of the training rows that is set aside for the arm
    `fresh-real`; all arms train without them. `primary` declares
    what the verdict rests on; null for the default, whose alternative is the usual calibrator.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)] = "run"
    datasets: _Parts = _also("dataset", [])
    classifiers: _Parts = _also("classifier", [])
    losses: _Parts = _also("loss", [])
    generators: _Parts = _also("generator", [])
    calibrators: _Parts = _also("calibrator", [])
    metrics: _Parts = _also("metric", [])
    arms: Annotated[list[Arm], Field(max_length=MAX_VALUES), BeforeValidator(_as_list)] = _also(
        "arm", list(DEFAULT_ARMS)
    )
    bins: Annotated[
        list[Annotated[int, Field(ge=2, le=MAX_BINS)]],
        Field(max_length=MAX_VALUES),
        BeforeValidator(_as_list),
    ] = [15]
    doses: Annotated[
        list[Annotated[float, Field(gt=0, le=100)]],
        Field(max_length=MAX_VALUES),
        BeforeValidator(_as_list),
    ] = _also("dose", [1.0])
    seeds: Annotated[
        list[Annotated[int, Field(ge=0)]], Field(max_length=MAX_SEEDS), BeforeValidator(_as_list)
    ] = _also("seed", [0, 1, 2])
    protocol: Protocol = "strict"
    selector: Selector = "threshold"
    threshold: _Unit = 0.03
    alpha: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.05
    limit: Annotated[int, Field(ge=1)] | None = None
    reserve: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    examples_per_class: Annotated[int, Field(ge=0, le=100)] = 3
    retries: Annotated[int, Field(ge=0, le=100)] = 3
    drop_near_duplicates: Literal["none", "test", "all"] = "test"
    replicates: Annotated[int, Field(ge=1, le=MAX_REPLICATES)] = 1000
    incompatible: Literal["refuse", "skip"] = "refuse"
    primary: Primary | None = None

    @model_validator(mode="after")
    def _no_empty_axis(self) -> Self:
        for axis in _NEVER_EMPTY:
            values = getattr(self, axis)
            if not values and axis in self.model_fields_set:
                raise ValueError(f"{axis} is empty: name at least one, or omit the key")
            if any(value in values[:position] for position, value in enumerate(values)):
                raise ValueError(f"{axis} lists a value twice")
        lists = [value for value in vars(self).values() if isinstance(value, list)]
        combinations = prod(max(1, len(values)) for values in lists if values is not self.metrics)
        if combinations > MAX_COMBINATIONS:
            raise ValueError(
                f"the matrix has {combinations:,} combinations, at most {MAX_COMBINATIONS:,} are "
                "run at once: split it into several suites"
            )
        return self

    @classmethod
    def build(cls, values: Mapping[str, Any], *, where: str = "suite") -> Suite:
        """Check `values`; a singular key ("dataset") is short for its plural.

        Arrays, ranges and other iterables stand for lists.

        Raises `ConfigurationError` with `where`, the key, and the nearest valid one.
        """
        try:
            return cls.model_validate({key: _plain(value) for key, value in values.items()})
        except ConfigurationError as error:
            raise ConfigurationError(f"{where}: {error}") from None
        except ValidationError as error:
            for name, choices in _aliases().items():
                if len(given := [choice for choice in choices if choice in values]) > 1:
                    raise ConfigurationError(
                        f"{where}: both {' and '.join(map(repr, given))} are given: use {name!r}."
                    ) from None
            sentence = validation_sentence(error, cls.model_fields)
            raise ConfigurationError(f"{where}: {sentence}") from None

    @classmethod
    def keys(cls, values: Mapping[str, Any], *, where: str) -> dict[str, Any]:
        """Return checked values under the suite's own keys, for other values to override."""
        return cls.build(values, where=where).model_dump(exclude_unset=True)

    @classmethod
    def read(cls, path: Path) -> dict[str, Any]:
        """Return the checked keys of a suite file, for options to override."""
        values = read_toml(path, SUITE)
        return cls.keys({"name": _name_of(path)} | values, where=f"suite {path}")

    def to_toml(self) -> str:
        """Return the suite as TOML, as a resolved run records it."""
        import tomli_w

        values = {
            key: value
            for key, value in self.model_dump().items()
            if value is not None and not (value == [] and key in _NEVER_EMPTY)
        }
        for key, value in values.items():
            if isinstance(value, dict):
                values[key] = {name: item for name, item in value.items() if item is not None}
            if isinstance(value, list) and all(isinstance(item, dict) for item in value):
                values[key] = [
                    {name: item[name] for name in item if item[name] is not None} for item in value
                ]
        return tomli_w.dumps(values)


_SINGLE = (str, bytes, Mapping, PartReference, BaseModel)


def _plain(value: Any) -> Any:
    """Return a list for an array or another iterable, and what an array scalar holds."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Iterable) and not isinstance(value, _SINGLE):
        return [_plain(item) for item in value]
    return value


def _aliases() -> dict[str, list[str]]:
    """Return the keys that each field of a suite can be given by."""
    fields = Suite.model_fields.items()
    aliases = {name: field.validation_alias for name, field in fields}
    return {
        name: [str(choice) for choice in alias.choices]
        for name, alias in aliases.items()
        if isinstance(alias, AliasChoices)
    }


def _name_of(path: Path) -> str:
    """Return the name of a run from the file's stem (for a `suite.toml`, its folder's)."""
    stem = path.resolve().parent.name if path.stem == "suite" else path.stem
    name = "".join(
        char if char.isascii() and (char.isalnum() or char in "._-") else "-" for char in stem
    )
    return name.lstrip("._-")[:80] or "run"
