"""The format of `diagnostics.json`: one record per set of synthetic inputs of a run.

An undefined measure is null, and `undefined` next to it gives the reason.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AliasChoices, ConfigDict, Field, model_validator

from fgbench.coordinates import AXES, PARTS
from fgbench.records import Count, Record
from fgbench.samples import Design

SCHEMA: Literal["fgbench.diagnostics/1"] = "fgbench.diagnostics/1"
DIAGNOSTICS_FILE = "diagnostics.json"

SAMPLE_PARTS = tuple(name for name in PARTS if AXES[name].role != "treatment")
"""The parts that a set of synthetic inputs depends on."""

_DESIGNS = get_args(Design)

Judge = Literal["baseline", "posterior", "relabeler", "generator"]


class FitRecord(Record):
    """The requested probability of n inputs compared with the estimate of one judge.

    It is that of one class: class 1 of two, else the most requested. `unchanged_error` is the mean
    absolute difference between the request and the baseline's prediction for the source's bin: the
    error of a generator that changes nothing. `shift_slope`, if the judge is the baseline, is the
    slope of the actual shift on the requested one: 0 for a generator that ignores requests, 1 for
    one that follows them.
    """

    n: Count
    error: float | None = None
    """Mean absolute difference between request and estimate."""
    bias: float | None = None
    """Mean of estimate − request."""
    correlation: float | None = None
    slope: float | None = None
    """Slope of the least-squares line of the estimate on the request."""
    unchanged_error: float | None = None
    shift_slope: float | None = None
    undefined: dict[str, str] = Field(default_factory=dict)


class FidelityRecord(Record):
    """Request and estimate of the accepted inputs, and of all candidates with an estimate."""

    accepted: FitRecord
    candidates: FitRecord


class ShareRecord(Record):
    """The share of n candidates that were labeled like their source."""

    n: Count
    share: float


class RelabelingRecord(Record):
    """How the relabeler labels candidates.

    `baseline_share` is the share of them to which the baseline classifier gives their source's
    label; `kappa` is Cohen's kappa of the relabeler's labels and the baseline's, over `judged`
    candidates.
    """

    n: Count
    share: float | None = None
    """Of the candidates with a label, those with their source's."""
    unreadable: int = 0
    baseline_share: float | None = None
    kappa: float | None = None
    judged: int = 0
    by_bin: dict[str, ShareRecord] = Field(default_factory=dict)
    by_class: dict[str, ShareRecord] = Field(default_factory=dict)
    undefined: dict[str, str] = Field(default_factory=dict)


class TextsRecord(Record):
    """The diversity of n texts; `distinct_1` and `distinct_2` use as many n-grams in both sets."""

    n: Count
    words: float
    """Mean number of words."""
    distinct_1: float | None = None
    distinct_2: float | None = None
    self_similarity: float | None = None
    """Mean Jaccard index of the word bigrams of two texts."""


class DiversityRecord(Record):
    """The accepted texts compared with their real sources; each source counts once."""

    texts: TextsRecord
    sources: TextsRecord
    source_similarity: float | None = None
    """Mean Jaccard index of the word bigrams of a text and its source."""
    neighbour_similarity: float | None = None
    """The same of a source and another source of its class: the similarity of real texts."""
    copies: float | None = None
    """Share of the texts with a Jaccard index of 0.5 or more with their source."""
    length_ratio: float | None = None
    """Mean number of words of the texts divided by that of their sources."""
    undefined: dict[str, str] = Field(default_factory=dict)


_Share = Annotated[float, Field(ge=-2, le=2)]
"""A probability or a difference of two, with room for rounding."""
_OF_POINTS = (
    *("before", "after", "outcome"),
    *("confidence_before", "confidence_after", "accuracy_before", "accuracy_after"),
)


class BinShiftRecord(Record):
    """One targeted bin: how retraining changed the n test points that the baseline put there.

    Probabilities are of the bin's majority class (with more than two classes: the class that the
    baseline predicts). `asked_shift` is the shift that the generator was asked for; `after −
    before` is the shift by retraining. `outcome` is how often it was the true class, so that
    `outcome − before` and `outcome − after` are the gaps. `confidence` and `accuracy` are of the
    class predicted at the time. All but `n` and `asked_shift` are null without test points.
    """

    bin: Count
    n: Count
    asked_shift: _Share
    before: _Share | None = None
    after: _Share | None = None
    stderr: _Share | None = None
    """Standard error of `after − before` over paired test points; null with fewer than two."""
    outcome: _Share | None = None
    confidence_before: _Share | None = None
    confidence_after: _Share | None = None
    accuracy_before: _Share | None = None
    accuracy_after: _Share | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        for name in _OF_POINTS if self.n else ():
            if getattr(self, name) is None:
                raise ValueError(f"{name} is missing: only bins without test points may lack it")
        return self


class BinLabelsRecord(Record):
    """The labels of the n inputs that an arm added from one bin (`fgbench.loop.additions`).

    All are rates of class 1 of two, else of the class that leads in the bin: `bin_rate` among the
    bin's real points, `asked` as requested on average, `label_rate` in training.
    """

    bin: int
    n: int
    bin_rate: float
    asked: float
    label_rate: float


class InfluencesRecord(Record):
    """Influences of n inputs: the change of the mean NLL of held-out selection rows.

    Negative is better. `helpful` is the share below 0, `total` the sum. Influences are derivatives:
    signs and order hold, but a surprising input under a weak penalty would change far less.
    """

    n: Count
    mean: float | None = None
    total: float | None = None
    helpful: float | None = None
    quantiles: tuple[float, float, float] | None = None
    """The 5 %, 50 % and 95 % quantiles."""


class InfluenceRecord(Record):
    """The effect of each synthetic input on the baseline, had it been trained on it.

    `sources` are the sources of the accepted inputs, one per input: the matched reference.
    `other_label` are the candidates that relabeling rejected. `exact` says whether the head
    minimizes a penalized cross-entropy, so that influences are exact derivatives.
    """

    accepted: InfluencesRecord
    sources: InfluencesRecord
    other_label: InfluencesRecord
    exact: bool
    residual: float
    """Relative residual of the linear solver."""


class SetRecord(Record):
    """The synthetic inputs of one generation stage, and the arms that were trained on them."""

    dataset: str
    classifier: str
    loss: str
    generator: str
    bins: int
    dose: float = 1.0
    design: Design
    seed: int
    samples: str
    """The file of the samples, relative to the run's folder."""
    fidelity: dict[Judge, FidelityRecord] = Field(default_factory=dict)
    relabeling: RelabelingRecord = Field(
        validation_alias=AliasChoices("relabelling", "relabeling"),
        serialization_alias="relabelling",
    )
    """The key in the file has the older spelling."""
    diversity: DiversityRecord | None = None
    shifts: dict[str, list[BinShiftRecord]] = Field(default_factory=dict)
    """By arm: the arms that use these inputs, and the controls that share their bins."""
    labels: dict[str, list[BinLabelsRecord]] = Field(default_factory=dict)
    """By arm: the labels of what it added, by bin."""
    influence: InfluenceRecord | None = None
    skipped: dict[str, str] = Field(default_factory=dict)
    """The fields above that are missing, with the reason."""

    @property
    def parts(self) -> tuple[str, ...]:
        """The labels of the parts that the inputs depend on: `SAMPLE_PARTS`."""
        return tuple(getattr(self, name) for name in SAMPLE_PARTS)

    @property
    def order(self) -> tuple[Any, ...]:
        """The sort key of the file."""
        return *self.parts, _DESIGNS.index(self.design), self.bins, self.dose, self.seed


class Diagnostics(Record):
    """The content of the file."""

    schema_: Literal["fgbench.diagnostics/1"] = Field(default=SCHEMA, alias="schema")
    sets: list[SetRecord] = Field(default_factory=list)

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    def to_json(self) -> str:
        """Return the file's text: sorted keys, floats at full precision."""
        value = self.model_dump(mode="json", by_alias=True)
        return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + (
            "\n"
        )
