"""A summary over data sets for people: a table, and a critical-difference diagram."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from textwrap import wrap
from typing import TYPE_CHECKING

from fgbench.errors import DataError
from fgbench.inference import SIGNIFICANCE
from fgbench.numbers import count, interval, number, plural, signed

if TYPE_CHECKING:
    from fgbench.inference.across import Effect, MethodSummary, ResultsSummary

_MARKS = {"better": "●", "worse": "■", "within": "◆", "cannot tell": "◇", "none": "–"}
_SHORTEST_NAME = 8
_MOST_DECIMALS = 5


def summary_text(summary: ResultsSummary, value: str, width: int = 80) -> str:
    """Return the summary as text of at most `width` columns; `value` names what was measured."""
    lines = [
        f"{value} ({'higher' if summary.higher_is_better else 'lower'} is better): "
        f"{plural(len(summary.methods), 'method')}, {plural(summary.tasks, 'task')}, "
        f"{plural(summary.datasets, 'data set')}",
        "",
        *_table(summary, width),
        "",
        *_wrapped(_caption(summary), width),
        "",
        *critical_difference_text(summary, width),
        *_wrapped(_inseparable(summary), width),
    ]
    for note in summary.notes:
        lines += _wrapped(note, width)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def critical_difference_text(summary: ResultsSummary, width: int = 80) -> list[str]:
    """Return the critical-difference diagram as lines of text; none without mean ranks.

    Each method has its mean rank on the axis. Methods that a vertical line joins cannot be told
    apart.
    """
    if summary.critical_difference is None:
        return []
    names = _shortened([item.method for item in summary.methods], width // 3)
    room = max(map(len, names))
    bars = len(summary.groups)
    axis = max(10, width - room - 9 - bars)
    last = len(summary.methods)
    lines = [
        f"{'':{room}}  rank  1{'best':>{6}}{f'worst {last}':>{max(1, axis - 7)}}",
    ]
    for method, name in zip(summary.methods, names, strict=True):
        rank = method.mean_rank or 0.0
        position = round((rank - 1.0) / max(last - 1, 1) * (axis - 1))
        line = "·" * position + "●" + "·" * (axis - 1 - position)
        joined = "".join("│" if method.method in group else " " for group in summary.groups)
        lines.append(f"{name:{room}} {number(rank, 2):>5}  {line} {joined}")
    return lines


def critical_difference_svg(summary: ResultsSummary, value: str) -> str:
    """Return the critical-difference diagram (Demšar 2006, figure 1) as an SVG file.

    Bars join methods that cannot be told apart. Raises `DataError` where there are no mean ranks
    over at least two data sets.
    """
    if summary.critical_difference is None:
        raise DataError(
            "no critical-difference diagram: it needs two data sets on which every method has a "
            "value."
        )
    return _Diagram(summary, value).svg()


class _Diagram:
    """Places of the diagram's parts, in pixels."""

    width, margin, line, axis = 720, 190, 20, 64
    ink, soft = "#1a1f26", "#58616d"

    def __init__(self, summary: ResultsSummary, value: str) -> None:
        self.summary, self.value = summary, value
        self.last = len(summary.methods)
        self.bars = self.axis + 14
        self.names = self.bars + 7 * len(summary.groups) + 14
        self.half = (self.last + 1) // 2
        self.height = self.names + self.line * self.half + 10

    def x(self, rank: float) -> float:
        span = self.width - 2 * self.margin
        return self.margin + span * (rank - 1.0) / max(self.last - 1, 1)

    def svg(self) -> str:
        difference = self.summary.critical_difference or 0.0
        label = f"Critical-difference diagram of {self.value}: mean ranks over " + plural(
            self.summary.datasets, "data set"
        )
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" role="img" '
            f'font-family="sans-serif" font-size="12" fill="{self.ink}">',
            f"<title>{escape(label)}</title>",
            f'<rect width="{self.width}" height="{self.height}" fill="#ffffff"/>',
            *self._scale(),
            *self._difference(min(difference, self.last - 1.0), difference),
            *self._bars(),
        ]
        for index, method in enumerate(self.summary.methods):
            parts += self._method(index, method)
        return "\n".join([*parts, "</svg>\n"])

    def _scale(self) -> list[str]:
        parts = [self._line(self.x(1), self.axis, self.x(self.last), self.axis)]
        step = max(1, round(self.last / 10))
        for rank in (*range(1, self.last - step // 2, step), self.last):
            parts.append(self._line(self.x(rank), self.axis - 5, self.x(rank), self.axis))
            parts.append(self._text(self.x(rank), self.axis - 9, str(rank), "middle"))
        return parts

    def _difference(self, shown: float, difference: float) -> list[str]:
        start, end, y = self.x(1), self.x(1 + shown), 26
        return [
            self._line(start, y, end, y, 2),
            self._line(start, y - 4, start, y + 4),
            self._line(end, y - 4, end, y + 4),
            self._text((start + end) / 2, y - 8, f"CD {number(difference, 2)}", "middle"),
        ]

    def _bars(self) -> list[str]:
        ranks = {item.method: item.mean_rank or 0.0 for item in self.summary.methods}
        parts = []
        for index, group in enumerate(self.summary.groups):
            y = self.bars + 7 * index
            low, high = (pick(ranks[name] for name in group) for pick in (min, max))
            parts.append(self._line(self.x(low) - 3, y, self.x(high) + 3, y, 4))
        return parts

    def _method(self, index: int, method: MethodSummary) -> list[str]:
        """Return the line from the axis to the name: the better half is on the left."""
        is_left = index < self.half
        row = index if is_left else self.last - 1 - index
        x, y = self.x(method.mean_rank or 0.0), self.names + self.line * row + 8
        edge = self.margin - 20 if is_left else self.width - self.margin + 20
        anchor, side = ("end", -6) if is_left else ("start", 6)
        text = f"{_shortened([method.method], 22)[0]} {number(method.mean_rank, 2)}"
        path = f"M{x:.1f} {self.axis}V{y}H{edge}"
        return [
            f'<path d="{path}" fill="none" stroke="{self.soft}" stroke-width="1"/>',
            self._text(edge + side, y + 4, text, anchor),
        ]

    def _line(self, x1: float, y1: float, x2: float, y2: float, stroke: float = 1) -> str:
        return (
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke="{self.ink}" stroke-width="{stroke:g}"/>'
        )

    def _text(self, x: float, y: float, text: str, anchor: str) -> str:
        return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _table(summary: ResultsSummary, width: int) -> list[str]:
    decimals = _decimals(summary.effects)
    effects = {effect.method: effect for effect in summary.effects}
    columns: list[tuple[str, Callable[[MethodSummary], str]]] = [
        ("rank", lambda item: number(item.mean_rank, 2)),
        ("95 %", lambda item: interval(item.mean_rank_interval, decimals=1)),
        ("wins", lambda item: number(item.win_rate)),
        ("effect", lambda item: _of(effects, item, lambda e: signed(e.difference, decimals))),
        (
            "interval",
            lambda item: _of(
                effects,
                item,
                lambda e: interval(e.deciding_interval, differs=True, decimals=decimals),
            ),
        ),
        ("", lambda item: _of(effects, item, lambda e: _MARKS[e.word])),
        ("W/T/L", lambda item: _of(effects, item, lambda e: f"{e.wins}/{e.ties}/{e.losses}")),
        ("", lambda item: _of(effects, item, _sign_mark)),
    ]
    cells = [[text(item) for _, text in columns] for item in summary.methods]
    widths = [
        max(len(title), *(len(row[index]) for row in cells))
        for index, (title, _) in enumerate(columns)
    ]
    room = max(_SHORTEST_NAME, width - sum(widths) - 2 * len(widths))
    names = [wrap(item.method, room, subsequent_indent="  ") for item in summary.methods]
    room = max(len("method"), *(len(line) for name in names for line in name))

    def line(name: str, texts: Sequence[str]) -> str:
        return "  ".join(
            [f"{name:{room}}", *(f"{text:>{w}}" for text, w in zip(texts, widths, strict=True))]
        )

    lines = [line("method", [title for title, _ in columns])]
    for name, texts in zip(names, cells, strict=True):
        first, *others = name
        lines += [line(first, texts), *others]
    return lines


def _of(effects: Mapping[str, Effect], method: MethodSummary, text: Callable[[Effect], str]) -> str:
    return text(effects[method.method]) if method.method in effects else ""


def _sign_mark(effect: Effect) -> str:
    if effect.p_sign_adjusted is None or effect.p_sign_adjusted >= SIGNIFICANCE:
        return _MARKS["cannot tell"]
    return _MARKS["better" if effect.wins > effect.losses else "worse"]


def _caption(summary: ResultsSummary) -> str:
    family = (
        plural(len(summary.effects), "comparison")
        if len(summary.effects) == len(summary.pairs) or summary.declared
        else f"all {count(len(summary.pairs))} pairs"
    )
    marks = "● better  ■ worse  ◇ cannot tell"
    margin = next((effect.margin for effect in summary.effects if effect.margin), None)
    if margin is not None:
        marks += f"  ◆ within ±{number(margin)}"
    return (
        f"rank: mean rank; wins: win rate over tasks; effect: mean difference from "
        f"{summary.reference} over data sets (t test); W/T/L: data sets won, tied, lost against it "
        f"(sign test). {marks}: 5 %, Holm over {family}; the interval is of that level."
    )


def _inseparable(summary: ResultsSummary) -> str:
    if summary.critical_difference is None:
        return ""
    start = f"Critical difference of mean ranks {number(summary.critical_difference, 2)}"
    first = summary.methods[0].method
    group = next((group for group in summary.groups if first in group), [])
    if not group:
        return f"{start}: {first} is told apart from all others."
    if len(group) == len(summary.methods):
        return f"{start}: no two methods can be told apart (Nemenyi, 5 %)."
    others = ", ".join(name for name in group if name != first)
    return f"{start} (Nemenyi, 5 %): {first} cannot be told apart from {others}."


def _decimals(effects: Sequence[Effect]) -> int:
    """Return the decimals that most intervals of effects need to show two digits of their width."""
    widths = sorted(
        effect.interval[1] - effect.interval[0] for effect in effects if effect.interval
    )
    decimals = 3
    while (
        widths and decimals < _MOST_DECIMALS and widths[len(widths) // 2] < 10.0 ** (1 - decimals)
    ):
        decimals += 1
    return decimals


def _shortened(names: Sequence[str], room: int) -> list[str]:
    return [name if len(name) <= room else name[: room - 1] + "…" for name in names]


def _wrapped(text: str, width: int) -> list[str]:
    return wrap(text, width, break_on_hyphens=False)
