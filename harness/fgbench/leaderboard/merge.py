"""Merge boards: the union of their entries, with their predictions copied next to it."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgbench.coordinates import entry_id
from fgbench.digests import digest_file
from fgbench.errors import LeaderboardError
from fgbench.leaderboard.build import assemble
from fgbench.leaderboard.files import (
    PredictionsFolder,
    read_board,
    without_collections,
    write_board,
)
from fgbench.leaderboard.models import Artifacts, Entry, Leaderboard
from fgbench.leaderboard.recompute import Recomputed
from fgbench.store.atomic import cannot_write, remove_leftovers, replace, temporary_folder

if TYPE_CHECKING:
    from fgbench.plugins.registry import Registry

_NUMBERS = ("metrics", "undefined", "metric_versions", "statistics", "synthetic")
"""What entries of one id must agree in; usage, provenance and paths may differ."""

_TIMEOUT = 600
"""Seconds to wait for another build of the same board."""


@dataclass(frozen=True)
class _Source:
    entry: Entry
    folder: PredictionsFolder
    source: str


def merge_boards(
    sources: Sequence[Path],
    output: Path,
    registry: Registry,
    *,
    name: str | None = None,
    replace: bool = False,
) -> Leaderboard:
    """Merge run folders, boards and single entries into the board `output`, and write it.

    An existing board is merged in, unless `replace` is set. Processes that write the same board
    wait for each other, so that no entries are lost. The predictions are copied to
    `<stem>.predictions/` next to the board, so that it can be verified wherever the two are moved.
    Merging again, in any order, changes nothing. Raises `LeaderboardError` with both sources if
    entries of one id differ in a number; then nothing is overwritten.
    """
    if output.is_dir():
        raise LeaderboardError(f"{output} is a folder; name the file to write.")
    with _locked(output), without_collections():
        existing = [] if replace or not output.exists() else [output]
        sources = [*existing, *(source for source in sources if source not in existing)]
        return _merge(sources, output, registry, name)


def _merge(
    sources: Sequence[Path], output: Path, registry: Registry, name: str | None
) -> Leaderboard:
    by_id: dict[str, _Source] = {}
    boards = []
    for source in sources:
        board = read_board(source)
        boards.append(board)
        folder = PredictionsFolder(source if source.is_dir() else source.parent)
        for entry in board.entries:
            if entry.id != entry_id(entry):
                raise LeaderboardError(
                    f"{source}: entry {entry.id} ({entry.label}): its coordinates have the id "
                    f"{entry_id(entry)}. The file was edited."
                )
            _add(by_id, _Source(entry, folder, str(source)))
    created = min((board.created for board in boards), default="")
    names = sorted({board.name for board in boards})
    title = name if name is not None else (names[0] if len(names) == 1 else output.stem)
    with contextlib.ExitStack() as stack:
        copies = _Copies(output, stack)
        copied = [copies.of(item) for item in by_id.values()]
    declared = {board.primary.model_dump_json(): board.primary for board in boards}
    primary = next(iter(declared.values())) if len(declared) == 1 else None
    shown = [name for board in boards for name in board.shown]
    merged = assemble(title, created, copied, _lookup(registry, output.parent), primary, shown)
    write_board(merged, output)
    return merged


@contextlib.contextmanager
def _locked(output: Path) -> Iterator[None]:
    """Lock a board while this process reads, merges and writes it."""
    from filelock import FileLock, Timeout

    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(output.with_name(f".{output.name}.lock"))
        lock.acquire(timeout=_TIMEOUT)
    except Timeout:
        raise LeaderboardError(
            f"{output}: locked by another process for {_TIMEOUT // 60} minutes. Wait for it to "
            "finish, or choose another file."
        ) from None
    except OSError as error:
        raise cannot_write(output, error) from error
    try:
        yield
    finally:
        lock.release()


def _add(by_id: dict[str, _Source], new: _Source) -> None:
    old = by_id.setdefault(new.entry.id, new)
    if old is new:
        return
    place = difference(old.entry, new.entry)
    if place is not None:
        raise LeaderboardError(
            f"entry {new.entry.id} ({new.entry.label}) differs in {place} between {old.source} and "
            f"{new.source}. Rerun one of them, or keep them on separate boards."
        )
    by_id[new.entry.id] = min(old, new, key=_priority)


def _priority(source: _Source) -> tuple[int, str, str]:
    """Return the sort key of duplicates: most predictions, then earliest, then by provenance."""
    entry = source.entry
    provenance = entry.provenance.model_dump(mode="json")
    return (
        -len(entry.artifacts.predictions),
        entry.provenance.started or "",
        json.dumps(provenance, sort_keys=True),
    )


def difference(first: Entry, second: Entry) -> str | None:
    """Return the first field in which two entries disagree beyond rounding, or None."""
    for name in _NUMBERS:
        if getattr(first, name) == getattr(second, name):
            continue
        one = first.model_dump(mode="json", include={name})
        other = second.model_dump(mode="json", include={name})
        place = _difference(one, other, "")
        if place is not None:
            return place
    return None


def _difference(one: Any, other: Any, place: str) -> str | None:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(set(one) | set(other)):
            path = f"{place}.{key}" if place else key
            if key not in one or key not in other:
                return path
            if (deeper := _difference(one[key], other[key], path)) is not None:
                return deeper
        return None
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, pair in enumerate(zip(one, other, strict=True)):
            if (deeper := _difference(*pair, f"{place}[{index}]")) is not None:
                return deeper
        return None
    if isinstance(one, float) and isinstance(other, float):
        return None if math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12) else place
    return None if one == other else place


class _Copies:
    """Copies predictions next to a board, under names made from their digests."""

    def __init__(self, output: Path, stack: contextlib.ExitStack) -> None:
        self._open = stack
        self._scratch: Path | None = None
        self._output = output
        self._folder = output.parent / f"{output.stem}.predictions"
        if self._folder.is_symlink():
            raise LeaderboardError(
                f"{self._folder} is a link, and files written there would leave the folder of the "
                "board. Remove it."
            )
        remove_leftovers(self._folder)
        present = self._folder.iterdir() if self._folder.is_dir() else ()
        self._here = {path.name for path in present}

    def of(self, source: _Source) -> Entry:
        """Copy an entry's predictions, checked; return the entry with their new paths.

        A copy is complete or absent, even if the process is killed. It is not synced to disk: the
        next build replaces what a power failure destroys.
        """
        records = []
        for record in source.entry.artifacts.predictions:
            try:
                content = source.folder.content(record)
            except LeaderboardError as error:
                raise LeaderboardError(
                    f"{source.source}: entry {source.entry.id}: {error}"
                ) from None
            name = f"{source.entry.id}-seed{record.seed}-{record.sha256[:12]}.npz"
            if not self._has(name, record.sha256, source.folder.folder / record.path):
                self._write(self._folder / name, content)
            records.append(record.model_copy(update={"path": f"{self._folder.name}/{name}"}))
        if records == source.entry.artifacts.predictions:
            return source.entry
        return source.entry.model_copy(update={"artifacts": Artifacts(predictions=records)})

    def _has(self, name: str, sha256: str, source: Path) -> bool:
        if name not in self._here:
            return False
        path = self._folder / name
        if path == source:
            return True
        return not path.is_symlink() and path.is_file() and digest_file(path) == sha256

    def _write(self, path: Path, content: bytes) -> None:
        try:
            if self._scratch is None:
                self._folder.mkdir(exist_ok=True)
                self._scratch = self._open.enter_context(temporary_folder(self._folder))
            temporary = self._scratch / path.name
            temporary.write_bytes(content)
            replace(temporary, path)
        except OSError as error:
            raise cannot_write(path, error) from error


def _lookup(registry: Registry, folder: Path) -> Callable[[Entry], Any]:
    """Return a function that recomputes the evaluations of an entry, for new comparisons."""
    recomputed = Recomputed(registry, folder)
    return lambda entry: (
        recomputed.evaluations(entry)
        if len(entry.artifacts.predictions) == len(entry.seeds)
        else None
    )
