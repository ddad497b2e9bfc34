"""The measures in the page's table of diagnostics: name, meaning, format and reference value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fgbench.diagnostics.models import (
    BinLabelsRecord,
    DiversityRecord,
    InfluenceRecord,
    InfluencesRecord,
    Judge,
    SetRecord,
)
from fgbench.loop.additions import label_difference
from fgbench.loop.arms import MATCHED_DESIGNS
from fgbench.numbers import number, percent, signed

Value = Callable[[SetRecord], float | None]

_TRAINED_ON_ACCEPTED = ("synthesis+", "synthesis", *sorted(MATCHED_DESIGNS), "random-bins")
"""The arms that are trained on all accepted texts of a set, which is that of their design."""


@dataclass(frozen=True)
class Measure:
    """One number of a set of synthetic inputs, and the reference that it is compared with, if any.

    `value` and `reference` read them from a record, `format` writes both.
    """

    name: str
    meaning: str
    format: Callable[[float], str]
    value: Value
    reference_name: str = ""
    reference: Value | None = None


def _error(judge: Judge) -> Value:
    return lambda item: item.fidelity[judge].accepted.error if judge in item.fidelity else None


def _copy_error(item: SetRecord) -> float | None:
    judgment = item.fidelity.get("baseline")
    return None if judgment is None else judgment.accepted.unchanged_error


def _shift_slope(item: SetRecord) -> float | None:
    judgment = item.fidelity.get("baseline")
    return None if judgment is None else judgment.accepted.shift_slope


def _labels_from(rates: Callable[[BinLabelsRecord], tuple[int, float, float]]) -> Value:
    def difference(item: SetRecord) -> float | None:
        for arm in _TRAINED_ON_ACCEPTED:
            if bins := item.labels.get(arm):
                return label_difference(rates(record) for record in bins)
        return None

    return difference


def _texts(get: Callable[[DiversityRecord], float | None]) -> Value:
    return lambda item: None if item.diversity is None else get(item.diversity)


def _influence(get: Callable[[InfluenceRecord], float | None]) -> Value:
    return lambda item: None if item.influence is None else get(item.influence)


def _median(influences: InfluencesRecord) -> float | None:
    return None if influences.quantiles is None else influences.quantiles[1]


def _percent(value: float) -> str:
    return percent(value)


def _small(value: float) -> str:
    """Return a difference in units of 10⁻⁴."""
    return signed(1e4 * value, 2)


SECTIONS: tuple[tuple[str, tuple[Measure, ...]], ...] = (
    (
        "Do the texts have their target probability?",
        (
            Measure(
                "error vs. target (judged by baseline)",
                "mean absolute difference; below: error of an unchanged copy of the source",
                number,
                _error("baseline"),
                "copy",
                _copy_error,
            ),
            Measure(
                "share of the target shift (judged by baseline)",
                "slope: 0 for a copy of the source, 1 for a full shift",
                signed,
                _shift_slope,
            ),
            Measure("error vs. target (true posterior)", "", number, _error("posterior")),
            Measure("error vs. target (judged by relabeler)", "", number, _error("relabeler")),
            Measure("error vs. target (generator's claim)", "", number, _error("generator")),
            Measure(
                "same label as the source",
                "share of candidates, labeled by the relabeler; below: by the baseline",
                _percent,
                lambda item: item.relabeling.share,
                "baseline",
                lambda item: item.relabeling.baseline_share,
            ),
            Measure(
                "labels of the texts vs. their bins",
                "mean difference of label rate and rate of the real points; below: from the target",
                number,
                _labels_from(lambda record: (record.n, record.label_rate, record.bin_rate)),
                "target",
                _labels_from(lambda record: (record.n, record.label_rate, record.asked)),
            ),
            Measure(
                "agreement of relabeler and baseline",
                "Cohen's κ over candidates: 0 = chance, 1 = perfect",
                number,
                lambda item: item.relabeling.kappa,
            ),
        ),
    ),
    (
        "How similar are the texts to their sources?",
        (
            Measure(
                "distinct-1",
                "distinct words / all words, of equally many words; below: of the sources",
                number,
                _texts(lambda record: record.texts.distinct_1),
                "real",
                _texts(lambda record: record.sources.distinct_1),
            ),
            Measure(
                "distinct-2",
                "distinct bigrams / all bigrams, likewise",
                number,
                _texts(lambda record: record.texts.distinct_2),
                "real",
                _texts(lambda record: record.sources.distinct_2),
            ),
            Measure(
                "self-similarity",
                "mean Jaccard index of the bigrams of two texts",
                number,
                _texts(lambda record: record.texts.self_similarity),
                "real",
                _texts(lambda record: record.sources.self_similarity),
            ),
            Measure(
                "similarity to the source",
                "mean Jaccard index of bigrams; below: of two real texts of one class",
                number,
                _texts(lambda record: record.source_similarity),
                "real",
                _texts(lambda record: record.neighbour_similarity),
            ),
            Measure(
                "near copies",
                "texts that share at least half of their bigrams with their source",
                _percent,
                _texts(lambda record: record.copies),
            ),
            Measure(
                "length",
                "number of words / that of the sources",
                number,
                _texts(lambda record: record.length_ratio),
            ),
        ),
    ),
    (
        "How would training on one text change the baseline?",
        (
            Measure(
                "texts that would lower the held-out loss",
                "share of accepted texts; below: of their sources, real points with real labels",
                _percent,
                _influence(lambda record: record.accepted.helpful),
                "real",
                _influence(lambda record: record.sources.helpful),
            ),
            Measure(
                "median change of the held-out loss, × 10⁻⁴",
                "negative log-likelihood on held-out selection rows, first-order estimate",
                _small,
                _influence(lambda record: _median(record.accepted)),
                "real",
                _influence(lambda record: _median(record.sources)),
            ),
            Measure(
                "rejected texts that would lower it",
                "share of texts rejected for their label, if kept with their source's label",
                _percent,
                _influence(lambda record: record.other_label.helpful),
            ),
        ),
    ),
)
