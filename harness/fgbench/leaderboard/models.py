"""The format of `leaderboard.json`: what an entry was asked to be, and what came out."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from fgbench.digests import digest
from fgbench.leaderboard.serialize import sorted_json, without_collections

SCHEMA: Literal["fgbench.leaderboard/1"] = "fgbench.leaderboard/1"
ID_DIGITS = 16

Interval = tuple[float, float]


def _finite(value: Any) -> Any:
    """Refuse NaN and infinity in values of any JSON type, where no field's own type does."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not a number of JSON")
        return value
    for each in value.values() if isinstance(value, dict) else value:
        if isinstance(each, dict | list | float):
            _finite(each)
    return value


_JsonObject = Annotated[dict[str, Any], AfterValidator(_finite)]


class Record(BaseModel):
    """Base of all records: no unknown field, no NaN, no change after the fact."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, ser_json_inf_nan="constants"
    )


class PartRecord(Record):
    """A part as it was used: its name, its resolved parameters, its version."""

    name: str
    params: _JsonObject = Field(default_factory=dict)
    version: str = "1"
    code: str | None = None
    """SHA-256 of a local plugin's file."""
    content: str | None = None
    """Digest of the files that the part's results depend on, a local model's say."""

    @classmethod
    def of(cls, identity: Any) -> PartRecord:
        """Read a part's identity, as it stands in a stage key (`parameters` for `params`)."""
        values = dict(identity)
        if "parameters" in values:
            values["params"] = values.pop("parameters")
        return cls.model_validate(values)

    @property
    def label(self) -> str:
        """The part as it is written on a command line, with the parameters that it was given."""
        params = ",".join(f"{key}={value}" for key, value in sorted(self.params.items()))
        return f"{self.name}:{params}" if params else self.name


class DatasetRecord(PartRecord):
    """A data set: the digest of its content, and the sizes of its splits.

    Only published figures may leave them out.
    """

    digest: str | None = None
    n_train: int | None = Field(default=None, ge=0)
    n_validation: int | None = Field(default=None, ge=0)
    n_test: int | None = Field(default=None, ge=0)
    label_names: list[str] = Field(default_factory=list)


class PublishedRecord(Record):
    """Where figures were printed that no predictions are known of: there is nothing to recompute.

    `source` is the publication, `place` the table, row and column or the page, `notes` what the
    reader must know (a unit that was converted, what the publication leaves open).
    """

    source: str = Field(min_length=1)
    place: str = ""
    url: str | None = None
    notes: str = ""


class EntryCoordinates(Record):
    """What an entry is: one cell over all its seeds. Its id is the digest of this.

    An arm without a generator (baseline, real) has no generator, bins, threshold, selector, alpha.
    Published figures have no seeds, and null for whatever the publication does not say.
    """

    dataset: DatasetRecord
    classifier: PartRecord
    loss: PartRecord
    generator: PartRecord | None = None
    calibrator: PartRecord
    arm: str
    bins: int | None = Field(default=None, ge=1)
    threshold: float | None = None
    selector: Literal["threshold", "significant"] | None = None
    alpha: float | None = None
    protocol: Literal["strict", "paper"] = "strict"
    seeds: list[int]
    settings: _JsonObject = Field(default_factory=dict)
    """Anything else that a result depends on (retries, steps, filters), as JSON values."""
    published: PublishedRecord | None = None
    """Set where an entry is figures of a publication; null for what was run."""

    @model_validator(mode="after")
    def _seeds_are_distinct(self) -> EntryCoordinates:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds {self.seeds} hold one twice")
        if self.published is None:
            if not self.seeds:
                raise ValueError("seeds are missing: only published figures may lack them")
            for name in ("digest", "n_train", "n_validation", "n_test"):
                if getattr(self.dataset, name) is None:
                    raise ValueError(
                        f"dataset.{name} is missing: only published figures may lack it"
                    )
        return self


class MetricRecord(Record):
    """A metric over seeds; `ci95` is null where the bootstrap leaves it undefined.

    `noise_floor` is what a perfectly calibrated classifier with these predictions is expected to
    have, by chance alone; null for metrics without one. The fields stand in alphabetical order, in
    which they are written. A published figure may have nothing but its
    mean: a deviation of 0, no interval, and no values of seeds.
    """

    ci95: Interval | None = None
    mean: float
    noise_floor: float | None = None
    per_seed: list[float] = Field(default_factory=list)
    std: float = Field(default=0.0, ge=0)


class ComparisonRecord(Record):
    """A paired difference; `p_adjusted` is Holm's over the board's comparisons of this metric.

    The fields stand in alphabetical order, in which they are written.
    """

    ci95: Interval | None
    delta: float
    p_adjusted: float | None = Field(default=None, ge=0, le=1)
    p_value: float | None = Field(ge=0, le=1)


class SyntheticRecord(Record):
    """What generation was asked for and gave, summed over seeds."""

    requested: int = 0
    accepted: int = 0
    shortage: int = 0
    rejected_by: dict[str, int] = Field(default_factory=dict)
    near_duplicates_of_test: int = 0
    near_duplicates_of_training: int = 0
    notes: dict[str, int] = Field(default_factory=dict)
    """What was not as asked for ("no structured output"), and in how many replies."""


class UsageRecord(Record):
    """What asking generators and classifiers cost, summed over seeds."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0


class Provenance(Record):
    """With what, where and when an entry was made; no number depends on it knowingly.

    Published figures have nothing here.
    """

    fgbench: str = ""
    python: str = ""
    packages: dict[str, str] = Field(default_factory=dict)
    platform: str = ""
    git_commit: str | None = None
    git_dirty: bool | None = None
    model_revision: str | None = None
    notes: list[str] = Field(default_factory=list)
    """What the classifier says that a reader should know: of rows without an answer, say."""
    started: str | None = None
    wall_seconds: float | None = None


class PredictionsFile(Record):
    """Where the test predictions of one seed are, relative to the board's folder."""

    seed: int
    path: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Artifacts(Record):
    """The files that an entry's numbers can be recomputed from."""

    predictions: list[PredictionsFile] = Field(default_factory=list)


class StatisticsRecord(Record):
    """How the uncertainty was computed."""

    replicates: int = Field(default=1000, ge=0, le=100_000)
    confidence: float = 0.95
    seed: int = 0


class Entry(EntryCoordinates):
    """One line of a board."""

    id: str
    metrics: dict[str, MetricRecord]
    undefined: dict[str, str] = Field(default_factory=dict)
    """Metrics without a value, and why."""
    metric_versions: dict[str, str] = Field(default_factory=dict)
    higher_is_better: list[str] = Field(default_factory=list)
    """The metrics that are better when they are larger; all others are errors or losses."""
    statistics: StatisticsRecord = Field(default_factory=StatisticsRecord)
    baseline: str | None = None
    """Id of the entry that `versus_baseline` compares with."""
    versus_baseline: dict[str, ComparisonRecord] = Field(default_factory=dict)
    real: str | None = None
    """Id of the matched control that `versus_real` compares with."""
    versus_real: dict[str, ComparisonRecord] = Field(default_factory=dict)
    synthetic: SyntheticRecord | None = None
    usage: UsageRecord = Field(default_factory=UsageRecord)
    provenance: Provenance
    artifacts: Artifacts = Field(default_factory=Artifacts)
    checksums: dict[str, str] = Field(default_factory=dict)
    """By field, a digest of what cannot be recomputed: see `fgbench.leaderboard.checksums`."""

    @model_validator(mode="after")
    def _each_seed_has_a_value(self) -> Entry:
        wanted = len(self.seeds)
        for name, record in self.metrics.items():
            if len(record.per_seed) != wanted and (self.published is None or record.per_seed):
                raise ValueError(
                    f"metrics.{name}.per_seed has {len(record.per_seed)} values for {wanted} seeds"
                )
        return self

    @property
    def label(self) -> str:
        """Say which entry this is, for people."""
        parts = [self.dataset.name, self.classifier.name, self.arm]
        if self.generator is not None:
            parts.append(f"{self.generator.name}/{'?' if self.bins is None else self.bins} bins")
        if self.published is not None:
            return " · ".join([*parts, self.calibrator.name, "as published"])
        return " · ".join([*parts, self.calibrator.name])

    def to_value(self) -> dict[str, Any]:
        """Return what stands in a file: JSON values, and the records that are one line's figures.

        These are left as they are: a large board has a million, and they are written in order.
        """
        figures = ("metrics", "versus_baseline", "versus_real")
        value = self.model_dump(exclude=set(figures))
        return {**value, **{name: getattr(self, name) for name in figures}}


class Leaderboard(Record):
    """A board: its name, when it was made, and its entries in a fixed order."""

    schema_: Literal["fgbench.leaderboard/1"] = Field(default=SCHEMA, alias="schema")
    name: str
    created: str
    entries: list[Entry]
    checksum: str | None = None
    """A digest of name, date, and of which entries there are: see `fgbench.leaderboard.checksums`.
    Null on boards of before, and on a selection of a board's entries."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    def to_json(self) -> str:
        """Return the file's text: sorted keys, floats at full precision, a newline at the end."""
        return self.to_bytes().decode("utf-8")

    def to_bytes(self) -> bytes:
        """Return the same as the file's bytes."""
        with without_collections():
            value = self.model_dump(by_alias=True, exclude={"entries"})
            return sorted_json({**value, "entries": [entry.to_value() for entry in self.entries]})

    def to_frame(self) -> Any:
        """Return one row an entry and metric, as a pandas frame; needs pandas."""
        import pandas as pd  # type: ignore[import-untyped, unused-ignore]

        return pd.DataFrame(list(_flat_rows(self)))

    def entry(self, entry_id: str) -> Entry | None:
        """Return the entry with that id, or None."""
        return next((entry for entry in self.entries if entry.id == entry_id), None)


def identity(coordinates: EntryCoordinates) -> dict[str, Any]:
    """Return what makes an entry this entry, as JSON values; an `Entry` has its coordinates'."""
    value = coordinates.model_dump(mode="json", include=set(EntryCoordinates.model_fields))
    value["seeds"] = sorted(coordinates.seeds)
    if value["published"] is None:  # it is younger than the first ids
        del value["published"]
    return value


def entry_id(coordinates: EntryCoordinates) -> str:
    """Return the id of the entry with these coordinates."""
    return digest(identity(coordinates), is_json=True)[:ID_DIGITS]


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the format."""
    schema = Leaderboard.model_json_schema(by_alias=True, mode="validation")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["required"] = sorted({*schema.get("required", []), "schema"})
    return schema


def _flat_rows(board: Leaderboard) -> Any:
    for entry in board.entries:
        for name, metric in entry.metrics.items():
            against = entry.versus_baseline.get(name)
            low, high = metric.ci95 or (None, None)
            yield {
                "id": entry.id,
                "dataset": entry.dataset.name,
                "classifier": entry.classifier.name,
                "loss": entry.loss.name,
                "generator": entry.generator.name if entry.generator else None,
                "arm": entry.arm,
                "bins": entry.bins,
                "calibrator": entry.calibrator.name,
                "protocol": entry.protocol,
                "metric": name,
                "mean": metric.mean,
                "std": metric.std,
                "ci95_low": low,
                "ci95_high": high,
                "delta": against.delta if against else None,
                "p_adjusted": against.p_adjusted if against else None,
            }
