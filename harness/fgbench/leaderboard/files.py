"""Read and write boards and the predictions next to them."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from fgbench.data import Predictions
from fgbench.digests import digest_bytes
from fgbench.errors import LeaderboardError, validation_sentence
from fgbench.foreign import BOARD, PREDICTIONS, parse_json, read_bytes, read_text
from fgbench.leaderboard.checksums import board_checksum
from fgbench.leaderboard.migrations import OLD_FIELDS, migrated, with_contrasts
from fgbench.leaderboard.models import Entry, Leaderboard
from fgbench.primary import Primary
from fgbench.store.atomic import write_atomically

if TYPE_CHECKING:
    from fgbench.leaderboard.models import PredictionsFile

BOARD_FILE, REFERENCE_FILE = "leaderboard.json", "reference.json"
"""In the folder of a run, and in the folder of published figures."""

DERIVED = ("verdict",)
"""What printed boards have in addition: it follows from the rest, and is not read."""


@contextmanager
def without_collections() -> Iterator[None]:
    """Pause the garbage collector, which would walk the millions of records of a large board.

    Objects created meanwhile count as old afterwards, so that they are not walked at once.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.freeze()
            gc.unfreeze()
            gc.enable()


def write_board(board: Leaderboard, path: Path) -> None:
    """Write a board, atomically; it is made to be passed on, so the umask decides who reads it."""
    with without_collections():
        content = board.to_bytes()
    write_atomically(path, content, public=True)


def read_board(path: Path) -> Leaderboard:
    """Read a board, a run folder's board, or a file that holds a single entry.

    Raises `LeaderboardError` with file and field for anything else.
    """
    file = board_file(path)
    if file != path and not file.exists():
        raise LeaderboardError(
            f"{path}: no {BOARD_FILE} in this folder; name the folder of a finished run."
        )
    return parse_board(read_text(file, BOARD), str(file))


def board_file(path: Path) -> Path:
    """Return the file of a board: the path itself, or the board in it if it is a folder."""
    if not path.is_dir():
        return path
    reference = path / REFERENCE_FILE
    return (
        reference if reference.is_file() and not (path / BOARD_FILE).exists() else path / BOARD_FILE
    )


def parse_board(text: str | bytes, where: str) -> Leaderboard:
    """Read a board's text; `where` names it in errors."""
    with without_collections():
        board = _parse_current(text) or _parse_other(text, where)
    seen: set[str] = set()
    for entry in board.entries:
        if entry.id in seen:
            raise LeaderboardError(f"{where}: duplicate entry id {entry.id}.")
        seen.add(entry.id)
    return board


def _parse_current(text: str | bytes) -> Leaderboard | None:
    """Read a board of this version in one pass over its text; None for anything else."""
    try:
        board = Leaderboard.model_validate_json(text, by_alias=True, by_name=False)
    except ValidationError:
        return None
    return board if "schema_" in board.model_fields_set else None


def _parse_other(text: str | bytes, where: str) -> Leaderboard:
    """Read an older board or a single entry; raise `LeaderboardError` for anything else."""
    try:
        value = parse_json(text)
    except ValueError as error:
        raise LeaderboardError(f"{where}: not JSON ({error}).") from None
    if not isinstance(value, dict):
        raise LeaderboardError(f"{where}: not a leaderboard: expected a JSON object.")
    value = {name: item for name, item in value.items() if name not in DERIVED}
    if "entries" not in value and "arm" in value:
        is_old = not OLD_FIELDS.isdisjoint(value)
        entry: Entry = _validated(Entry, with_contrasts(value) if is_old else value, where)
        name, created = entry.label, entry.provenance.started or ""
        return Leaderboard(
            name=name,
            created=created,
            entries=[entry],
            checksum=board_checksum(name, created, [entry], Primary()) if entry.checksums else None,
        )
    board: Leaderboard = _validated(Leaderboard, migrated(value, where), where)
    return board


class PredictionsFolder:
    """The folder of a board, to read predictions from; paths that leave it are refused."""

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
        where = f"predictions {record.path} of seed {record.seed}"
        try:
            path = self.path(record)
            path.stat()
        except OSError as error:
            raise LeaderboardError(f"{where} cannot be read: {error.strerror}.") from None
        content = read_bytes(path, PREDICTIONS, where=where)
        sha256 = digest_bytes(content)
        if sha256 != record.sha256:
            raise LeaderboardError(
                f"{where}: digest mismatch: {sha256[:12]}…,"
                f" on the board {record.sha256[:12]}…. The file was changed."
            )
        return content

    def read(self, record: PredictionsFile) -> Predictions:
        """Return predictions, their digest checked; raise `LeaderboardError` if that fails."""
        return Predictions.read(BytesIO(self.content(record)), str(self.folder / record.path))

    def _has_no_link(self, folder: PurePosixPath) -> bool:
        return all(self._is_plain(part) for part in (folder, *folder.parents))

    def _is_plain(self, folder: PurePosixPath) -> bool:
        if folder not in self._plain:
            self._plain[folder] = not (self.folder / folder).is_symlink()
        return self._plain[folder]

    def _leaves(self, record: PredictionsFile, how: str = "") -> LeaderboardError:
        return LeaderboardError(
            f"predictions path {record.path!r} {how}leaves the folder of the board, "
            f"{self.folder}; refused."
        )


def read_predictions(folder: Path, record: PredictionsFile) -> Predictions:
    """Read a predictions file, its digest checked; raise `LeaderboardError` if that fails."""
    return PredictionsFolder(folder).read(record)


def _validated(model: Any, value: Any, where: str) -> Any:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise LeaderboardError(f"{where}: {validation_sentence(error)}") from None
