"""A board as tables: for a terminal (rich), and for a notebook (HTML)."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from fgbench.leaderboard.view import (
    SYMBOLS,
    CellText,
    Group,
    Verdict,
    caption,
    cell_text,
    default_metrics,
    groups,
)

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from fgbench.leaderboard.models import Leaderboard

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
    *,
    whole: Leaderboard | None = None,
) -> RenderableType:
    """Return the board as rich tables, one a group: arms × calibrators against metrics.

    `width` is the terminal's, in columns: it decides how many metrics there is room for, and
    whether a difference and its interval stand on one line. `whole` is the board that `board` is
    a part of: its comparisons are the family that p-values were adjusted over.
    """
    from rich.console import Group as Stack
    from rich.text import Text

    if not board.entries:
        return Text("The board has no entries.")
    room = max(1, (width - _NAMES_WIDTH) // (_METRIC_WIDTH + 2))
    names = list(metrics) if metrics else default_metrics(board, min(4, room))
    wide = width >= _NAMES_WIDTH + len(names) * 28
    tables: list[RenderableType] = []
    for group in groups(board):
        tables += [Text(group.title, style="bold"), _table(group, names, wide), Text("")]
    return Stack(*tables, Text(caption(whole or board), style="dim"))


def results_html(board: Leaderboard, metrics: Sequence[str] | None = None) -> str:
    """Return the board as a plain HTML fragment, every text of it escaped."""
    names = list(metrics) if metrics else default_metrics(board, 5)
    parts = ["<div>"]
    for group in groups(board):
        head = "".join(f"<th>{escape(name)}</th>" for name in ["arm", "calibrator", *names])
        parts.append(
            f"<table><caption>{escape(group.title)}</caption><thead><tr>{head}</tr></thead><tbody>"
        )
        for entry in group.entries:
            cells = [escape(entry.arm), escape(entry.calibrator.label)]
            cells += [_html_cell(cell_text(entry, name)) for name in names]
            parts.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
        parts.append("</tbody></table>")
    return "".join([*parts, f"<p><small>{escape(caption(board))}</small></p></div>"])


def _table(group: Group, metrics: Sequence[str], wide: bool) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("arm\n  calibrator", overflow="fold")
    for name in metrics:
        table.add_column(_header(name), justify="right", no_wrap=wide, overflow="fold")
    for entry in group.entries:
        names = Text(f"{entry.arm}\n  {entry.calibrator.label}")  # of data: no markup in it
        table.add_row(names, *(_cell(cell_text(entry, name), wide) for name in metrics))
    return table


def _cell(cell: CellText, wide: bool) -> Text:
    from rich.text import Text

    text = Text(cell.value)
    if cell.delta:
        style = _STYLES[cell.verdict]
        interval = f" {cell.interval}" if wide else ""
        text.append(f"\n{cell.delta}{interval} {SYMBOLS[cell.verdict]}", style=style)
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
    return f"{escape(cell.value)}<br><small>{escape(against)}</small>"
