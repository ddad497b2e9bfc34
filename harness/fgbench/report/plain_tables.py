"""The results of a board as plain HTML tables, for readers without scripts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fgbench.report.view import (
    CellText,
    against_real,
    cell_against_real,
    cell_text,
    default_metrics,
    groups,
    number,
)

if TYPE_CHECKING:
    from fgbench.leaderboard.models import Entry, Leaderboard

MOST_ROWS = 200
"""A board of more entries has no plain tables: they would make the page heavy for everybody."""

_MOST_METRICS = 5


@dataclass(frozen=True)
class Row:
    """One entry of a table: its cells, and the CI of each mean."""

    entry: Entry
    calibrator: str
    cells: tuple[tuple[CellText, str], ...]


@dataclass(frozen=True)
class Section:
    """A group of the board: its tables."""

    title: str
    rows: tuple[Row, ...]
    against_real: tuple[Row, ...]


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
            tuple(
                Row(
                    entry,
                    group.calibrator(entry),
                    tuple((cell_text(entry, name), _interval(entry, name)) for name in columns),
                )
                for entry in group.entries
            ),
            tuple(
                Row(
                    entry,
                    group.calibrator(entry),
                    tuple((cell_against_real(entry, name), "") for name in columns),
                )
                for entry in against_real(group)
            ),
        )
        for group in groups(board)
    ]


def _interval(entry: Entry, metric: str) -> str:
    record = entry.metrics.get(metric)
    if record is None:
        return entry.undefined.get(metric, "")
    facts = []
    if record.ci95 is not None:
        ends = f"95 % interval {number(record.ci95[0])} to {number(record.ci95[1])}"
        of = "" if record.corrected is None else f"without chance {number(record.corrected)}, "
        facts.append(of + ends)
    if record.noise_floor is not None:
        facts.append(f"noise floor {number(record.noise_floor)}")
    return "; ".join(facts)
