"""The measurement grid of a run: every entry and seed, before and after temperature scaling.

Source: Tao et al. 2024 (arXiv 2308.11838).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fgbench import csv_cell, read_predictions
from fgbench.calibration.grid import measure

if TYPE_CHECKING:
    from fgbench import Entry, Leaderboard

STAGES = {"none": "before", "temperature": "after"}
"""The calibrators of the grid, and the values of its column `stage`."""

_COLUMNS = (
    *("entry", "dataset", "classifier", "loss", "generator", "arm", "bins", "calibrator", "stage"),
    *("seed", "measure", "value"),
)


def in_grid(board: Leaderboard) -> list[Entry]:
    """Return the entries that belong to the grid: uncalibrated and temperature-scaled ones."""
    return [entry for entry in board.entries if entry.calibrator.name in STAGES]


def measured(board: Leaderboard, folder: Path) -> Iterator[tuple[Entry, int, dict[str, float]]]:
    """Yield the measurements of each entry of the grid and each of its seeds.

    Raises `LeaderboardError` for predictions that are missing or were modified.
    """
    for entry in in_grid(board):
        for record in entry.artifacts.predictions:
            yield entry, record.seed, measure(read_predictions(folder, record))


def grid_csv(board: Leaderboard, folder: Path) -> str:
    """Return the grid as CSV, one row per measurement; an undefined value is empty.

    A text that a spreadsheet would read as a formula is preceded by an apostrophe.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for entry, seed, values in measured(board, folder):
        names = (
            entry.id,
            entry.dataset.name,
            entry.classifier.label,
            entry.loss.label,
            entry.generator.label if entry.generator else "",
            entry.arm,
            "" if entry.bins is None else str(entry.bins),
            entry.calibrator.label,
            STAGES[entry.calibrator.name],
        )
        safe = [csv_cell(name) for name in names]
        for name, value in values.items():
            writer.writerow([*safe, seed, name, "" if np.isnan(value) else repr(value)])
    return stream.getvalue()
