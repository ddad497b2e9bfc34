"""Merging boards: the union of their entries, their predictions copied beside the result."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgbench.errors import LeaderboardError
from fgbench.leaderboard.build import assemble
from fgbench.leaderboard.files import check_digest, predictions_path, read_board, write_board
from fgbench.leaderboard.models import Artifacts, Entry, Leaderboard, entry_id
from fgbench.leaderboard.recompute import Recomputed
from fgbench.store.atomic import write_atomically

if TYPE_CHECKING:
    from fgbench.registry import Registry

_NUMBERS = ("metrics", "undefined", "metric_versions", "statistics", "synthetic")
"""What two entries of one id must agree in; usage, provenance and paths may differ."""


@dataclass(frozen=True)
class _Found:
    entry: Entry
    folder: Path
    source: str


def merge_boards(
    sources: Sequence[Path], output: Path, registry: Registry, *, name: str | None = None
) -> Leaderboard:
    """Merge run folders, boards and single entries into the board `output`, and write it.

    The predictions are copied to `<stem>.predictions/` beside it, so that the board can be
    verified wherever the two go. Merging again, in any order, changes nothing. Raises
    `LeaderboardError` where entries of one id differ in a number, naming both sources.
    """
    found: dict[str, _Found] = {}
    boards = []
    for source in sources:
        board = read_board(source)
        boards.append(board)
        folder = source if source.is_dir() else source.parent
        for entry in board.entries:
            if entry.id != entry_id(entry):
                raise LeaderboardError(
                    f"{source}: entry {entry.id} ({entry.label}) does not have the id of its "
                    f"coordinates, {entry_id(entry)}: it was changed by hand."
                )
            _add(found, _Found(entry, folder, str(source)))
    copied = [_copy_predictions(each, output) for each in found.values()]
    created = min((board.created for board in boards), default="")
    names = sorted({board.name for board in boards})
    title = name if name is not None else (names[0] if len(names) == 1 else output.stem)
    merged = assemble(title, created, copied, _lookup(registry, output.parent))
    write_board(merged, output)
    return merged


def _add(found: dict[str, _Found], new: _Found) -> None:
    old = found.setdefault(new.entry.id, new)
    if old is new:
        return
    place = difference(old.entry, new.entry)
    if place is not None:
        raise LeaderboardError(
            f"entry {new.entry.id} ({new.entry.label}) differs in {place} between {old.source} and "
            f"{new.source}: they cannot be one entry. Rerun one, or keep them on separate boards."
        )
    found[new.entry.id] = min(old, new, key=_age)


def _age(found: _Found) -> tuple[str, str]:
    """The earlier entry wins; at the same moment, the one whose text comes first."""
    provenance = found.entry.provenance.model_dump(mode="json")
    return (found.entry.provenance.started or "", json.dumps(provenance, sort_keys=True))


def difference(first: Entry, second: Entry) -> str | None:
    """Return the first field in which two entries disagree beyond rounding, or None."""
    for name in _NUMBERS:
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


def _copy_predictions(found: _Found, output: Path) -> Entry:
    """Copy an entry's predictions, checked, beside the board; return it with their new paths."""
    records = []
    for record in found.entry.artifacts.predictions:
        source = predictions_path(found.folder, record)
        try:
            check_digest(source, record)
        except LeaderboardError as error:
            raise LeaderboardError(f"{found.source}: entry {found.entry.id}: {error}") from None
        file = f"{output.stem}.predictions/{found.entry.id}-seed{record.seed}.npz"
        target = output.parent / file
        if not (target.exists() and target.samefile(source)):
            write_atomically(target, source.read_bytes())
        records.append(record.model_copy(update={"path": file}))
    return found.entry.model_copy(update={"artifacts": Artifacts(predictions=records)})


def _lookup(registry: Registry, folder: Path) -> Callable[[Entry], Any]:
    """Return the evaluations of an entry, recomputed when a new pair has to be compared."""
    recomputed = Recomputed(registry, folder)
    return lambda entry: (
        recomputed.evaluations(entry)
        if len(entry.artifacts.predictions) == len(entry.seeds)
        else None
    )
