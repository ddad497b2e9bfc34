"""The checks that a contributed board must pass before a maintainer accepts it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fgbench.coordinates import PARTS
from fgbench.errors import FgbenchError, LeaderboardError
from fgbench.leaderboard.files import read_board
from fgbench.leaderboard.merge import difference
from fgbench.leaderboard.migrations import SCHEMA
from fgbench.leaderboard.verify import verify_board
from fgbench.plugins.references import PartReference

if TYPE_CHECKING:
    from fgbench.coordinates import PartRecord
    from fgbench.leaderboard.models import Entry, Leaderboard
    from fgbench.plugins.registry import Registry

_SHOWN = 5


@dataclass(frozen=True)
class Check:
    """One check: its name, whether it passed, and its findings, one sentence each."""

    name: str
    passed: bool
    found: list[str]


def check_submission(path: Path, registry: Registry, *, against: Path | None = None) -> list[Check]:
    """Return the checks of a contributed board; `against` is the board that it will join.

    A file that is not a board fails the first check, and the others are not run.
    """
    try:
        board = read_board(path)
    except LeaderboardError as error:
        return [Check("schema", False, [str(error)])]
    schema = Check("schema", True, [f"{SCHEMA}, {len(board.entries)} entries"])
    if not board.entries:
        return [schema, Check("entries", False, [f"{path}: the board has no entries."])]
    try:
        existing = None if against is None else read_board(against)
    except LeaderboardError as error:
        return [schema, Check("duplicates", False, [str(error)])]
    return [
        schema,
        _check("duplicates", _duplicates(board, existing), lambda: "no duplicates"),
        _check("parts", _unknown_parts(board, registry), lambda: "all are registered here"),
        _verified(path, registry),
        _check("metadata", _lacking(board.entries), lambda: "complete"),
        _licenses(board, registry),
    ]


def _check(name: str, problems: Iterable[str], passed: Callable[[], str]) -> Check:
    sentences = list(problems)
    return Check(name, not sentences, _some(sentences) or [passed()])


def _some(sentences: list[str]) -> list[str]:
    if len(sentences) <= _SHOWN:
        return sentences
    return [*sentences[:_SHOWN], f"and {len(sentences) - _SHOWN} more"]


def _duplicates(board: Leaderboard, existing: Leaderboard | None) -> Iterator[str]:
    by_id = {} if existing is None else {entry.id: entry for entry in existing.entries}
    reasons: dict[str, list[Entry]] = {}
    for entry in board.entries:
        if entry.id in by_id:
            place = difference(by_id[entry.id], entry)
            how = "with the same numbers" if place is None else f"and differs in {place}"
            reasons.setdefault(f"already on the board, {how}", []).append(entry)
    yield from _by_reason(reasons)


def _by_reason(reasons: dict[str, list[Entry]]) -> Iterator[str]:
    for reason, entries in reasons.items():
        more = f" and {len(entries) - 1} more" if len(entries) > 1 else ""
        yield f"entry {entries[0].id} ({entries[0].label}){more}: {reason}."


def _unknown_parts(board: Leaderboard, registry: Registry) -> Iterator[str]:
    for kind in PARTS:
        for name in sorted(_names(board, kind)):
            if name not in registry.names(kind):
                yield (
                    f"unknown {kind} {name!r}: install its plugin, or load its file with --plugin."
                )


def _names(board: Leaderboard, kind: str) -> set[str]:
    parts: list[PartRecord | None] = [
        getattr(entry, kind) for entry in board.entries if entry.published is None
    ]
    return {part.name for part in parts if part is not None}


def _verified(path: Path, registry: Registry) -> Check:
    result = verify_board(path, registry)
    return Check("verify", result.ok, _some(result.problems) or [result.summary()])


def _lacking(entries: Iterable[Entry]) -> Iterator[str]:
    reasons: dict[str, list[Entry]] = {}
    for entry in entries:
        for reason in _missing(entry):
            reasons.setdefault(reason, []).append(entry)
    yield from _by_reason(reasons)


def _missing(entry: Entry) -> Iterator[str]:
    if not entry.checksums:
        yield "checksums are missing: it was written by an old version of fgbench"
    if entry.published is not None:
        if not (entry.published.place or entry.published.url):
            yield "published figures have neither a table or page nor a link"
        return
    facts = entry.provenance
    for name in ("fgbench", "python", "packages", "platform", "started"):
        if not getattr(facts, name):
            yield f"provenance.{name} is missing"
    if facts.git_dirty:
        yield "fgbench had uncommitted changes (provenance.git_dirty)"
    if not entry.dataset.label_names:
        yield "dataset.label_names is missing"
    if len(entry.artifacts.predictions) < len(entry.seeds):
        yield "predictions are missing"


def _licenses(board: Leaderboard, registry: Registry) -> Check:
    """Check that each data set has a license: its labels are published."""
    licenses, missing = [], []
    for name in sorted(_names(board, "dataset")):
        license_ = _license(board, name, registry)
        if license_ is None:
            missing.append(f"data set {name!r} has no card with a license.")
        else:
            licenses.append(f"{name}: {license_}")
    return Check("licence", not missing, missing or licenses or ["no data are published"])


def _license(board: Leaderboard, name: str, registry: Registry) -> str | None:
    """Return the license on a data set's card, or that it is synthetic; None without either."""
    record = next(entry.dataset for entry in board.entries if entry.dataset.name == name)
    try:
        loader = registry.create("dataset", PartReference(name, record.params))
        card = loader.card()
    except FgbenchError:
        return None
    if card is not None:
        return str(card.licence).strip() or None
    return "generated by its loader" if "posterior" in loader.provides else None
