"""The boards that come with fgbench, by name."""

from __future__ import annotations

from pathlib import Path

from fgbench.errors import LeaderboardError, did_you_mean
from fgbench.leaderboard.files import BOARD_FILE, REFERENCE_FILE
from fgbench_leaderboards import BOARDS

_FILES = (BOARD_FILE, REFERENCE_FILE)
"""The file of a board that was run, and that of published figures."""


def bundled_boards() -> dict[str, Path]:
    """Return the file of each bundled board, by name in alphabetical order."""
    boards = {
        folder.name: folder / file
        for folder in sorted(BOARDS.iterdir())
        for file in _FILES
        if (folder / file).is_file()
    }
    return dict(sorted(boards.items()))


def board_path(path: Path) -> Path:
    """Return `path` if it exists, else the file of the bundled board of that name.

    A folder without a board (the page of one, for example) does not hide a bundled board. Raises
    `LeaderboardError` for a bare name that is neither, with the nearest name.
    """
    boards = bundled_boards()
    is_board = path.is_file() or any((path / file).exists() for file in _FILES)
    if is_board or path.suffix or len(path.parts) != 1:
        return path  # problems are reported when it is read
    if path.exists() and path.name not in boards:
        return path
    if path.name not in boards:
        raise LeaderboardError(
            f"{path}: no such file, and no bundled board of that name. "
            f"{did_you_mean(path.name, boards)}"
        )
    return boards[path.name]
