"""A board as tables: as text for a terminal, and as HTML for a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING

from fgbench.leaderboard.ranking import ranks
from fgbench.numbers import NOTHING
from fgbench.report.layout import Align, Charset, aligned, cut, width_of, wrapped
from fgbench.report.view import (
    CAPTION,
    CHANCE,
    MARKS,
    RANK_CAPTION,
    CellText,
    Group,
    by_metric,
    cell_text,
    default_metrics,
    groups,
)

if TYPE_CHECKING:
    from rich.text import Text

    from fgbench.leaderboard.models import Entry, Leaderboard
    from fgbench.leaderboard.ranking import Rank

ID_DIGITS = 6
"""Digits of an entry's id in tables; `--entry` takes them where they are unambiguous."""

AGAINST = "real"
"""The control that tables show differences from."""

_NARROWEST, _WIDE, _SHORTEST_NAME = 40, 120, 12


def results_table(
    board: Leaderboard,
    metrics: Sequence[str] | None = None,
    width: int = 80,
    sort: str | None = None,
    *,
    against: str = AGAINST,
    charset: Charset | None = None,
) -> Text:
    """Return the board as text: one table per group, and in it one line per entry.

    The first metric is shown with its interval and its difference from the control `against`, the
    others as numbers, as many as fit into `width` columns. With `sort`, a metric, that is the first
    one, the best entry of each group comes first, and a column shows the interval of its rank.
    """
    from rich.text import Text

    charset = charset or Charset(ascii_only=False)
    width = max(width, _NARROWEST)
    if not board.entries:
        return Text("The board has no entries.\n")
    names = list(metrics) if metrics else default_metrics(board)
    if sort is not None:
        names = [sort, *(name for name in names if name != sort)]
    lines: list[str] = []
    digits = _id_digits([entry.id for entry in board.entries])
    for group in groups(board):
        rank = None if sort is None else ranks(group.entries, sort)
        ordered = group if sort is None else replace(group, entries=by_metric(group.entries, sort))
        lines += [*wrapped(charset.text(group.title), width), ""]
        lines += [
            charset.text(line) for line in _lines(ordered, names, width, against, rank, digits)
        ]
        lines.append("")
    caption = CAPTION if sort is None else f"{CAPTION} {RANK_CAPTION.format(sort)}"
    lines += wrapped(charset.text(caption), width)
    return Text("\n".join(lines) + "\n", no_wrap=True, overflow="ignore", end="")


def results_html(board: Leaderboard, metrics: Sequence[str] | None = None) -> str:
    """Return the board as a plain HTML fragment, every text of it escaped."""
    names = list(metrics) if metrics else default_metrics(board, 5)
    parts = ["<div>"]
    for group in groups(board):
        head = "".join(f"<th>{escape(name)}</th>" for name in ["method", *names])
        parts.append(
            f"<table><caption>{escape(group.title)}; differences from {AGAINST}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>"
        )
        for entry in group.entries:
            cells = [escape(_method(group, entry))]
            cells += [_html_cell(cell_text(entry, name, AGAINST)) for name in names]
            parts.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
        parts.append("</tbody></table>")
    return "".join([*parts, f"<p><small>{escape(CAPTION)}</small></p></div>"])


def _lines(
    group: Group,
    metrics: Sequence[str],
    width: int,
    against: str,
    ranked: Mapping[str, Rank] | None,
    digits: int,
) -> list[str]:
    """Return a group's table; columns that do not fit are left out, the last metrics first."""
    first, *others = metrics
    columns: list[tuple[str, Align, list[str]]] = []
    entries = group.entries
    if ranked is not None:
        columns.append(("rank", "<", [str(ranked.get(entry.id, NOTHING)) for entry in entries]))
    cells = [cell_text(entry, first, against) for entry in entries]
    columns.append(("method", "<", [_method(group, entry) for entry in entries]))
    columns.append((first, ">", _marked([cell.value for cell in cells])))
    required = len(columns)
    if any(cell.interval for cell in cells):
        columns.append(("95 % interval", "<", [cell.interval for cell in cells]))
    if any(cell.measured for cell in cells):
        columns.append(("measured", ">", [cell.measured for cell in cells]))
    if any(cell.delta for cell in cells):
        pairs = zip(entries, cells, strict=True)
        shown = [_difference(entry, cell, against, width) for entry, cell in pairs]
        columns.append((f"− {against}", "<", shown))
    optional: list[tuple[str, Align, list[str]]] = [
        (name, ">", _marked([cell_text(entry, name).value for entry in entries])) for name in others
    ]
    ids: tuple[str, Align, list[str]] = ("id", "<", [entry.id[:digits] for entry in entries])
    gap = "  "
    kept = [*columns, ids]
    for column in optional:
        if _width([*kept, column], gap) <= width:
            kept.insert(-1, column)
    while len(kept) - 1 > required and _width(kept, gap) > width:
        kept.pop(-2)
    if (excess := _width(kept, gap) - width) > 0:
        place = required - 2
        title, align, names = kept[place]
        room = max(_SHORTEST_NAME, max(map(width_of, (title, *names))) - excess)
        kept[place] = (title, align, [cut(name, room) for name in names])
    rows = [[title for title, _, _ in kept]]
    rows += [list(row) for row in zip(*(cells for _, _, cells in kept), strict=True)]
    head, *body = aligned(rows, [align for _, align, _ in kept], gap)
    rule = "─" * max(map(width_of, (head, *body)))
    return [head, rule, *body, rule]


def _width(columns: Sequence[tuple[str, Align, list[str]]], gap: str) -> int:
    widths = [max(map(width_of, (title, *cells))) for title, _, cells in columns]
    return sum(widths) + len(gap) * (len(columns) - 1)


def _id_digits(ids: Sequence[str]) -> int:
    """Return the number of first digits, six or more, that tell all ids apart."""
    most = max(map(len, ids))
    distinct = len(set(ids))
    return next(
        (n for n in range(ID_DIGITS, most) if len({name[:n] for name in ids}) == distinct), most
    )


def _marked(values: list[str]) -> list[str]:
    """Return values with their digits below each other, whether a mark follows or not."""
    if not any(value.endswith(CHANCE) for value in values):
        return values
    return [value if value.endswith(CHANCE) else f"{value} " for value in values]


def _method(group: Group, entry: Entry) -> str:
    """Return an entry's name within its group: its arm, and its calibrator unless neutral."""
    if "calibrator" in entry.neutral:
        return entry.arm
    return f"{entry.arm} + {group.calibrator(entry)}"


def _difference(entry: Entry, cell: CellText, against: str, width: int) -> str:
    if entry.arm == against:
        return "control"
    if width >= _WIDE:
        return cell.difference
    return f"{cell.delta} {MARKS[cell.word]}".strip()


def _html_cell(cell: CellText) -> str:
    facts = [cell.interval, cell.difference]
    small = "".join(f"<br><small>{escape(fact)}</small>" for fact in facts if fact)
    return escape(cell.value) + small
