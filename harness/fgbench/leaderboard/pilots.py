"""Boards as pilots: the predictions from which a plan simulates its power."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fgbench.errors import LeaderboardError
from fgbench.leaderboard.files import PredictionsFolder, board_file, read_board
from fgbench.numbers import plural

if TYPE_CHECKING:
    from fgbench.data import Predictions
    from fgbench.leaderboard.models import Entry


def pilot_predictions(path: Path) -> dict[tuple[str, str], tuple[list[list[Predictions]], str]]:
    """Return the uncalibrated predictions of a board by names of data set and classifier.

    They are those of each arm, the baseline first, by seed; with a note of what they are. Settings
    without a baseline are left out. Raises `LeaderboardError` for a board without any.
    """
    board = read_board(path)
    folder = PredictionsFolder(board_file(path).parent)
    settings: dict[tuple[str, str], list[Entry]] = {}
    for entry in board.entries:
        if "calibrator" in entry.neutral and entry.artifacts.predictions:
            key = (entry.dataset.name, entry.classifier.name)
            settings.setdefault(key, []).append(entry)
    pilots = {}
    for key, entries in settings.items():
        baseline = next((entry for entry in entries if entry.arm == "baseline"), None)
        if baseline is None:
            continue
        alike = [
            entry
            for entry in entries
            if entry.setting() == baseline.setting() and entry.id != baseline.id
        ]
        arms = [
            [folder.read(record) for record in entry.artifacts.predictions]
            for entry in (baseline, *alike)
        ]
        note = f"{len(arms)} arms of {board.name}, {plural(len(baseline.seeds), 'seed')}"
        pilots[key] = (arms, note)
    if not pilots:
        raise LeaderboardError(
            f"{path}: no pilot: it has no predictions of an uncalibrated baseline."
        )
    return pilots
