"""Verification: everything on a board that can be computed is computed again and compared."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgbench.errors import FgbenchError
from fgbench.leaderboard.build import assemble, build_entry
from fgbench.leaderboard.files import read_board
from fgbench.leaderboard.models import entry_id
from fgbench.leaderboard.recompute import Recomputed

if TYPE_CHECKING:
    from fgbench.calibration.statistics import Evaluation
    from fgbench.leaderboard.models import Entry, Leaderboard
    from fgbench.registry import Registry

RELATIVE_TOLERANCE = 1e-7
ABSOLUTE_TOLERANCE = 1e-9
"""Other machines round exponentials and sums differently; a tampered number is farther off."""


@dataclass
class Verification:
    """What was checked, and each thing that is wrong, one sentence each."""

    entries: int = 0
    files: int = 0
    numbers: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify_board(path: Path, registry: Registry) -> Verification:
    """Verify a board: schema, ids, digests, and every number against the stored predictions.

    Raises `LeaderboardError` for a file that is no board at all; everything else that is wrong
    stands in the result.
    """
    board = read_board(path)
    folder = path if path.is_dir() else path.parent
    result = Verification(entries=len(board.entries))
    recomputed = Recomputed(registry, folder)
    evaluations: dict[str, list[Evaluation]] = {}
    for entry in board.entries:
        for problem in _coordinate_problems(entry, recomputed):
            result.problems.append(f"{_name(entry)}: {problem}")
        try:
            evaluations[entry.id] = recomputed.evaluations(entry)
        except FgbenchError as error:
            result.problems.append(f"{_name(entry)}: {error}")
            continue
        result.files += len(entry.seeds)
    expected = _rebuilt(board, evaluations)
    for entry in board.entries:
        for place, stored, computed in _differences(entry, expected, entry.id in evaluations):
            result.numbers += 1
            if not _same(stored, computed):
                result.problems.append(
                    f"{_name(entry)}: {place} is {_say(stored)} on the board and "
                    f"{_say(computed)} recomputed."
                )
    return result


def _rebuilt(board: Leaderboard, evaluations: dict[str, list[Evaluation]]) -> dict[str, Entry]:
    """Return the entries as they must be, built again from the evaluations."""
    entries = []
    on_board = {entry.id for entry in board.entries}
    for entry in board.entries:
        if entry.id in evaluations:
            fresh = build_entry(
                entry,
                evaluations[entry.id],
                provenance=entry.provenance,
                metric_versions=dict.fromkeys(evaluations[entry.id][0].values, "")
                | entry.metric_versions,
                higher_is_better=entry.higher_is_better,
                bootstrap_seed=entry.statistics.seed,
                replicates=entry.statistics.replicates,
            )
            # What cannot be computed again stays as it is stored: its own problem is known.
            kept: dict[str, Any] = {"id": entry.id}
            for kind in ("baseline", "real"):
                control = getattr(entry, kind)
                if control in on_board and control not in evaluations:
                    kept |= {kind: control, f"versus_{kind}": getattr(entry, f"versus_{kind}")}
            entries.append(fresh.model_copy(update=kept))
        else:
            entries.append(entry)
    rebuilt = assemble(board.name, board.created, entries, lambda each: evaluations.get(each.id))
    return {entry.id: entry for entry in rebuilt.entries}


def _coordinate_problems(entry: Entry, recomputed: Recomputed) -> Iterator[str]:
    if entry.id != entry_id(entry):
        yield f"its coordinates have the id {entry_id(entry)}: they or the id were changed."
    for name in entry.metrics:
        try:
            metric = recomputed.metric(name)
        except FgbenchError:
            continue  # said when the entry is evaluated
        if entry.metric_versions.get(name) != metric.version:
            yield (
                f"metric {name} has version {entry.metric_versions.get(name)} on the board, and "
                f"{metric.version} in this fgbench: its numbers cannot be compared."
            )
        if (name in entry.higher_is_better) == metric.lower_is_better:
            yield f"metric {name} is not better when it is as the board says (higher_is_better)."


_COMPARED = ("metrics", "undefined", "baseline", "versus_baseline", "real", "versus_real")


def _differences(
    entry: Entry, expected: dict[str, Entry], evaluated: bool
) -> Iterator[tuple[str, Any, Any]]:
    """Yield each leaf as (place, stored, recomputed), `_MISSING` on the side that lacks it."""
    if not evaluated:
        return
    stored = entry.model_dump(mode="json", include=set(_COMPARED))
    computed = expected[entry.id].model_dump(mode="json", include=set(_COMPARED))
    for name in _COMPARED:
        yield from _leaves(stored[name], computed[name], name, entry.seeds)


_MISSING = object()


def _leaves(one: Any, other: Any, place: str, seeds: list[int]) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(set(one) | set(other)):
            yield from _leaves(
                one.get(key, _MISSING), other.get(key, _MISSING), f"{place}.{key}", seeds
            )
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        of_seeds = place.endswith(".per_seed")
        for index, (a, b) in enumerate(zip(one, other, strict=True)):
            step = f"[seed {seeds[index]}]" if of_seeds else ("[low]", "[high]")[index]
            yield from _leaves(a, b, place + step, seeds)
    else:
        yield place, one, other


def _same(stored: Any, computed: Any) -> bool:
    if isinstance(stored, int | float) and isinstance(computed, int | float):
        return math.isclose(
            stored, computed, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE
        )
    return bool(stored == computed)


def _say(value: Any) -> str:
    return "missing" if value is _MISSING else repr(value)


def _name(entry: Entry) -> str:
    return f"entry {entry.id} ({entry.label})"
