"""The verdict as the page shows it: texts, and where the marks of its forest plots are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fgbench.leaderboard.contrasts import POST_HOC
from fgbench.leaderboard.verdict import NAMES, verdict_of
from fgbench.numbers import count, interval, margin_text, number, signed
from fgbench.report.verdict_text import (
    VERDICT_MARKS,
    metric_title,
    reach_of,
    values_text,
    word_text,
    yield_text,
)
from fgbench.report.view import MARKS

if TYPE_CHECKING:
    from fgbench.inference import Word
    from fgbench.leaderboard.models import Leaderboard
    from fgbench.leaderboard.verdict import Answer, Code, Finding, Verdict

MAX_ANSWERS = 60
"""Comparisons that the panel shows."""

_SHAPES: dict[Word, str] = {
    "better": "M-5,0 A5,5 0 1 0 5,0 A5,5 0 1 0 -5,0 Z",
    "worse": "M-5,-5 H5 V5 H-5 Z",
    "within": "M0,-6 L6,0 L0,6 L-6,0 Z",
    "cannot tell": "M0,-6 L6,0 L0,6 L-6,0 Z",
    "none": "M-3,0 H3",
}
_ARROW_LEFT, _ARROW_RIGHT = "M6,-5 L-1,0 L6,5 Z", "M-6,-5 L1,0 L-6,5 Z"


@dataclass(frozen=True)
class PanelRow:
    """A contrast: its texts, and places on the axis in percent of its width.

    `drawn` has the place and the path of each mark: the contrast's own, and an arrow at each end of
    the axis beyond which it extends.
    """

    label: str
    is_post_hoc: bool
    difference: str
    interval: str
    raw: float
    mark: str
    word: str
    kind: str
    hollow: bool
    zero: str
    drawn: tuple[tuple[str, str], ...]
    low: str | None
    high: str | None
    margin_from: str
    margin_width: str


@dataclass(frozen=True)
class PanelAnswer:
    """A verdict: its mark and words, and its contrasts."""

    title: str
    kind: str
    mark: str
    word: str
    reason: str
    further: str
    values: str
    facts: str
    rows: tuple[PanelRow, ...]


@dataclass(frozen=True)
class Panel:
    """The head of the page, and the verdict of each comparison."""

    question: str
    headline: str
    sentences: tuple[str, ...]
    caption: str
    lower_is_better: bool
    overall: PanelAnswer | None
    answers: tuple[PanelAnswer, ...]
    omitted: int


def verdict_panel(board: Leaderboard) -> Panel:
    """Return what the page shows of a board's verdict."""
    verdict = verdict_of(board)
    shown = verdict.answers[:MAX_ANSWERS]
    overall = verdict.overall
    findings = [finding for answer in shown for finding in answer.contrasts]
    findings += [] if overall is None else overall.contrasts
    reach = reach_of(findings)  # without the post-hoc calibrator, which may differ far more
    entries = [entry for entry in board.entries if verdict.metric in entry.metrics]
    return Panel(
        question=verdict.question,
        headline=verdict.headline,
        sentences=tuple(_sentences(verdict)),
        caption=f"{metric_title(verdict.metric)}, {verdict.arm} minus each control; band: "
        f"±{margin_text(verdict.margin)}, axis: ±{margin_text(reach)}",
        lower_is_better=not any(verdict.metric in entry.higher_is_better for entry in entries),
        overall=None
        if overall is None
        else PanelAnswer(
            f"{count(overall.datasets)} data sets",
            *_named(overall.code),
            f"{overall.reason} {overall.limit}",
            "",
            "",
            " · ".join(
                f"{finding.label}: {finding.reason}"
                for finding in overall.contrasts
                if finding.reason is not None
            ),
            tuple(_row(finding, reach, verdict.margin) for finding in overall.contrasts),
        ),
        answers=tuple(_answer(verdict, answer, reach) for answer in shown),
        omitted=len(verdict.answers) - len(shown),
    )


def _answer(verdict: Verdict, answer: Answer, reach: float) -> PanelAnswer:
    facts = [" · ".join(answer.facts)]
    if answer.detects is not None:
        facts.append(f"detects {number(answer.detects)} (80 % power)")
    if answer.texts is not None:
        facts.append(yield_text(answer.texts))
    return PanelAnswer(
        answer.title,
        *_named(answer.code),
        answer.reason,
        answer.next or "",
        values_text(verdict, answer),
        " · ".join(facts),
        tuple(_row(finding, reach, verdict.margin) for finding in _findings(answer)),
    )


def _sentences(verdict: Verdict) -> list[str]:
    """Return two sentences below the headline."""
    margin = margin_text(verdict.margin)
    sentences = [
        f"Decided by {metric_title(verdict.metric)} of {verdict.arm} against its four controls; "
        f"differences within ±{margin} do not matter."
    ]
    if verdict.overall is not None:
        sentences.append(verdict.overall.reason)
    elif len(verdict.answers) == 1 and verdict.answers[0].post_hoc is not None:
        found = verdict.answers[0].post_hoc
        sentences.append(
            f"Against {found.label} alone, without new texts: {signed(found.difference)} "
            f"{interval(found.interval, differs=True)}, {word_text(found, verdict.margin)}."
        )
    return sentences


def _named(code: Code) -> tuple[str, str, str]:
    return code.replace("_", "-"), VERDICT_MARKS[code], NAMES[code]


def _findings(answer: Answer) -> Sequence[Finding]:
    return [*answer.contrasts, *([answer.post_hoc] if answer.post_hoc else [])]


def _row(finding: Finding, reach: float, margin: float) -> PanelRow:
    def place(value: float) -> str:
        share = (max(-reach, min(reach, value)) + reach) / (2.0 * reach)
        return f"{2.0 + 96.0 * share:.2f}"

    ends = finding.interval
    lowest, highest = ends or (finding.difference, finding.difference)
    drawn = []
    if lowest < -reach:
        drawn.append((place(-reach), _ARROW_LEFT))
    if abs(finding.difference) <= reach:
        drawn.append((place(finding.difference), _SHAPES[finding.word]))
    if highest > reach:
        drawn.append((place(reach), _ARROW_RIGHT))
    start, stop = float(place(-margin)), float(place(margin))
    return PanelRow(
        label=finding.label,
        is_post_hoc=finding.control == POST_HOC,
        difference=signed(finding.difference),
        interval=interval(ends, differs=True),
        raw=finding.difference,
        mark=MARKS[finding.word],
        word=word_text(finding, margin),
        kind=finding.word.replace(" ", "-"),
        hollow=finding.word == "cannot tell",
        zero=place(0.0),
        drawn=tuple(drawn),
        low=None if ends is None else place(ends[0]),
        high=None if ends is None else place(ends[1]),
        margin_from=f"{start:.2f}",
        margin_width=f"{stop - start:.2f}",
    )
