"""Reading and writing boards, and the predictions that stand beside them."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from fgbench.data import Predictions
from fgbench.digests import digest_file
from fgbench.errors import LeaderboardError
from fgbench.leaderboard.models import SCHEMA, Entry, Leaderboard
from fgbench.store.atomic import write_atomically

if TYPE_CHECKING:
    from fgbench.leaderboard.models import PredictionsFile

BOARD_FILE = "leaderboard.json"


def write_board(board: Leaderboard, path: Path) -> None:
    """Write a board, atomically."""
    write_atomically(path, board.to_json())


def read_board(path: Path) -> Leaderboard:
    """Read a board, a run folder's board, or a file that holds a single entry.

    Raises `LeaderboardError` with file and field for anything else.
    """
    file = path / BOARD_FILE if path.is_dir() else path
    try:
        text = file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        if path.is_dir():
            raise LeaderboardError(
                f"{path}: it holds no {BOARD_FILE}; name the folder of a finished run."
            ) from None
        raise LeaderboardError(f"{path}: there is no such file.") from None
    except UnicodeDecodeError as error:
        raise LeaderboardError(f"{file}: not UTF-8 text (byte {error.start}).") from None
    except OSError as error:
        raise LeaderboardError(f"{file}: cannot be read: {error.strerror}.") from None
    return parse_board(text, str(file))


def parse_board(text: str, where: str) -> Leaderboard:
    """Read a board's text; `where` names it in errors."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise LeaderboardError(f"{where}: not JSON: {error}.") from None
    except RecursionError:
        raise LeaderboardError(f"{where}: not a leaderboard: it is nested too deeply.") from None
    if not isinstance(value, dict):
        raise LeaderboardError(f"{where}: not a leaderboard: a JSON object is expected.")
    if "entries" not in value and "arm" in value:
        entry = _validated(Entry, value, where)
        return Leaderboard(
            name=entry.label, created=entry.provenance.started or "", entries=[entry]
        )
    _check_schema(value.get("schema"), where)
    board: Leaderboard = _validated(Leaderboard, value, where)
    seen: set[str] = set()
    for entry in board.entries:
        if entry.id in seen:
            raise LeaderboardError(f"{where}: the entry id {entry.id} stands twice.")
        seen.add(entry.id)
    return board


def predictions_path(folder: Path, record: PredictionsFile) -> Path:
    """Return where a predictions file is; one that leaves `folder` is a `LeaderboardError`."""
    relative = PurePosixPath(record.path)
    path = folder / relative
    inside = path.resolve().is_relative_to(folder.resolve())
    if relative.is_absolute() or ".." in relative.parts or "\\" in record.path or not inside:
        raise LeaderboardError(
            f"predictions path {record.path!r} leaves the folder of the board, {folder}: refused."
        )
    return path


def read_predictions(folder: Path, record: PredictionsFile) -> Predictions:
    """Read a predictions file whose digest is right; `LeaderboardError` says what is wrong."""
    path = predictions_path(folder, record)
    check_digest(path, record)
    return Predictions.load(path)


def check_digest(path: Path, record: PredictionsFile) -> None:
    """Raise `LeaderboardError` unless the file at `path` is the one that the board speaks of."""
    try:
        found = digest_file(path)
    except OSError as error:
        raise LeaderboardError(
            f"predictions {record.path} of seed {record.seed} cannot be read: {error.strerror}."
        ) from None
    if found != record.sha256:
        raise LeaderboardError(
            f"predictions {record.path} of seed {record.seed} have the digest {found[:12]}…, the "
            f"board says {record.sha256[:12]}…: the file was changed."
        )


def _validated(model: Any, value: Any, where: str) -> Any:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        place = _place(errors[0]["loc"])
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise LeaderboardError(f"{where}: {place}: {errors[0]['msg']}{more}.") from None


def _place(location: tuple[int | str, ...]) -> str:
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.lstrip(".") or "the board"


def _check_schema(found: Any, where: str) -> None:
    if found == SCHEMA:
        return
    kind, _, version = str(found).partition("/")
    known_kind, _, known = SCHEMA.partition("/")
    if kind == known_kind and version.isdigit() and int(version) > int(known):
        raise LeaderboardError(
            f"{where}: its schema {found} is newer than this fgbench reads ({SCHEMA}): upgrade."
        )
    raise LeaderboardError(f"{where}: schema: {found!r} is not {SCHEMA!r}.")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")
