"""The format of `diagnostics.json`: one record for each set of synthetic inputs of a run.

A figure that is undefined is null, and `undefined` beside it says why.
"""

from __future__ import annotations

import json
from typing import Literal

from pydantic import ConfigDict, Field

from fgbench.leaderboard.models import Record

SCHEMA: Literal["fgbench.diagnostics/1"] = "fgbench.diagnostics/1"
DIAGNOSTICS_FILE = "diagnostics.json"

Judge = Literal["baseline", "posterior", "relabeler", "generator"]


class FitRecord(Record):
    """What n inputs were asked to be, and what they are in the eyes of one judge.

    All of one class's probability: class 1 of two, else the one asked for most. `unchanged_error`
    is the mean absolute difference between what was asked and what the baseline says of the
    source's bin: as far off is a generator that changes nothing. `shift_slope`, where the judge is
    the baseline, is the slope of what was changed on what should have been: 0 for a generator that
    does not listen, 1 for one that obeys.
    """

    n: int
    error: float | None = None
    """Mean absolute difference between asked and found."""
    bias: float | None = None
    """Mean of found − asked."""
    correlation: float | None = None
    slope: float | None = None
    """Of the least-squares line of found on asked."""
    unchanged_error: float | None = None
    shift_slope: float | None = None
    undefined: dict[str, str] = Field(default_factory=dict)


class FidelityRecord(Record):
    """Asked against found, of the accepted inputs and of all candidates that can be judged."""

    accepted: FitRecord
    candidates: FitRecord


class ShareRecord(Record):
    """How many of n were labelled like their source."""

    n: int
    share: float


class RelabelingRecord(Record):
    """How the relabeller labels the candidates that came before it.

    `baseline_share` is the share of them that the baseline classifier gives their source's label;
    `kappa` is Cohen's, of the relabeller's labels and the baseline's (over `judged` candidates).
    """

    n: int
    share: float | None = None
    """Of those with a label, those that have their source's."""
    unreadable: int = 0
    baseline_share: float | None = None
    kappa: float | None = None
    judged: int = 0
    by_bin: dict[str, ShareRecord] = Field(default_factory=dict)
    by_class: dict[str, ShareRecord] = Field(default_factory=dict)
    undefined: dict[str, str] = Field(default_factory=dict)


class TextsRecord(Record):
    """The variety of n texts. `distinct_1` and `distinct_2` are of as many n-grams in both sets."""

    n: int
    words: float
    """Mean number of words."""
    distinct_1: float | None = None
    distinct_2: float | None = None
    self_similarity: float | None = None
    """Mean Jaccard index of the word bigrams of two of them."""


class DiversityRecord(Record):
    """The accepted texts beside the real ones that they were made from, each of these once."""

    texts: TextsRecord
    sources: TextsRecord
    source_similarity: float | None = None
    """Mean Jaccard index of the word bigrams of a text and its source."""
    neighbour_similarity: float | None = None
    """The same of a source and another source of its class: what real texts have in common."""
    copies: float | None = None
    """Share of the texts that have half or more of their bigrams in common with their source."""
    length_ratio: float | None = None
    """Mean number of words of the texts, by that of their sources."""
    undefined: dict[str, str] = Field(default_factory=dict)


class BinShiftRecord(Record):
    """One targeted bin: what retraining did to the test points that the baseline put there.

    Probabilities are of the class that the bin leans to (with more than two classes: that the
    baseline predicts). `asked_shift` is what the generator was asked to change in it; `after −
    before` is what retraining changed. `outcome` is how often it was the true class, so that
    `outcome − before` and `outcome − after` are the gaps. `confidence` and `accuracy` are of the
    predicted class, whichever it is. All but `n` are null in a bin without test points.
    """

    bin: int
    n: int
    asked_shift: float
    before: float | None = None
    after: float | None = None
    stderr: float | None = None
    """Standard error of `after − before`, of the paired test points; null with fewer than two."""
    outcome: float | None = None
    confidence_before: float | None = None
    confidence_after: float | None = None
    accuracy_before: float | None = None
    accuracy_after: float | None = None


class InfluencesRecord(Record):
    """Influences of n inputs: by how much the mean NLL of held-out selection rows changes.

    Negative is better. `helpful` is the share below 0; `total` their sum. They are derivatives:
    signs and order hold, but a surprising input under a weak penalty would change far less.
    """

    n: int
    mean: float | None = None
    total: float | None = None
    helpful: float | None = None
    quantiles: tuple[float, float, float] | None = None
    """The 5 %, 50 % and 95 % quantiles."""


class InfluenceRecord(Record):
    """What each synthetic input would do to the baseline, had it been trained on it.

    `sources` are the real points that the accepted ones were made from, one for each: the matched
    reference. `other_label` are the candidates that relabelling turned away. `exact` says whether
    the head is the minimum of a penalised cross-entropy, so that influences are its derivatives.
    """

    accepted: InfluencesRecord
    sources: InfluencesRecord
    other_label: InfluencesRecord
    exact: bool
    residual: float
    """Relative residual of the linear system that was solved."""


class SetRecord(Record):
    """The synthetic inputs of one generation stage, and the arms that were trained on them."""

    dataset: str
    classifier: str
    loss: str
    generator: str
    bins: int
    design: Literal["targeted", "random"]
    seed: int
    samples: str
    """The file of their lineage, relative to the run's folder."""
    fidelity: dict[Judge, FidelityRecord] = Field(default_factory=dict)
    relabelling: RelabelingRecord
    diversity: DiversityRecord | None = None
    shifts: dict[str, list[BinShiftRecord]] = Field(default_factory=dict)
    """By arm: those that these inputs were made for, and the controls that share their bins."""
    influence: InfluenceRecord | None = None
    skipped: dict[str, str] = Field(default_factory=dict)
    """What of the above could not be had, and why."""


class Diagnostics(Record):
    """The whole file."""

    schema_: Literal["fgbench.diagnostics/1"] = Field(default=SCHEMA, alias="schema")
    sets: list[SetRecord] = Field(default_factory=list)

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    def to_json(self) -> str:
        """Return the file's text: sorted keys, floats at full precision."""
        value = self.model_dump(mode="json", by_alias=True)
        return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + (
            "\n"
        )
