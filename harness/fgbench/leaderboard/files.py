"""Reading and writing boards, and the predictions that stand beside them."""

from __future__ import annotations

import json
import stat
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_core import from_json

from fgbench.data import Predictions
from fgbench.digests import digest_bytes
from fgbench.errors import LeaderboardError
from fgbench.leaderboard.checksums import board_checksum
from fgbench.leaderboard.migrations import migrated
from fgbench.leaderboard.models import Entry, Leaderboard
from fgbench.leaderboard.serialize import without_collections
from fgbench.store.atomic import write_atomically

if TYPE_CHECKING:
    from fgbench.leaderboard.models import PredictionsFile

BOARD_FILE, REFERENCE_FILE = "leaderboard.json", "reference.json"
"""In a run's folder, and in the folder of a board that comes with fgbench."""


def write_board(board: Leaderboard, path: Path) -> None:
    """Write a board, atomically."""
    write_atomically(path, board.to_bytes())


def read_board(path: Path) -> Leaderboard:
    """Read a board, a run folder's board, or a file that holds a single entry.

    Raises `LeaderboardError` with file and field for anything else.
    """
    file = board_file(path)
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


def board_file(path: Path) -> Path:
    """Return the file of a board: the path itself, or what lies in it if it is a folder."""
    if not path.is_dir():
        return path
    reference = path / REFERENCE_FILE
    return (
        reference if reference.is_file() and not (path / BOARD_FILE).exists() else path / BOARD_FILE
    )


def parse_board(text: str | bytes, where: str) -> Leaderboard:
    """Read a board's text; `where` names it in errors."""
    with without_collections():
        board = _quickly(text) or _patiently(text, where)
    seen: set[str] = set()
    for entry in board.entries:
        if entry.id in seen:
            raise LeaderboardError(f"{where}: the entry id {entry.id} stands twice.")
        seen.add(entry.id)
    return board


def _quickly(text: str | bytes) -> Leaderboard | None:
    """Read a board of this version in one pass over its text; None for anything else."""
    try:
        board = Leaderboard.model_validate_json(text, by_alias=True, by_name=False)
    except ValidationError:
        return None
    return board if "schema_" in board.model_fields_set else None


def _patiently(text: str | bytes, where: str) -> Leaderboard:
    """Read what is no board of this version: an older one, or a single entry; or say what it is."""
    value = _json_value(text, where)
    if not isinstance(value, dict):
        raise LeaderboardError(f"{where}: not a leaderboard: a JSON object is expected.")
    if "entries" not in value and "arm" in value:
        entry: Entry = _validated(Entry, value, where)
        name, created = entry.label, entry.provenance.started or ""
        return Leaderboard(
            name=name,
            created=created,
            entries=[entry],
            checksum=board_checksum(name, created, [entry]) if entry.checksums else None,
        )
    board: Leaderboard = _validated(Leaderboard, migrated(value, where), where)
    return board


class PredictionsFolder:
    """The folder of a board, from which predictions are read; nothing outside of it is touched."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._plain: dict[PurePosixPath, bool] = {PurePosixPath("."): True}

    def path(self, record: PredictionsFile) -> Path:
        """Return where a predictions file is.

        Raises `LeaderboardError` for a path that leaves the folder: absolute, through `..`, or by
        a link, of the file or of a folder on the way.
        """
        relative = PurePosixPath(record.path)
        path = self.folder / relative
        if (
            relative.is_absolute()
            or ".." in relative.parts
            or "\\" in record.path
            or "\0" in record.path
        ):
            raise self._leaves(record)
        if not self._has_no_link(relative.parent) or path.is_symlink():
            raise self._leaves(record, "by a link ")
        return path

    def content(self, record: PredictionsFile) -> bytes:
        """Return a predictions file's bytes, its digest checked.

        Raises `LeaderboardError` that names what is wrong.
        """
        path = self.path(record)
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise LeaderboardError(
                    f"predictions {record.path} of seed {record.seed} cannot be read: it is no "
                    "file."
                )
            content = path.read_bytes()
        except OSError as error:
            raise LeaderboardError(
                f"predictions {record.path} of seed {record.seed} cannot be read: {error.strerror}."
            ) from None
        found = digest_bytes(content)
        if found != record.sha256:
            raise LeaderboardError(
                f"predictions {record.path} of seed {record.seed} have the digest {found[:12]}…, "
                f"the board says {record.sha256[:12]}…: the file was changed."
            )
        return content

    def read(self, record: PredictionsFile) -> Predictions:
        """Return predictions whose digest is right; `LeaderboardError` says what is wrong."""
        return Predictions.read(BytesIO(self.content(record)), str(self.folder / record.path))

    def _has_no_link(self, folder: PurePosixPath) -> bool:
        if folder not in self._plain:
            above = self._has_no_link(folder.parent)
            self._plain[folder] = above and not (self.folder / folder).is_symlink()
        return self._plain[folder]

    def _leaves(self, record: PredictionsFile, how: str = "") -> LeaderboardError:
        return LeaderboardError(
            f"predictions path {record.path!r} {how}leaves the folder of the board, "
            f"{self.folder}: refused."
        )


def read_predictions(folder: Path, record: PredictionsFile) -> Predictions:
    """Read a predictions file whose digest is right; `LeaderboardError` says what is wrong."""
    return PredictionsFolder(folder).read(record)


def _json_value(text: str | bytes, where: str) -> Any:
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        problem = str(error)
    try:  # it is slower and says more
        json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        problem = str(error)
    except RecursionError:
        raise LeaderboardError(f"{where}: not a leaderboard: it is nested too deeply.") from None
    raise LeaderboardError(f"{where}: not JSON: {problem}.")


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


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")
