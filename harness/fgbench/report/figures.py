"""The figures of a generator's portrait: what each is, and what it is held against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fgbench.diagnostics.models import (
    DiversityRecord,
    InfluenceRecord,
    InfluencesRecord,
    Judge,
    SetRecord,
)
from fgbench.report.view import number, signed

Value = Callable[[SetRecord], float | None]


@dataclass(frozen=True)
class Figure:
    """A figure of a set of synthetic inputs; `beside` names the reference that stands below it."""

    name: str
    meaning: str
    show: Callable[[float], str]
    of: Value
    beside: str = ""
    reference: Value | None = None


def _error(judge: Judge) -> Value:
    return lambda item: item.fidelity[judge].accepted.error if judge in item.fidelity else None


def _unchanged(item: SetRecord) -> float | None:
    judged = item.fidelity.get("baseline")
    return None if judged is None else judged.accepted.unchanged_error


def _obeyed(item: SetRecord) -> float | None:
    judged = item.fidelity.get("baseline")
    return None if judged is None else judged.accepted.shift_slope


def _texts(get: Callable[[DiversityRecord], float | None]) -> Value:
    return lambda item: None if item.diversity is None else get(item.diversity)


def _influence(get: Callable[[InfluenceRecord], float | None]) -> Value:
    return lambda item: None if item.influence is None else get(item.influence)


def _median(found: InfluencesRecord) -> float | None:
    return None if found.quantiles is None else found.quantiles[1]


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def _small(value: float) -> str:
    """Return a difference in units of 10⁻⁴."""
    text = f"{abs(value) * 1e4:.2f}"
    return text if float(text) == 0 else ("−" if value < 0 else "+") + text


SECTIONS: tuple[tuple[str, tuple[Figure, ...]], ...] = (
    (
        "Does the generator do as it is told?",
        (
            Figure(
                "off from what was asked, by the baseline",
                "mean absolute difference; a copy of the source is off by what stands below",
                number,
                _error("baseline"),
                "copy",
                _unchanged,
            ),
            Figure(
                "of the asked shift, the baseline sees",
                "slope: 0 for a copy of the source, 1 for one that obeys",
                signed,
                _obeyed,
            ),
            Figure("off, by the true posterior", "", number, _error("posterior")),
            Figure("off, by the relabeller", "", number, _error("relabeler")),
            Figure("off, by the generator's claim", "", number, _error("generator")),
            Figure(
                "labelled like the source",
                "share of the candidates, by the relabeller; below, by the baseline",
                _percent,
                lambda item: item.relabelling.share,
                "baseline",
                lambda item: item.relabelling.baseline_share,
            ),
            Figure(
                "relabeller and baseline agree",
                "Cohen's κ over the candidates: 0 as by chance, 1 always",
                number,
                lambda item: item.relabelling.kappa,
            ),
        ),
    ),
    (
        "Are they like the real texts that they were made from?",
        (
            Figure(
                "distinct-1",
                "distinct words by all words, of as many in both sets",
                number,
                _texts(lambda found: found.texts.distinct_1),
                "real",
                _texts(lambda found: found.sources.distinct_1),
            ),
            Figure(
                "distinct-2",
                "the same of pairs of words",
                number,
                _texts(lambda found: found.texts.distinct_2),
                "real",
                _texts(lambda found: found.sources.distinct_2),
            ),
            Figure(
                "self-similarity",
                "bigrams that two of them share (mean Jaccard index)",
                number,
                _texts(lambda found: found.texts.self_similarity),
                "real",
                _texts(lambda found: found.sources.self_similarity),
            ),
            Figure(
                "similarity to the source",
                "the same; below, of two real texts of one class",
                number,
                _texts(lambda found: found.source_similarity),
                "real",
                _texts(lambda found: found.neighbour_similarity),
            ),
            Figure(
                "near copies",
                "share half or more of their bigrams with their source",
                _percent,
                _texts(lambda found: found.copies),
            ),
            Figure(
                "length",
                "words, by those of the sources",
                number,
                _texts(lambda found: found.length_ratio),
            ),
        ),
    ),
    (
        "What would each do to the baseline, had it been trained on it?",
        (
            Figure(
                "lower the held-out loss",
                "share of the accepted; below, of their sources, real points with real labels",
                _percent,
                _influence(lambda found: found.accepted.helpful),
                "real",
                _influence(lambda found: found.sources.helpful),
            ),
            Figure(
                "median change of the loss, × 10⁻⁴",
                "negative log-likelihood of held-out selection rows, to first order",
                _small,
                _influence(lambda found: _median(found.accepted)),
                "real",
                _influence(lambda found: _median(found.sources)),
            ),
            Figure(
                "turned away, and would lower it",
                "share of what got another label, had it been kept with its source's",
                _percent,
                _influence(lambda found: found.other_label.helpful),
            ),
        ),
    ),
)
