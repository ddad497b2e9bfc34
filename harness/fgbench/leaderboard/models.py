"""The format of `leaderboard.json`: entries with their coordinates and results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from fgbench.coordinates import MAX_REPLICATES, Coordinates
from fgbench.inference import REPLICATES, MetricSummary, Word
from fgbench.leaderboard.migrations import SCHEMA, unrecorded_neutral
from fgbench.leaderboard.serialize import sorted_json
from fgbench.loop.additions import label_difference
from fgbench.primary import Primary
from fgbench.records import Count, Interval, Name, Record
from fgbench.usage import Usage

if TYPE_CHECKING:
    from fgbench.loop.additions import Additions

MAX_ENTRIES, MAX_PATH = 200_000, 1000


class AddedRecord(Record):
    """What the arm added to the training set of `real` in one seed, and how that matches the plan.

    `fgbench.loop.additions.Additions` defines the numbers; `asked` and `used` are by class. The
    last two are the mean over the added inputs of |label rate − rate of the real points| and of
    |label rate − requested probability| of their bins, null if they have no bin. All bins are in
    `diagnostics.json`.
    """

    asked: list[Count]
    used: list[Count]
    targeted_bins: Count = 0
    targeted_points: Count = 0
    source_points: Count = 0
    shared_points: Count = 0
    requests: Count = 0
    wrong_way: Count = 0
    mean_shift: float = 0.0
    labels_from_bins: float | None = None
    labels_from_asked: float | None = None

    @classmethod
    def of(cls, added: Additions) -> Self:
        """Return the record of what an arm added."""
        return cls(
            **{name: value for name, value in vars(added).items() if name != "bins"},
            labels_from_bins=label_difference((b.n, b.label_rate, b.bin_rate) for b in added.bins),
            labels_from_asked=label_difference((b.n, b.label_rate, b.asked) for b in added.bins),
        )

    @classmethod
    def pooled(cls, records: Sequence[AddedRecord]) -> Self:
        """Return one record for several seeds: counts are sums, means are weighted."""
        numbers = [record.model_dump() for record in records]

        def total(name: str) -> int:
            return sum(number[name] for number in numbers)

        def by_class(name: str) -> list[int]:
            return [sum(column) for column in zip(*(item[name] for item in numbers), strict=True)]

        def mean(name: str, weights: Sequence[int]) -> float | None:
            values = [(item[name], n) for item, n in zip(numbers, weights, strict=True)]
            known = [(value, n) for value, n in values if value is not None]
            size = sum(n for _, n in known)
            return sum(value * n for value, n in known) / size if size else None

        used = [record.n_used for record in records]
        counts = ("targeted_bins", "targeted_points", "source_points", "shared_points")
        return cls(
            asked=by_class("asked"),
            used=by_class("used"),
            **{name: total(name) for name in (*counts, "requests", "wrong_way")},
            mean_shift=mean("mean_shift", [record.requests for record in records]) or 0.0,
            labels_from_bins=mean("labels_from_bins", used),
            labels_from_asked=mean("labels_from_asked", used),
        )

    @property
    def n_asked(self) -> int:
        """The number of inputs that were to be added."""
        return sum(self.asked)

    @property
    def n_used(self) -> int:
        """The number of inputs that were added: with `n_asked`, the yield."""
        return sum(self.used)

    @property
    def overlap(self) -> float | None:
        """The Jaccard index of the source points and the targeted points; None without either."""
        union = self.source_points + self.targeted_points - self.shared_points
        return self.shared_points / union if self.source_points and union else None

    @property
    def shared(self) -> float | None:
        """The share of the source points that are targeted; None without source points."""
        return self.shared_points / self.source_points if self.source_points else None


class SyntheticRecord(Record):
    """The requests and results of generation, summed over seeds, and what the arm added."""

    requested: Count = 0
    accepted: Count = 0
    shortage: Count = 0
    rejected_by: dict[str, Count] = Field(default_factory=dict)
    near_duplicates_of_test: Count = 0
    near_duplicates_of_training: Count = 0
    notes: dict[str, Count] = Field(default_factory=dict)
    """Deviations from the request ("no structured output"), and in how many replies."""
    added: list[AddedRecord] = Field(default_factory=list)
    """What the arm added, by seed, in the order of the entry's seeds. Empty on older boards."""


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
    path: str = Field(max_length=MAX_PATH)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Artifacts(Record):
    """The files from which an entry's numbers can be recomputed."""

    predictions: list[PredictionsFile] = Field(default_factory=list)


class StatisticsRecord(Record):
    """How the uncertainty was computed."""

    replicates: int = Field(default=REPLICATES, ge=0, le=MAX_REPLICATES)
    confidence: float = 0.95
    seed: int = 0
    version: str = "1"
    """Of the methods in `fgbench.inference`: STATISTICS_VERSION for what this fgbench computes. The
    default is that of boards from before this field: percentiles of a nested bootstrap."""


class ContrastRecord(Record):
    """The paired difference of an entry from a control in one metric: entry − control.

    `word` and `interval` are those of its family (`fgbench.leaderboard.contrasts`), and the
    interval is the one that decides the word. `p_value` is two-sided, `p_adjusted` Holm's within
    the family. Null where no inference is possible (`Contrasts.reasons`). The fields are in
    alphabetical order, in which boards hold them.
    """

    degrees_of_freedom: float | None = Field(default=None, gt=0)
    difference: float
    interval: Interval | None = None
    p_adjusted: float | None = Field(default=None, ge=0, le=1)
    p_value: float | None = Field(default=None, ge=0, le=1)
    standard_error: float | None = Field(default=None, ge=0)
    word: Word | None = None


class Contrasts(Record):
    """The contrasts of an entry with one control, by metric; none without predictions."""

    entry: Name
    """Id of the control."""
    metrics: dict[Name, ContrastRecord] = Field(default_factory=dict)
    reasons: dict[Name, str] = Field(default_factory=dict)
    """By metric, why there is no inference, or what it is limited to."""


class Entry(Coordinates):
    """One line of a board."""

    id: Name
    metrics: dict[Name, MetricSummary]
    undefined: dict[Name, str] = Field(default_factory=dict)
    """Metrics without a value, and why."""
    metric_versions: dict[Name, Name] = Field(default_factory=dict)
    higher_is_better: list[Name] = Field(default_factory=list)
    """The metrics for which larger is better; all others are errors or losses."""
    statistics: StatisticsRecord = Field(default_factory=StatisticsRecord)
    neutral: list[str] = Field(default_factory=unrecorded_neutral)
    """The axes on which the entry has a neutral part: a calibrator that leaves predictions as they
    are, the loss that a classifier minimizes by itself."""
    margins: dict[Name, float] = Field(default_factory=dict)
    """By metric, the largest difference that does not matter."""
    contrasts: dict[Name, Contrasts] = Field(default_factory=dict)
    """By control (`fgbench.leaderboard.contrasts.CONTROLS`), the differences from it."""
    ranks: dict[Name, tuple[int, int]] = Field(default_factory=dict)
    """By metric, the 95 % interval of the rank, best and worst, from paired comparisons of the
    `ranked_among` entries of the same data set, classifier, loss, protocol and seeds."""
    ranked_among: int = 0
    synthetic: SyntheticRecord | None = None
    usage: Usage = Field(default_factory=Usage)
    provenance: Provenance
    artifacts: Artifacts = Field(default_factory=Artifacts)
    checksums: dict[Name, Name] = Field(default_factory=dict)
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
        value = self.model_dump(exclude={"metrics", "contrasts", "ranks"})
        contrasts = {
            kind: {
                "entry": against.entry,
                "metrics": against.metrics,
                "reasons": against.reasons,
            }
            for kind, against in self.contrasts.items()
        }
        return {**value, "metrics": self.metrics, "contrasts": contrasts, "ranks": self.ranks}

    def contrast(self, control: str, metric: str) -> ContrastRecord | None:
        """Return the contrast with a control in a metric, or None."""
        against = self.contrasts.get(control)
        return None if against is None else against.metrics.get(metric)


class Leaderboard(Record):
    """A board: its name, its date, and its entries, sorted."""

    schema_: Literal["fgbench.leaderboard/2"] = Field(default=SCHEMA, alias="schema")
    name: Name
    created: Name
    entries: list[Entry] = Field(max_length=MAX_ENTRIES)
    primary: Primary = Field(default_factory=Primary)
    """What the verdict rests on; the default where no suite declared it."""
    shown: list[Name] = Field(default_factory=list)
    """The metrics that tables show beside the primary one: those that declare it."""
    checksum: Name | None = None
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
            against = entry.contrast("baseline", name)
            low, high = metric.ci95 or (None, None)
            yield {
                "id": entry.id,
                **entry.titles(),
                "metric": name,
                "mean": metric.mean,
                "std": metric.std,
                "ci95_low": low,
                "ci95_high": high,
                "delta": against.difference if against else None,
                "p_adjusted": against.p_adjusted if against else None,
            }
