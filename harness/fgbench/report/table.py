"""A board as tables: for a terminal (rich), and for a notebook (HTML)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING

from fgbench.leaderboard.ranking import ranks
from fgbench.report.view import (
    CAPTION,
    RANK_CAPTION,
    REAL_TITLE,
    SYMBOLS,
    CellText,
    Group,
    Verdict,
    against_real,
    by_metric,
    cell_against_real,
    cell_text,
    default_metrics,
    groups,
)

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from fgbench.leaderboard.models import Entry, Leaderboard
    from fgbench.leaderboard.ranking import Rank

_STYLES: dict[Verdict, str] = {
    "better": "bold green",
    "worse": "bold red",
    "not separable": "dim",
    "": "",
}
_METRIC_WIDTH, _NAMES_WIDTH = 13, 15


def results_table(
    board: Leaderboard,
    metrics: Sequence[str] | None = None,
    width: int = 80,
    sort: str | None = None,
) -> RenderableType:
    """Return the board as rich tables, one per group: arms × calibrators against metrics.

    `width`, that of the terminal in columns, limits the number of metrics and decides whether a
    difference and its interval are on one line. With `sort`, a metric, the best entry of each group
    comes first, and a column shows the interval of each rank.
    """
    from rich.console import Group as Stack
    from rich.text import Text

    if not board.entries:
        return Text("The board has no entries.")
    room = max(1, (width - _NAMES_WIDTH) // (_METRIC_WIDTH + 2))
    if sort is not None:
        room = max(1, room - 1)
    names = list(metrics) if metrics else default_metrics(board, min(4, room))
    if sort is not None and not metrics:
        names = [sort, *(name for name in names if name != sort)][:room]
    wide = width >= _NAMES_WIDTH + len(names) * 28
    tables: list[RenderableType] = []
    for group in groups(board):
        rank = None if sort is None else ranks(group.entries, sort)
        ordered = group if sort is None else replace(group, entries=by_metric(group.entries, sort))
        table = _table(ordered, names, wide, ranked=rank)
        tables += [Text(group.title, style="bold"), table, Text("")]
        if compared := against_real(group):
            title = Text(REAL_TITLE, style="italic")
            rows = replace(group, entries=compared)
            tables += [title, _table(rows, names, wide, cell_against_real), Text("")]
    caption = CAPTION if sort is None else f"{CAPTION} {RANK_CAPTION.format(sort)}"
    return Stack(*tables, Text(caption, style="dim"))


def results_html(board: Leaderboard, metrics: Sequence[str] | None = None) -> str:
    """Return the board as a plain HTML fragment, every text of it escaped."""
    names = list(metrics) if metrics else default_metrics(board, 5)
    parts = ["<div>"]
    shown: list[tuple[Group, str, Callable[[Entry, str], CellText]]] = []
    for group in groups(board):
        shown.append((group, group.title, cell_text))
        if compared := against_real(group):
            shown.append((replace(group, entries=compared), REAL_TITLE, cell_against_real))
    for group, title, cell in shown:
        head = "".join(f"<th>{escape(name)}</th>" for name in ["arm", "calibrator", *names])
        parts.append(
            f"<table><caption>{escape(title)}</caption><thead><tr>{head}</tr></thead><tbody>"
        )
        for entry in group.entries:
            cells = [escape(entry.arm), escape(group.calibrator(entry))]
            cells += [_html_cell(cell(entry, name)) for name in names]
            parts.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
        parts.append("</tbody></table>")
    return "".join([*parts, f"<p><small>{escape(CAPTION)}</small></p></div>"])


def _table(
    group: Group,
    metrics: Sequence[str],
    wide: bool,
    cell: Callable[[Entry, str], CellText] = cell_text,
    ranked: Mapping[str, Rank] | None = None,
) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    if ranked is not None:
        table.add_column("rank", no_wrap=True)
    table.add_column("arm\n  calibrator", overflow="fold")
    for name in metrics:
        table.add_column(_header(name), justify="right", no_wrap=wide, overflow="fold")
    for entry in group.entries:
        names = Text(f"{entry.arm}\n  {group.calibrator(entry)}")  # of data: no markup in it
        rank = [] if ranked is None else [Text(str(ranked.get(entry.id, "—")))]
        table.add_row(*rank, names, *(_cell(cell(entry, name), wide) for name in metrics))
    return table


def _cell(cell: CellText, wide: bool) -> Text:
    from rich.text import Text

    text = Text(cell.value)
    if cell.delta:
        style = _STYLES[cell.verdict]
        interval = f" {cell.interval}" if wide else ""
        start = "\n" if cell.value else ""
        text.append(f"{start}{cell.delta}{interval} {SYMBOLS[cell.verdict]}", style=style)
        if cell.interval and not wide:
            text.append(f"\n{_short(cell.interval)}", style="dim")
    return text


def _header(name: str) -> Text:
    """Break a long name of a metric at its underscores."""
    from rich.text import Text

    lines = [""]
    for word in name.replace("_", "_ ").split():
        if len(lines[-1] + word) > _METRIC_WIDTH and lines[-1]:
            lines.append("")
        lines[-1] += word
    return Text("\n".join(lines))


def _short(interval: str) -> str:
    """Fit an interval into a narrow column: no zero before the point, no space."""
    return interval.replace("+0.", "+.").replace("−0.", "−.").replace(", ", ",")


def _html_cell(cell: CellText) -> str:
    if not cell.delta:
        return escape(cell.value)
    against = f"{cell.delta} {cell.interval} {SYMBOLS[cell.verdict]}"
    start = f"{escape(cell.value)}<br>" if cell.value else ""
    return f"{start}<small>{escape(against)}</small>"
