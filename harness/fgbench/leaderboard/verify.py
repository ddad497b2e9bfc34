"""Verify a board: recompute everything that follows from its predictions, and compare."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from fgbench.coordinates import entry_id
from fgbench.errors import FgbenchError
from fgbench.inference import STATISTICS_VERSION
from fgbench.leaderboard.build import build_entry, ranked
from fgbench.leaderboard.checksums import board_checksum, entry_checksums
from fgbench.leaderboard.contrasts import Controls, compared
from fgbench.leaderboard.files import read_board
from fgbench.leaderboard.recompute import Recomputed

if TYPE_CHECKING:
    from fgbench.inference import Evaluation
    from fgbench.leaderboard.models import Entry, Leaderboard
    from fgbench.plugins.registry import Registry

RELATIVE_TOLERANCE = 1e-7
ABSOLUTE_TOLERANCE = 1e-9
"""Machines differ in the rounding of exponentials and sums; a tampered number differs by more."""


@dataclass
class Verification:
    """The counts of what was checked, and the problems, one sentence each.

    `published` counts the entries with figures of a publication, which cannot be recomputed;
    `earlier_statistics` those whose intervals, p-values and ranks are of an earlier version;
    `on_trust` those of older versions, which have no checksums.
    """

    entries: int = 0
    files: int = 0
    numbers: int = 0
    published: int = 0
    earlier_statistics: int = 0
    on_trust: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether there are no problems."""
        return not self.problems

    def summary(self) -> str:
        """Return in one line what was checked, and what could not be."""
        text = f"{self.entries} entries, {self.files} prediction files, {self.numbers} numbers"
        if self.published:
            text += f"; {self.published} entries are published figures, which cannot be recomputed"
        if self.earlier_statistics:
            text += (
                f"; {self.earlier_statistics} entries have intervals and p-values of an earlier "
                "version of fgbench, which are not recomputed"
            )
        if self.on_trust:
            text += f"; {self.on_trust} entries without checksums: provenance and costs unverified"
        return text


def verify_board(
    path: Path, registry: Registry, *, intervals: bool = True, numbers: bool = True
) -> Verification:
    """Verify a board: schema, ids, digests, and every number against the stored predictions.

    Without `intervals`, the bootstrap is skipped: intervals and p-values are not checked, which
    takes a small part of the time. Without `numbers`, only digests are checked. Raises
    `LeaderboardError` for a file that is not a board; all other problems are in the result.
    """
    board = read_board(path)
    folder = path if path.is_dir() else path.parent
    recomputed = Recomputed(registry, folder, intervals=intervals)
    return _Verifier(board, recomputed, intervals, numbers).run()


class _Verifier:
    def __init__(
        self, board: Leaderboard, recomputed: Recomputed, intervals: bool, numbers: bool
    ) -> None:
        self._numbers = numbers
        self._board = board
        self._recomputed = recomputed
        self._intervals = intervals
        self._by_id = {entry.id: entry for entry in board.entries}
        self._uses = Counter(path for entry in board.entries for path in _paths(entry))
        self._controls = Controls(board.entries, board.primary)
        self._result = Verification(entries=len(board.entries))

    def run(self) -> Verification:
        """Check the board and each entry, and the ranks over the board at the end."""
        self._check_board()
        expected: list[Entry] = []
        for entry in self._board.entries:
            for problem in _problems(entry, self._recomputed):
                self._report(entry, problem)
            self._result.published += entry.published is not None
            self._result.on_trust += not entry.checksums
            self._result.earlier_statistics += entry.published is None and _is_earlier(entry)
            rebuilt = None if entry.published is not None else self._rebuilt(entry)
            expected.append(entry if rebuilt is None else rebuilt)
        if self._numbers and self._intervals:
            expected = self._ranked(expected)
        for entry, computed in zip(self._board.entries, expected, strict=True):
            if computed is not entry:
                self._compare(entry, computed)
        return self._result

    def _ranked(self, entries: list[Entry]) -> list[Entry]:
        """Return the entries with recomputed ranks, where all predictions of a table are there."""
        unknown = set()

        def evaluations_of(entry: Entry) -> list[Evaluation] | None:
            evaluations = self._recomputed.known_evaluations(entry)
            if evaluations is None:
                unknown.add(self._controls.setting(entry))
            return evaluations

        without = [item.model_copy(update={"ranks": {}, "ranked_among": 0}) for item in entries]
        fresh = ranked(without, self._controls, evaluations_of)
        return [
            item.model_copy(update={"ranks": stored.ranks, "ranked_among": stored.ranked_among})
            if self._controls.setting(item) in unknown
            else item
            for item, stored in zip(fresh, self._board.entries, strict=True)
        ]

    def _report(self, entry: Entry, problem: str) -> None:
        self._result.problems.append(f"entry {entry.id} ({entry.label}): {problem}")

    def _check_board(self) -> None:
        board = self._board
        if board.checksum is None:
            if any(entry.checksums for entry in board.entries):
                self._result.problems.append(
                    "the board has no checksum, but its entries do: it was removed, or this is a "
                    "selection of another board's entries."
                )
        elif board.checksum != board_checksum(
            board.name, board.created, board.entries, board.primary
        ):
            self._result.problems.append(
                "board checksum mismatch: its name, its date, its primary contrast, the list of "
                "its entries or one of their checksums was changed."
            )

        has_runs = any(entry.published is None for entry in board.entries)
        for name in dict.fromkeys(name for entry in board.entries for name in entry.metrics):
            try:
                is_shown = self._recomputed.metric(name).shown_by_default
            except FgbenchError:
                continue  # its plugin is not installed here
            if has_runs and (name in board.shown) != is_shown:
                self._result.problems.append(f"shown is wrong about the metric {name}.")

    def _rebuilt(self, entry: Entry) -> Entry | None:
        """Return the entry rebuilt from its predictions; None without them."""
        for path in _paths(entry):
            if self._uses[path] > 1:  # a small board could ask for any number of evaluations
                self._report(entry, f"predictions {path} are listed more than once.")
                return None
        try:
            if not self._numbers:
                self._result.files += self._recomputed.check_digests(entry)
                return None
            evaluations = self._recomputed.evaluations(entry)
        except FgbenchError as error:
            self._report(entry, str(error))
            return None
        self._result.files += len(entry.seeds)
        fresh = build_entry(
            entry,
            evaluations,
            provenance=entry.provenance,
            metric_versions=dict.fromkeys(evaluations[0].values, "") | entry.metric_versions,
            higher_is_better=entry.higher_is_better,
            neutral=entry.neutral,
            margins=entry.margins,
            bootstrap_seed=entry.statistics.seed,
            replicates=entry.statistics.replicates,
        )
        # An earlier inference is no mistake: the summary says that it is not checked.
        fresh = fresh.model_copy(update={"statistics": entry.statistics})
        fresh = compared(fresh, self._controls, self._recomputed.known_evaluations)
        contrasts = dict(fresh.contrasts)
        for kind, against in fresh.contrasts.items():
            stored = entry.contrasts.get(kind)
            if stored is None and _is_earlier(entry):
                del contrasts[kind]
            elif stored is not None and stored.entry == against.entry and not against.metrics:
                # What cannot be recomputed stays as it is: its problem is reported elsewhere.
                control = self._recomputed.known_evaluations(self._by_id[against.entry])
                contrasts[kind] = against if control is not None else stored
        return fresh.model_copy(update={"id": entry.id, "contrasts": contrasts})

    def _compare(self, entry: Entry, computed: Entry) -> None:
        for place, stored, number in _differences(entry, computed, self._board.checksum is None):
            if not self._intervals and any(step in place for step in _BOOTSTRAPPED):
                continue
            if _is_earlier(entry) and any(step in place for step in _BOOTSTRAPPED + _CORRECTED):
                continue
            self._result.numbers += 1
            if not _same(stored, number):
                self._report(
                    entry,
                    f"{place} is {_value_text(stored)} on the board, {_value_text(number)} "
                    "recomputed.",
                )


def _paths(entry: Entry) -> list[PurePosixPath]:
    return [PurePosixPath(record.path) for record in entry.artifacts.predictions]


_BOOTSTRAPPED = (
    ".ci95",
    ".interval",
    ".p_value",
    ".p_adjusted",
    ".standard_error",
    ".degrees_of_freedom",
    ".reasons",
    ".word",
    "rank",
)
_CORRECTED = (".corrected", ".chance_limit")


def _is_earlier(entry: Entry) -> bool:
    """Return whether an entry's intervals are of an earlier version, which is not here any more."""
    return entry.statistics.version != STATISTICS_VERSION


def id_problems(entry: Entry) -> Iterator[str]:
    """Yield the problem of an entry whose id is not that of its coordinates."""
    expected = entry_id(entry)
    if entry.id != expected:
        yield f"id mismatch: its coordinates have the id {expected}."


def _problems(entry: Entry, recomputed: Recomputed) -> Iterator[str]:
    """Yield the problems of an entry that can be found without its predictions."""
    yield from id_problems(entry)
    if entry.checksums:
        computed = entry_checksums(entry)
        for name in sorted(entry.checksums.keys() | computed.keys()):
            if entry.checksums.get(name) != computed.get(name):
                yield f"checksum mismatch: {name} was changed."
    if entry.published is not None:
        if entry.artifacts.predictions or entry.contrasts:
            yield "published figures cannot have predictions or comparisons."
        return
    if "neutral" in entry.model_fields_set:
        yield from _neutral_problems(entry, recomputed)
    for name in sorted(set(entry.metric_versions) - set(entry.metrics)):
        yield f"metric_versions names {name}, which is not a metric of the entry."
    for name in entry.metrics:
        try:
            metric = recomputed.metric(name)
        except FgbenchError:
            continue  # reported when the entry is evaluated
        if entry.metric_versions.get(name) != metric.version:
            yield (
                f"metric {name} has version {entry.metric_versions.get(name)} on the board, and "
                f"{metric.version} here: its numbers cannot be compared."
            )
        if (name in entry.higher_is_better) == metric.lower_is_better:
            yield f"higher_is_better is wrong about the metric {name}."


def _neutral_problems(entry: Entry, recomputed: Recomputed) -> Iterator[str]:
    for axis in sorted(set(entry.neutral) - set(_CAN_BE_NEUTRAL)):
        yield f"neutral names {axis!r}, which is none of {', '.join(_CAN_BE_NEUTRAL)}."
    for axis in _CAN_BE_NEUTRAL:
        part = entry.parts()[axis]
        try:
            is_neutral = recomputed.is_neutral(axis, part)
        except FgbenchError:
            continue  # its plugin is not installed here
        if is_neutral != (axis in entry.neutral):
            yield f"neutral is wrong about the {axis} {part.label}."


_CAN_BE_NEUTRAL = ("loss", "calibrator")
_COMPARED = (
    "metrics",
    "undefined",
    "statistics",
    "contrasts",
    "ranks",
    "ranked_among",
)


def _differences(entry: Entry, computed: Entry, is_old: bool) -> Iterator[tuple[str, Any, Any]]:
    """Yield each leaf as (place, stored, recomputed), `_MISSING` on the side that lacks it."""
    stored = entry.model_dump(mode="json", include=set(_COMPARED))
    recomputed = computed.model_dump(mode="json", include=set(_COMPARED))
    if is_old:  # older boards do not have it
        for name, record in entry.metrics.items():
            if "noise_floor" not in record.model_fields_set and name in recomputed["metrics"]:
                recomputed["metrics"][name]["noise_floor"] = None
    for name in _COMPARED:
        yield from _leaves(stored[name], recomputed[name], name, entry.seeds)


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


def _value_text(value: Any) -> str:
    return "missing" if value is _MISSING else repr(value)
