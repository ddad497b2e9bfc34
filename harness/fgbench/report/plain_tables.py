"""The results of a board as plain HTML tables, for readers without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fgbench.leaderboard.contrasts import CONTROLS
from fgbench.report.view import (
    CellText,
    Group,
    against_control,
    cell_text,
    default_metrics,
    groups,
)

if TYPE_CHECKING:
    from fgbench.leaderboard.models import Entry, Leaderboard

MOST_ROWS = 200
"""A board of more entries has no plain tables: they would make the page heavy for everybody."""

_MOST_METRICS = 5


@dataclass(frozen=True)
class Row:
    """One entry of a table: its cells, and for each a reason where there is no value."""

    entry: Entry
    calibrator: str
    cells: tuple[tuple[CellText, str], ...]


@dataclass(frozen=True)
class Section:
    """A group of the board: for each control, the entries that are compared with it."""

    title: str
    tables: tuple[tuple[str, tuple[Row, ...]], ...]


def static_columns(board: Leaderboard) -> list[str]:
    """Return the metrics of the plain tables."""
    return default_metrics(board, _MOST_METRICS)


def static_sections(board: Leaderboard) -> list[Section]:
    """Return the board's groups as tables; none where it has too many entries."""
    if len(board.entries) > MOST_ROWS:
        return []
    columns = static_columns(board)
    return [
        Section(
            group.title,
            (
                (
                    "baseline",
                    tuple(_row(group, entry, columns, "baseline") for entry in group.entries),
                ),
                *(
                    (control, tuple(_row(group, entry, columns, control) for entry in compared))
                    for control in CONTROLS[1:]
                    if (compared := against_control(group, control))
                ),
            ),
        )
        for group in groups(board)
    ]


def _row(group: Group, entry: Entry, columns: Sequence[str], control: str) -> Row:
    cells = tuple(
        (cell_text(entry, name, control), entry.undefined.get(name, "")) for name in columns
    )
    return Row(entry, group.calibrator(entry), cells)
