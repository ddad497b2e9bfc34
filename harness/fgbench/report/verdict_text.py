"""The verdict in a terminal: at most fourteen lines of eighty columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fgbench.leaderboard.contrasts import FAMILY, POST_HOC
from fgbench.leaderboard.verdict import NAMES, counted
from fgbench.numbers import count, interval, margin_text, number, percent, signed
from fgbench.report.layout import Charset, aligned, cut, cut_alike, padded, width_of, wrapped
from fgbench.report.view import MARKS

if TYPE_CHECKING:
    from rich.text import Text

    from fgbench.inference import Word
    from fgbench.leaderboard.verdict import Answer, Code, Finding, Texts, Verdict

VERDICT_MARKS: dict[Code, str] = {"yes": "●", "no": "■", "cannot_tell": "◇", "none": "–"}
MOST_ROWS = 8
"""Data sets of one verdict; the table has the others."""

_MOST_LINES, _NARROWEST = 14, 60
_PLOT = 25
"""Columns of the drawn intervals."""


def verdict_text(
    verdict: Verdict, width: int = 80, *, charset: Charset | None = None, page: str = ""
) -> Text:
    """Return the verdict for a terminal of `width` columns; `page` is the file of the report."""
    charset = charset or Charset(ascii_only=False)
    width = max(width, _NARROWEST)
    if len(verdict.answers) == 1:
        lines, place = _one(verdict, verdict.answers[0], width)
    else:
        lines, place = _several(verdict, width)
    if page or verdict.code != "none":
        lines += _last(page, width, len(verdict.answers) > 1)
    shown = [charset.text(line) for line in lines]  # which may be longer in ASCII
    shown = [line if page and page in line else charset.text(cut(line, width)) for line in shown]
    return _styled(shown, place, verdict.code)


def _styled(lines: Sequence[str], place: int, code: Code) -> Text:
    """Return lines as text, with the word of the verdict in reverse video."""
    from rich.text import Text

    text = Text(no_wrap=True, overflow="ignore", end="")
    name = NAMES[code].upper()
    for index, line in enumerate(lines):
        if index == place and name in line:
            end = line.index(name) + len(name)
            text.append(line[:end] + " ", style="bold reverse")
            text.append(line[end + 1 :] + "\n", style="bold")
        else:
            text.append(line + "\n")
    return text


def _one(verdict: Verdict, answer: Answer, width: int) -> tuple[list[str], int]:
    """Return the lines of one comparison, and the place of the verdict among them."""
    lines = [*wrapped(" · ".join(answer.facts), width), *wrapped(verdict.question, width), ""]
    head = _sentence(answer.code, answer.reason, width)
    place = len(lines)
    lines += [*head, *[""] * (len(head) == 1 or answer.code == "none")]
    if answer.code == "none":
        return lines + _why(answer, width), place
    lines.append(_values(verdict, answer, width))
    findings = [*answer.contrasts, *([answer.post_hoc] if answer.post_hoc else [])]
    lines += _contrasts(verdict, findings, width)
    facts = []
    if answer.detects is not None:
        facts.append(f"Detects {number(answer.detects)} (80 % power)")
    if answer.texts is not None:
        facts.append(yield_text(answer.texts))
    if facts:
        lines.append(cut("  " + " · ".join(facts), width))
    return lines, place


def _sentence(code: Code, reason: str, width: int) -> list[str]:
    start = f" {VERDICT_MARKS[code]} {NAMES[code].upper()}  "
    return wrapped(start + reason, width, hanging=" " * min(len(start), 12))


def _why(answer: Answer, width: int) -> list[str]:
    """Return the facts behind a missing verdict, and what would give one."""
    lines = []
    if answer.texts is not None and 2 * answer.texts.used < answer.texts.asked:
        reasons = ", ".join(list(answer.texts.rejected_by)[:3])
        if reasons:
            lines += wrapped(f"Rejected for: {reasons}", width, "  ", "    ")
        for note, n in list(answer.texts.notes.items())[:2]:
            lines += wrapped(f"{count(n)} replies: {note}", width, "  ", "    ")
    if answer.next:
        lines += wrapped(f"Next: {answer.next}", width, "  ", "    ")
    return lines


def values_text(verdict: Verdict, answer: Answer) -> str:
    """Return the primary metric from the baseline over `real` to the primary arm."""
    values = answer.values
    path = " → ".join(
        f"{number(values[kind])} {kind}"
        for kind in ("baseline", "real", verdict.arm)
        if kind in values
    )
    return f"{metric_title(verdict.metric)}   {path}"


def _values(verdict: Verdict, answer: Answer, width: int) -> str:
    line = f"  {values_text(verdict, answer)}"
    if answer.post_hoc is None or POST_HOC not in answer.values:
        return cut(line, width)
    alternative = f"({number(answer.values[POST_HOC])} {answer.post_hoc.label})"
    room = min(width, 76) - width_of(alternative)
    return cut(padded(line, max(room, width_of(line) + 2)) + alternative, width)


def _contrasts(verdict: Verdict, findings: Sequence[Finding], width: int) -> list[str]:
    names = max(width_of(finding.label) for finding in findings)
    plot_width = _PLOT if width >= 80 else 0
    words = [word_text(finding, verdict.margin) for finding in findings]
    left = [
        f"    {padded(finding.label, names)} {padded(signed(finding.difference), 5)} "
        f"{interval(finding.interval, differs=True)}"
        for finding in findings
    ]
    room = max(map(width_of, left))
    if not plot_width:
        start = cut(f"  {verdict.arm} minus", width)
        return [
            start,
            *(
                cut(f"{padded(line, room)}  {MARKS[finding.word]} {word}", width)
                for line, finding, word in zip(left, findings, words, strict=True)
            ),
        ]
    reach = reach_of(findings)
    lines = [f"{padded(f'  {verdict.arm} minus', room + 2)}{_axis(reach, plot_width)}".rstrip()]
    for line, finding, word in zip(left, findings, words, strict=True):
        drawn = _drawn(finding, reach, plot_width)
        lines.append(cut(f"{padded(line, room + 2)}{drawn}  {word}", width))
    return lines


def reach_of(findings: Sequence[Finding]) -> float:
    """Return the end of the axis: the largest end of an interval, rounded up to a hundredth."""
    ends = [abs(end) for finding in findings for end in finding.interval or (finding.difference,)]
    return max(0.01, math.ceil(round(100 * max(ends, default=0.0), 6)) / 100)


def _axis(reach: float, width: int) -> str:
    low, high = f"−{margin_text(reach)}", f"+{margin_text(reach)}"
    middle = width // 2
    line = padded(low, middle) + "0"
    return padded(line, width - len(high)) + high


def _drawn(finding: Finding, reach: float, width: int) -> str:
    """Return an interval as a line with its mark, on an axis from −reach to reach."""

    def place(value: float) -> int:
        share = (max(-reach, min(reach, value)) + reach) / (2 * reach)
        return round(share * (width - 1))

    cells = [" "] * width
    cells[width // 2] = "┊"
    if finding.interval is not None:
        for column in range(place(finding.interval[0]), place(finding.interval[1]) + 1):
            cells[column] = "─"
    cells[place(finding.difference)] = MARKS[finding.word] or "·"
    return "".join(cells)


def word_text(finding: Finding, margin: float) -> str:
    """Return the word of a contrast as it is shown."""
    return _shown(finding.word, margin) if finding.filled else "too few texts"


def _shown(word: Word, margin: float) -> str:
    if word == "within":
        return f"within ±{margin_text(margin)}"
    return "no inference" if word == "none" else word


def yield_text(texts: Texts) -> str:
    """Return how many texts were used, of those asked for and of those written."""
    used = f"{count(texts.used)} of {count(texts.asked)} texts used"
    return used + (
        f", {percent(texts.used / texts.written)} of those written" if texts.written else ""
    )


def _several(verdict: Verdict, width: int) -> tuple[list[str], int]:
    """Return one line per comparison."""
    answers = verdict.answers
    shown = answers if len(answers) <= MOST_ROWS else answers[: MOST_ROWS - 1]
    summary = counted(answers)
    if verdict.overall is not None:
        reason = f"{_on_average(verdict)} {summary}"
    else:
        reasons = {answer.reason for answer in answers}
        reason = reasons.pop() if len(reasons) == 1 else summary
    head = _sentence(verdict.code, reason, width)
    rows = _rows(verdict, shown, width)
    more = [f"  … and {len(answers) - len(shown)} more"] if len(shown) < len(answers) else []
    legend = _legend(verdict, shown, width)
    fixed = 1 + len(head) + len(rows) + len(more) + len(legend) + 1
    gaps = max(0, min(3, _MOST_LINES - fixed))
    lines = [*wrapped(verdict.question, width), *[""] * (gaps > 1)]
    place = len(lines)
    lines += [*head, *[""] * (gaps > 0), *rows, *more, *[""] * (gaps > 2), *legend]
    return lines, place


def _on_average(verdict: Verdict) -> str:
    assert verdict.overall is not None
    reason = verdict.overall.reason
    return f"On average, {reason[0].lower()}{reason[1:]}"


def _rows(verdict: Verdict, answers: Sequence[Answer], width: int) -> list[str]:
    alternative = next((a.post_hoc.label for a in answers if a.post_hoc is not None), None)
    kinds = [*FAMILY, *([POST_HOC] if alternative else [])]
    titles = [*FAMILY, *([alternative] if alternative else [])]
    cells = []
    for answer in answers:
        found = {f.control: f for f in (*answer.contrasts, answer.post_hoc) if f is not None}
        cells.append([_mark(found.get(kind)) for kind in kinds])
    if not any(any(row) for row in cells):
        cells, titles = [[answer.reason] for answer in answers], [""]
    lead = f"  {metric_title(verdict.metric)}, {verdict.arm} minus"
    names = [f"  {VERDICT_MARKS[answer.code]} {answer.title}" for answer in answers]
    words = [NAMES[answer.code] for answer in answers]
    wide = ((False, room) for room in (width, 24, 21, 20, 19, 18, 16))
    for signs_only, room in (*wide, (True, 24), (True, 12)):
        pairs = [list(pair) for pair in zip(cut_alike(names, room), words, strict=True)]
        shown = [[cell.split(" ")[-1] for cell in row] for row in cells] if signs_only else cells
        starts = aligned(pairs, ["<", "<"], gap=" ")
        lines = aligned(
            [
                [cut(lead, max(map(width_of, starts))) if room < width else lead, *titles],
                *([start, *row] for start, row in zip(starts, shown, strict=True)),
            ],
            ["<"] * (1 + len(titles)),
            gap=" ",
        )
        if max(map(width_of, lines)) <= width:
            break
    return [cut(line, width) for line in lines if line.strip()]


def _mark(finding: Finding | None) -> str:
    if finding is None:
        return ""
    return f"{padded(signed(finding.difference), 5, '>')} {MARKS[finding.word]}".rstrip()


def _legend(verdict: Verdict, answers: Sequence[Answer], width: int) -> list[str]:
    if not any(answer.contrasts for answer in answers):
        return []
    marks = (
        f"{MARKS[word]} {_shown(word, verdict.margin)}"
        for word in ("better", "worse", "within", "cannot tell")
    )
    return [cut(f"  {'  '.join(marks)} · 5 %, Holm", width)]


def _last(page: str, width: int, several: bool) -> list[str]:
    hint = ("intervals and " if several else "") + "all numbers: add --table"
    start = f"  {page}"
    if not page:
        return [f"  {hint[0].upper()}{hint[1:]}"]
    room = max(width_of(start) + 8, 41)
    line = padded(start, room) + hint
    # The path is never cut, so that it can be clicked.
    return [line] if width_of(line) <= width else [start, f"  {hint[0].upper()}{hint[1:]}"]


def metric_title(name: str) -> str:
    """Return a metric's name; short ones are initials."""
    return name.upper() if len(name) <= 4 else name
