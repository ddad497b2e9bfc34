"""The boards that plugins bring along: where a board is expected, its name will do."""

from __future__ import annotations

from pathlib import Path

from fgbench.errors import LeaderboardError, did_you_mean
from fgbench.leaderboard.files import BOARD_FILE, REFERENCE_FILE, board_file
from fgbench.plugins.registry import LEADERBOARD, Registry


def bundled_boards(registry: Registry) -> dict[str, Path]:
    """Return the file of each registered board, by name in alphabetical order."""
    return {
        item.name: board_file(Path(item.target)) for item in registry.registrations(LEADERBOARD)
    }


def board_path(source: Path, registry: Registry | None = None) -> Path:
    """Return `source` where it is a board, else the file of the board registered under that name.

    A folder that holds no board, such as that of its page, does not hide a name. `registry` is that
    of the installed plugins if none is passed. Raises `LeaderboardError` for a bare name that is
    neither a path nor registered, and `PluginError` for a name that several plugins claim.
    """
    if source.is_file() or any((source / file).exists() for file in (BOARD_FILE, REFERENCE_FILE)):
        return source
    registry = registry or Registry.load()
    name, names = str(source), registry.names(LEADERBOARD)
    if name in names:
        return board_file(Path(registry.find(LEADERBOARD, name).target))
    if source.exists() or source.suffix or len(source.parts) != 1:
        return source  # reading it reports what is wrong
    raise LeaderboardError(
        f"{source}: no such file, and no leaderboard of that name. {did_you_mean(name, names)}"
    )
