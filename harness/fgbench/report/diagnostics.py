"""The diagnostics of a run, prepared for the page: one summary per generator."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from fgbench.coordinates import dose_text
from fgbench.diagnostics.models import DIAGNOSTICS_FILE, Diagnostics, SetRecord
from fgbench.diagnostics.shifts import Movement, movements
from fgbench.errors import LeaderboardError, validation_sentence
from fgbench.foreign import DIAGNOSTICS, read_json
from fgbench.loop.arms import ARMS
from fgbench.numbers import signed
from fgbench.report.diagnostic_measures import SECTIONS, Measure


@dataclass(frozen=True)
class Cell:
    """A value and its reference value, as text; `reference` is empty without one."""

    value: str
    reference: str


@dataclass(frozen=True)
class Row:
    """One measure: its name, its meaning, and one cell per set of samples."""

    name: str
    meaning: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class ShiftRow:
    """How one arm moved the bins whose target lies in one direction."""

    arm: str
    direction: str
    movement: Movement
    target: str
    change: str
    beyond_real: str
    by_seed: str
    confidence: str
    accuracy: str
    gap: str


@dataclass(frozen=True)
class GeneratorSummary:
    """Diagnostics of one generator's inputs, for one data set and classifier, over all seeds."""

    title: str
    columns: tuple[str, ...]
    sections: tuple[tuple[str, tuple[Row, ...]], ...]
    shifts: tuple[tuple[str, tuple[ShiftRow, ...]], ...]
    notes: tuple[str, ...]


def read_summaries(folder: Path) -> list[GeneratorSummary]:
    """Read a run's diagnostics; without a file of them, return an empty list.

    Raises `LeaderboardError` where the file is invalid.
    """
    path = folder / DIAGNOSTICS_FILE
    if not path.exists():
        return []
    try:
        diagnostics = Diagnostics.model_validate(read_json(path, DIAGNOSTICS))
    except ValidationError as error:
        raise LeaderboardError(
            f"{path}: not the diagnostics of a run: {validation_sentence(error)} Run the suite "
            "again."
        ) from None
    groups: dict[tuple[str, ...], list[SetRecord]] = {}
    for item in diagnostics.sets:
        groups.setdefault(item.parts, []).append(item)
    return [_summary(items) for items in groups.values()]


def _summary(items: Sequence[SetRecord]) -> GeneratorSummary:
    sets: dict[tuple[str, int, float], list[SetRecord]] = {}
    for item in items:
        sets.setdefault((item.design, item.bins, item.dose), []).append(item)
    first = items[0]
    names = [f"{bins} bins{dose_text(dose)}, {design}" for design, bins, dose in sets]
    sections = []
    for title, measures in SECTIONS:
        rows = [_row(measure, list(sets.values())) for measure in measures]
        sections.append((title, tuple(row for row in rows if row is not None)))
    notes = {f"{what}: {why}" for item in items for what, why in item.skipped.items()}
    return GeneratorSummary(
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


def _row(measure: Measure, sets: Sequence[Sequence[SetRecord]]) -> Row | None:
    """Average a measure over the seeds of each set; return None where no set has it."""
    cells = []
    for seeds in sets:
        value = _average(measure.value(item) for item in seeds)
        reference = (
            _average(measure.reference(item) for item in seeds) if measure.reference else None
        )
        cells.append(
            Cell(
                "—" if value is None else measure.format(value),
                ""
                if reference is None
                else f"{measure.reference_name} {measure.format(reference)}",
            )
        )
    has_value = any(cell.value != "—" for cell in cells)
    return Row(measure.name, measure.meaning, tuple(cells)) if has_value else None


def _shift_rows(seeds: Sequence[SetRecord]) -> tuple[ShiftRow, ...]:
    rows = []
    for arm in sorted({arm for item in seeds for arm in item.shifts}, key=_arm_order):
        records = [item for item in seeds if arm in item.shifts]
        pooled = movements(
            [item.shifts[arm] for item in records], [item.shifts.get("real") for item in records]
        )
        for direction, movement in pooled.items():
            rows.append(
                ShiftRow(
                    arm=arm,
                    direction=direction,
                    movement=movement,
                    target=signed(movement.asked),
                    change=signed(movement.change),
                    beyond_real=(
                        ""
                        if movement.beyond_real is None or arm == "real"
                        else signed(movement.beyond_real)
                    ),
                    by_seed="" if arm == "real" else _range(records, arm, direction),
                    confidence=signed(movement.confidence),
                    accuracy=signed(movement.accuracy),
                    gap=signed(movement.gap),
                )
            )
    return tuple(sorted(rows, key=lambda row: (row.direction, _arm_order(row.arm))))


def _range(seeds: Sequence[SetRecord], arm: str, direction: str) -> str:
    """Return the minimum and maximum over seeds of the change beyond the control."""
    by_seed = [movements([item.shifts[arm]], [item.shifts.get("real")]) for item in seeds]
    values = [item[direction].beyond_real for item in by_seed if direction in item]
    defined = [value for value in values if value is not None]
    return f"{signed(min(defined))} … {signed(max(defined))}" if len(defined) > 1 else ""


def _arm_order(arm: str) -> tuple[int, str]:
    return ARMS.index(arm) if arm in ARMS else len(ARMS), arm


def _average(values: Iterable[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None
