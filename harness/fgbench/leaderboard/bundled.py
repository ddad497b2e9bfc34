"""The boards that come with fgbench, by name: where a file is asked for, a name will do."""

from __future__ import annotations

from pathlib import Path

from fgbench.errors import LeaderboardError, did_you_mean
from fgbench.leaderboard.files import BOARD_FILE, REFERENCE_FILE
from fgbench_leaderboards import BOARDS

_FILES = (BOARD_FILE, REFERENCE_FILE)
"""Of a board that was run here, and of published figures."""


def bundled_boards() -> dict[str, Path]:
    """Return the file of each bundled board, by name in alphabetical order."""
    found = {
        folder.name: folder / file
        for folder in sorted(BOARDS.iterdir())
        for file in _FILES
        if (folder / file).is_file()
    }
    return dict(sorted(found.items()))


def board_path(given: Path) -> Path:
    """Return `given` if there is such a path, else the file of the bundled board of that name.

    A folder that holds no board, the page of one say, does not stand in the way of a name. Raises
    `LeaderboardError` for a bare name that is neither, with the nearest name.
    """
    boards = bundled_boards()
    is_board = given.is_file() or any((given / file).exists() for file in _FILES)
    if is_board or given.suffix or len(given.parts) != 1:
        return given  # what is wrong with it, is said when it is read
    if given.exists() and given.name not in boards:
        return given
    if given.name not in boards:
        raise LeaderboardError(
            f"{given}: there is no such file, and no bundled board of that name. "
            f"{did_you_mean(given.name, boards)}"
        )
    return boards[given.name]
