"""The diagnostics of a run, prepared for the page: one portrait a generator."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from fgbench.diagnostics.models import DIAGNOSTICS_FILE, Diagnostics, SetRecord
from fgbench.diagnostics.shifts import Movement, movements
from fgbench.errors import LeaderboardError
from fgbench.loop.arms import ARMS
from fgbench.report.figures import SECTIONS, Figure
from fgbench.report.view import signed


@dataclass(frozen=True)
class Cell:
    """A figure, and what to hold it against."""

    value: str
    reference: str


@dataclass(frozen=True)
class Row:
    """One figure of all sets: its name, what it means, and a cell a set."""

    name: str
    meaning: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class ShiftRow:
    """What one arm did to the bins that were asked to move one way."""

    arm: str
    direction: str
    movement: Movement
    asked: str
    change: str
    beyond_real: str
    by_seed: str
    confidence: str
    accuracy: str
    gap: str


@dataclass(frozen=True)
class Portrait:
    """What one generator's inputs are like, for one data set and classifier, over all seeds."""

    title: str
    columns: tuple[str, ...]
    sections: tuple[tuple[str, tuple[Row, ...]], ...]
    shifts: tuple[tuple[str, tuple[ShiftRow, ...]], ...]
    notes: tuple[str, ...]


def read_portraits(folder: Path) -> list[Portrait]:
    """Read a run's diagnostics, if it has them. Raises `LeaderboardError` for another file."""
    path = folder / DIAGNOSTICS_FILE
    try:
        found = Diagnostics.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, ValidationError) as error:
        reason = str(error).partition("\n")[0]
        raise LeaderboardError(
            f"{path}: not the diagnostics of a run ({reason}): run the suite again."
        ) from None
    groups: dict[tuple[str, ...], list[SetRecord]] = {}
    for item in found.sets:
        groups.setdefault(item.parts, []).append(item)
    return [_portrait(items) for items in groups.values()]


def _portrait(items: Sequence[SetRecord]) -> Portrait:
    sets: dict[tuple[str, int], list[SetRecord]] = {}
    for item in items:
        sets.setdefault((item.design, item.bins), []).append(item)
    first = items[0]
    names = [f"{bins} bins, {design}" for design, bins in sets]
    sections = []
    for title, figures in SECTIONS:
        rows = [_row(figure, list(sets.values())) for figure in figures]
        sections.append((title, tuple(row for row in rows if row is not None)))
    notes = {f"{what}: {why}" for item in items for what, why in item.skipped.items()}
    return Portrait(
        title=" · ".join(first.parts),
        columns=tuple(names),
        sections=tuple((title, rows) for title, rows in sections if rows),
        shifts=tuple(
            (name, _shift_rows(seeds))
            for name, seeds in zip(names, sets.values(), strict=True)
            if any(item.shifts for item in seeds)
        ),
        notes=tuple(sorted(notes)),
    )


def _row(figure: Figure, sets: Sequence[Sequence[SetRecord]]) -> Row | None:
    """Average a figure over the seeds of each set; None where no set has it."""
    cells = []
    for seeds in sets:
        value = _average(figure.of(item) for item in seeds)
        other = _average(figure.reference(item) for item in seeds) if figure.reference else None
        cells.append(
            Cell(
                "—" if value is None else figure.show(value),
                "" if other is None else f"{figure.beside} {figure.show(other)}",
            )
        )
    known = any(cell.value != "—" for cell in cells)
    return Row(figure.name, figure.meaning, tuple(cells)) if known else None


def _shift_rows(seeds: Sequence[SetRecord]) -> tuple[ShiftRow, ...]:
    rows = []
    for arm in sorted({arm for item in seeds for arm in item.shifts}, key=_arm_order):
        having = [item for item in seeds if arm in item.shifts]
        found = movements(
            [item.shifts[arm] for item in having], [item.shifts.get("real") for item in having]
        )
        for direction, moved in found.items():
            rows.append(
                ShiftRow(
                    arm=arm,
                    direction=direction,
                    movement=moved,
                    asked=signed(moved.asked),
                    change=signed(moved.change),
                    beyond_real=(
                        ""
                        if moved.beyond_real is None or arm == "real"
                        else signed(moved.beyond_real)
                    ),
                    by_seed="" if arm == "real" else _range(having, arm, direction),
                    confidence=signed(moved.confidence),
                    accuracy=signed(moved.accuracy),
                    gap=signed(moved.gap),
                )
            )
    return tuple(sorted(rows, key=lambda row: (row.direction, _arm_order(row.arm))))


def _range(seeds: Sequence[SetRecord], arm: str, direction: str) -> str:
    """Return the least and the largest of what single seeds have beyond the control."""
    alone = [movements([item.shifts[arm]], [item.shifts.get("real")]) for item in seeds]
    values = [found[direction].beyond_real for found in alone if direction in found]
    known = [value for value in values if value is not None]
    return f"{signed(min(known))} … {signed(max(known))}" if len(known) > 1 else ""


def _arm_order(arm: str) -> tuple[int, str]:
    return ARMS.index(arm) if arm in ARMS else len(ARMS), arm


def _average(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
