"""What identifies an entry: one path through the loop over its seeds, axis by axis.

An axis of the matrix is one field of `Coordinates` with an `Axis` in its annotation. Ids, groups,
sort order, filters, the columns of tables and the suites that regenerate a board follow from these
declarations. Cells (`fgbench.plan.cells.Cell`) and suites have a field for each axis, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from fgbench.digests import canonical_json, digest
from fgbench.records import Count, JsonObject, Name, Record

ID_DIGITS = 16
MAX_BINS, MAX_SEEDS, MAX_CLASSES, MAX_REPLICATES = 1000, 1000, 10_000, 10_000
"""What a suite or a board may ask for."""


class PartRecord(Record):
    """A part as it was used: its name, its resolved parameters, its version."""

    name: Name
    params: JsonObject = Field(default_factory=dict)
    version: Name = "1"
    code: Name | None = None
    """SHA-256 of a local plugin's file."""
    content: Name | None = None
    """Digest of the files that the part's results depend on, for example a local model's."""

    @classmethod
    def of(cls, identity: Mapping[str, Any], **facts: Any) -> Self:
        """Convert a part's identity, as stage keys hold it (`parameters` for `params`)."""
        values = dict(identity)
        if "parameters" in values:
            values["params"] = values.pop("parameters")
        return cls.model_validate(values | facts)

    @property
    def title(self) -> str:
        """What tables call the part."""
        return self.name

    @property
    def label(self) -> str:
        """The part as it is written on a command line, with its parameters."""
        params = ",".join(f"{key}={value}" for key, value in sorted(self.params.items()))
        return f"{self.name}:{params}" if params else self.name


class DatasetRecord(PartRecord):
    """A data set: the digest of its content, and the sizes of its splits.

    Only published figures may leave them out.
    """

    digest: Name | None = None
    n_train: Count | None = None
    n_validation: Count | None = None
    n_test: Count | None = None
    label_names: list[Name] = Field(default_factory=list, max_length=MAX_CLASSES)

    @property
    def title(self) -> str:
        """What tables call the data set: the file or folder that it was read from, or its name.

        A loader of anybody's data has the parameter `path`: a file, whose ending is left out, or
        an id such as `me/reviews`. It follows from the parameters, which the entry's id covers.
        """
        path = self.params.get("path")
        if not isinstance(path, str):
            return self.name
        title = PurePosixPath(path).name if "/" in path else PurePosixPath(path).stem
        return title or self.name


class PublishedRecord(Record):
    """The source of published figures that have no predictions: nothing can be recomputed.

    `source` is the publication, `place` the table, row and column or the page, `notes` what the
    reader must know (a unit that was converted, what the publication leaves open).
    """

    source: str = Field(min_length=1)
    place: str = ""
    url: str | None = None
    notes: str = ""


@dataclass(frozen=True)
class Axis:
    """How one axis of the matrix behaves."""

    suite: str
    """Its key in a suite."""
    role: Literal["setting", "generation", "treatment", "seeds"] = "setting"
    """`setting`: entries are only compared where it is equal. `generation`: how synthetic inputs
    are made; null for arms without any. `treatment`: what is compared within a setting. `seeds`:
    the replicates of an entry."""
    is_part: bool = False
    """Whether its values are parts; its name is the kind of part then."""
    spans: bool = True
    """Whether a suite lists several values."""
    sort_by: Literal["label", "name"] = "label"
    absent: str | int = ""
    """Its sort key where it is null."""
    neutral: Any = None
    """Of an axis that is younger than the first boards: the value of all that came before. It is
    left out of ids, keys and labels."""


def _unrecorded_dose(values: Mapping[str, Any]) -> float | None:
    """Return the dose of an entry from before that axis; `values` has its validated fields."""
    return None if values.get("generator") is None else AXES["dose"].neutral


class Coordinates(Record):
    """What an entry is: one cell over all its seeds. Its id is the digest of this.

    An arm without a generator (baseline, real) has no generator, bins, dose, threshold, selector,
    alpha. `dose` is the number of synthetic inputs for each targeted point. Published figures have
    no seeds, and null for whatever the publication does not say.
    """

    dataset: Annotated[DatasetRecord, Axis("datasets", is_part=True, sort_by="name")]
    classifier: Annotated[PartRecord, Axis("classifiers", is_part=True)]
    loss: Annotated[PartRecord, Axis("losses", is_part=True)]
    generator: Annotated[PartRecord | None, Axis("generators", "generation", is_part=True)] = None
    arm: Annotated[Name, Axis("arms", "treatment")]
    bins: Annotated[int | None, Field(ge=1, le=MAX_BINS), Axis("bins", "generation", absent=0)] = (
        None
    )
    dose: Annotated[
        float | None, Field(gt=0), Axis("doses", "generation", absent=0, neutral=1.0)
    ] = Field(default_factory=_unrecorded_dose)
    calibrator: Annotated[PartRecord, Axis("calibrators", "treatment", is_part=True)]
    protocol: Annotated[Literal["strict", "paper"], Axis("protocol", spans=False)] = "strict"
    seeds: Annotated[list[int], Field(max_length=MAX_SEEDS), Axis("seeds", "seeds")]
    threshold: float | None = None
    selector: Literal["threshold", "significant"] | None = None
    alpha: float | None = None
    settings: JsonObject = Field(default_factory=dict)
    """Anything else that a result depends on (retries, steps, filters), as JSON values."""
    published: PublishedRecord | None = None
    """Set where an entry is figures of a publication; null for what was run."""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds {self.seeds} has a duplicate")
        if self.published is None:
            if not self.seeds:
                raise ValueError("seeds are missing: only published figures may lack them")
            for name in ("digest", "n_train", "n_validation", "n_test"):
                if getattr(self.dataset, name) is None:
                    raise ValueError(
                        f"dataset.{name} is missing: only published figures may lack it"
                    )
        return self

    def identity(self) -> dict[str, Any]:
        """Return the coordinates as JSON values; of an `Entry`, nothing else that it holds."""
        value = self.model_dump(mode="json", include=_FIELDS)
        value["seeds"] = sorted(self.seeds)
        if value["published"] is None:  # it is younger than the first ids
            del value["published"]
        return without_neutral(value)

    def without(self, *names: str) -> str:
        """Return a key that is equal for coordinates which differ in these fields at most."""
        value = self.identity()
        return canonical_json({name: value[name] for name in value if name not in names})

    def setting(self) -> str:
        """Return a key of the setting, versions included: equal for an entry and its controls."""
        return canonical_json(self.model_dump(mode="json", include=_SETTING), is_json=True)

    def table(self) -> tuple[object, ...]:
        """Return what the entries of one table have in common: labels, test points, seeds."""
        labels = self.labels()
        return (
            *(labels[name] for name in SETTING),
            self.dataset.digest,
            tuple(sorted(self.seeds)),
            self.published and self.published.source,
        )

    def parts(self) -> dict[str, PartRecord]:
        """Return the parts that are set, by axis."""
        parts = {name: getattr(self, name) for name in PARTS}
        return {name: part for name, part in parts.items() if part is not None}

    def names(self) -> dict[str, Any]:
        """Return each axis but the seeds; of a part, its name."""
        return {
            name: value.name if isinstance(value := getattr(self, name), PartRecord) else value
            for name in NAMED
        }

    def titles(self) -> dict[str, Any]:
        """Return each axis but the seeds, as tables show it: of a part, its title."""
        return self.names() | {name: part.title for name, part in self.parts().items()}

    def labels(self) -> dict[str, str]:
        """Return each axis but the seeds as text: of a part, its label; empty where it is null."""
        texts = {}
        for name in NAMED:
            value = getattr(self, name)
            text = value.label if isinstance(value, PartRecord) else value
            texts[name] = "" if text is None else value_text(text)
        return texts

    @property
    def label(self) -> str:
        """The coordinates for people, in one line."""
        return axes_label(self.titles(), *(() if self.published is None else ("as published",)))

    def order(self, *names: str) -> tuple[Any, ...]:
        """Return a sort key over these axes; by default over all, as boards are ordered."""
        return tuple(self._sort_key(name) for name in names or _ORDER)

    def _sort_key(self, name: str) -> str | float:
        value, axis = getattr(self, name), AXES[name]
        if value is None:
            return axis.absent
        key: str | float = getattr(value, axis.sort_by) if axis.is_part else value
        return key


def entry_id(coordinates: Coordinates) -> str:
    """Return the id of the entry with these coordinates."""
    return digest(coordinates.identity(), is_json=True)[:ID_DIGITS]


def without_neutral(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of axes without those that are neutral (`Axis.neutral`), or missing.

    What is left is what identified an entry before these axes existed.
    """
    neutral = {name: axis.neutral for name, axis in AXES.items() if axis.neutral is not None}
    return {
        name: value
        for name, value in values.items()
        if name not in neutral or value not in (None, neutral[name])
    }


def value_text(value: Any) -> str:
    """Return the value of an axis as text; a whole number has no decimals."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def dose_text(dose: float | None) -> str:
    """Return a dose for a label, after a comma; empty for one input per point."""
    return "" if dose in (None, AXES["dose"].neutral) else f", dose {value_text(dose)}"


def axes_label(names: Mapping[str, Any], *notes: str) -> str:
    """Return a line for people from the name of each axis, and notes."""
    parts = [names["dataset"], names["classifier"], names["arm"]]
    if names["generator"] is not None:
        bins = "?" if names["bins"] is None else names["bins"]
        parts.append(f"{names['generator']}/{bins} bins{dose_text(names['dose'])}")
    return " · ".join([*parts, names["calibrator"], *notes])


def _of_role(*roles: str) -> tuple[str, ...]:
    return tuple(name for role in roles for name, axis in AXES.items() if axis.role == role)


AXES: Mapping[str, Axis] = {
    name: item
    for name, field in Coordinates.model_fields.items()
    for item in field.metadata
    if isinstance(item, Axis)
}
"""Every axis of the matrix by its name, in the order of a table's columns."""

PARTS = tuple(name for name, axis in AXES.items() if axis.is_part)
SETTING, GENERATION, TREATMENT = _of_role("setting"), _of_role("generation"), _of_role("treatment")
NAMED = tuple(name for name in AXES if name not in _of_role("seeds"))
_ORDER = _of_role("setting", "generation", "treatment")
_FIELDS, _SETTING = set(Coordinates.model_fields), set(SETTING)
