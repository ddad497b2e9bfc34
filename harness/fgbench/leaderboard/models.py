"""The format of `leaderboard.json`: entries with their coordinates and results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from fgbench.coordinates import Coordinates
from fgbench.inference import Comparison, MetricSummary
from fgbench.leaderboard.migrations import SCHEMA, unrecorded_neutral
from fgbench.leaderboard.serialize import sorted_json
from fgbench.records import Record
from fgbench.usage import Usage


class SyntheticRecord(Record):
    """The requests and results of generation, summed over seeds."""

    requested: int = 0
    accepted: int = 0
    shortage: int = 0
    rejected_by: dict[str, int] = Field(default_factory=dict)
    near_duplicates_of_test: int = 0
    near_duplicates_of_training: int = 0
    notes: dict[str, int] = Field(default_factory=dict)
    """Deviations from the request ("no structured output"), and in how many replies."""


class Provenance(Record):
    """The software, machine and time that an entry was computed with. It is empty for published
    figures.
    """

    fgbench: str = ""
    python: str = ""
    packages: dict[str, str] = Field(default_factory=dict)
    platform: str = ""
    git_commit: str | None = None
    git_dirty: bool | None = None
    model_revision: str | None = None
    notes: list[str] = Field(default_factory=list)
    """Notes of the classifier for readers, for example on rows without an answer."""
    started: str | None = None
    wall_seconds: float | None = None


class PredictionsFile(Record):
    """The file with the test predictions of one seed, relative to the board's folder."""

    seed: int
    path: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Artifacts(Record):
    """The files from which an entry's numbers can be recomputed."""

    predictions: list[PredictionsFile] = Field(default_factory=list)


class StatisticsRecord(Record):
    """How the uncertainty was computed."""

    replicates: int = Field(default=1000, ge=0, le=100_000)
    confidence: float = 0.95
    seed: int = 0
    version: str = "1"
    """Of the methods in `fgbench.inference`: STATISTICS_VERSION for what this fgbench computes. The
    default is that of boards from before this field: percentiles of a nested bootstrap."""


class Entry(Coordinates):
    """One line of a board."""

    id: str
    metrics: dict[str, MetricSummary]
    undefined: dict[str, str] = Field(default_factory=dict)
    """Metrics without a value, and why."""
    metric_versions: dict[str, str] = Field(default_factory=dict)
    higher_is_better: list[str] = Field(default_factory=list)
    """The metrics for which larger is better; all others are errors or losses."""
    statistics: StatisticsRecord = Field(default_factory=StatisticsRecord)
    neutral: list[str] = Field(default_factory=unrecorded_neutral)
    """The axes on which the entry has a neutral part: a calibrator that leaves predictions as they
    are, the loss that a classifier minimizes by itself."""
    baseline: str | None = None
    """Id of the baseline in `versus_baseline`."""
    versus_baseline: dict[str, Comparison] = Field(default_factory=dict)
    real: str | None = None
    """Id of the matched control in `versus_real`."""
    versus_real: dict[str, Comparison] = Field(default_factory=dict)
    ranks: dict[str, tuple[int, int]] = Field(default_factory=dict)
    """By metric, the 95 % interval of the rank, best and worst, from paired comparisons of the
    `ranked_among` entries of the same data set, classifier, loss, protocol and seeds."""
    ranked_among: int = 0
    synthetic: SyntheticRecord | None = None
    usage: Usage = Field(default_factory=Usage)
    provenance: Provenance
    artifacts: Artifacts = Field(default_factory=Artifacts)
    checksums: dict[str, str] = Field(default_factory=dict)
    """By field, a checksum of what cannot be recomputed: see `fgbench.leaderboard.checksums`."""

    @model_validator(mode="after")
    def _has_value_per_seed(self) -> Entry:
        expected = len(self.seeds)
        for name, record in self.metrics.items():
            if len(record.per_seed) != expected and (self.published is None or record.per_seed):
                raise ValueError(
                    f"metrics.{name}.per_seed has {len(record.per_seed)} values, not {expected}"
                )
        return self

    def to_value(self) -> dict[str, Any]:
        """Return the entry as a file holds it: JSON values, except for the records of figures.

        These are left as models: a large board has a million, and their fields are in file order.
        """
        figures = ("metrics", "versus_baseline", "versus_real", "ranks")
        value = self.model_dump(exclude=set(figures))
        return {**value, **{name: getattr(self, name) for name in figures}}


class Leaderboard(Record):
    """A board: its name, its date, and its entries, sorted."""

    schema_: Literal["fgbench.leaderboard/1"] = Field(default=SCHEMA, alias="schema")
    name: str
    created: str
    entries: list[Entry]
    checksum: str | None = None
    """A checksum of name, date and entry ids: see `fgbench.leaderboard.checksums`. Null on boards
    of older versions, and on a selection of a board's entries."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    def to_json(self) -> str:
        """Return the file's text: sorted keys, floats at full precision, a newline at the end."""
        return self.to_bytes().decode("utf-8")

    def to_bytes(self) -> bytes:
        """Return the file's bytes."""
        value = self.model_dump(by_alias=True, exclude={"entries"})
        return sorted_json({**value, "entries": [entry.to_value() for entry in self.entries]})

    def to_frame(self) -> Any:
        """Return one row per entry and metric, as a pandas frame; needs pandas."""
        import pandas as pd  # type: ignore[import-untyped, unused-ignore]

        return pd.DataFrame(list(_flat_rows(self)))

    def entry(self, entry_id: str) -> Entry | None:
        """Return the entry with that id, or None."""
        return next((entry for entry in self.entries if entry.id == entry_id), None)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the format."""
    schema = Leaderboard.model_json_schema(by_alias=True, mode="validation")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["required"] = sorted({*schema.get("required", []), "schema"})
    return schema


def _flat_rows(board: Leaderboard) -> Iterator[dict[str, Any]]:
    for entry in board.entries:
        for name, metric in entry.metrics.items():
            against = entry.versus_baseline.get(name)
            low, high = metric.ci95 or (None, None)
            yield {
                "id": entry.id,
                **entry.names(),
                "metric": name,
                "mean": metric.mean,
                "std": metric.std,
                "ci95_low": low,
                "ci95_high": high,
                "delta": against.delta if against else None,
                "p_adjusted": against.p_adjusted if against else None,
            }
