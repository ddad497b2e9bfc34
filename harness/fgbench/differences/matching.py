"""Match the entries of two boards, and list the differences in their provenance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fgbench.coordinates import AXES, NAMED, PARTS
from fgbench.digests import canonical_json

if TYPE_CHECKING:
    from fgbench.leaderboard.models import Entry, Leaderboard

_MADE_OF = ("version", "code", "content", "digest", "n_train", "n_validation", "n_test")
"""Fields of a part that may differ between versions of it and between machines."""
_MAY_BE_UNKNOWN = (
    *(name for name, axis in AXES.items() if axis.role == "generation" and not axis.is_part),
    *("threshold", "selector", "alpha"),
)
"""What a publication may leave open, although its entry has generated inputs."""


@dataclass(frozen=True)
class Change:
    """Something that differs between two matched entries: what, and its old and new value."""

    kind: str
    what: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.what} {_value_text(self.old)} → {_value_text(self.new)}"


@dataclass(frozen=True)
class Matching:
    """The pairs (old, new) of two boards, and the entries that only the new or the old one has."""

    pairs: list[tuple[Entry, Entry]]
    appeared: list[Entry]
    vanished: list[Entry]


def match(old: Leaderboard, new: Leaderboard) -> Matching:
    """Pair the entries of two boards.

    Pairs are entries with the same id; then those that differ only in data digest, versions or
    seeds; then published figures with the one entry of the same names that they do not contradict.
    An ambiguous match is not a pair.
    """
    by_id = {entry.id: entry for entry in new.entries}
    pairs = [(entry, by_id[entry.id]) for entry in old.entries if entry.id in by_id]
    same = {entry.id for entry, _ in pairs}
    left = [entry for entry in old.entries if entry.id not in same]
    right = [entry for entry in new.entries if entry.id not in same]
    for key in (_without_versions, _without_seeds):
        more, left, right = _unique_pairs(left, right, key)
        pairs += more
    more, left, right = _published_pairs(left, right)
    pairs += more
    order = {entry.id: index for index, entry in enumerate(old.entries)}
    pairs.sort(key=lambda pair: order[pair[0].id])
    return Matching(pairs, right, left)


def changes(old: Entry, new: Entry) -> list[Change]:
    """Return the differences in the provenance of two matched entries, likeliest cause first."""
    if _has_same_provenance(old, new):
        return []
    differences = [
        Change("data", "data digest", old.dataset.digest, new.dataset.digest),
        Change("seeds", "seeds", sorted(old.seeds), sorted(new.seeds)),
        Change("model", "model revision", *_both(old, new, "model_revision")),
    ]
    for name in PARTS:
        a, b = getattr(old, name), getattr(new, name)
        if a is not None and b is not None:
            differences += [
                Change("code", f"{name} {a.name}, {field}", getattr(a, field), getattr(b, field))
                for field in ("version", "code", "content")
            ]
    differences.append(Change("code", "fgbench", *_both(old, new, "fgbench")))
    differences.append(Change("code", "git commit", *_both(old, new, "git_commit")))
    differences.append(Change("code", "uncommitted changes", *_both(old, new, "git_dirty")))
    differences += [
        Change("metric", f"metric {name}, version", old.metric_versions[name], version)
        for name, version in sorted(new.metric_versions.items())
        if name in old.metric_versions
    ]
    for name in ("replicates", "confidence", "seed"):
        values = (getattr(old.statistics, name), getattr(new.statistics, name))
        differences.append(Change("statistics", f"bootstrap {name}", *values))
    mine, theirs = old.provenance.packages, new.provenance.packages
    differences += [
        Change("package", f"package {name}", mine.get(name), theirs.get(name))
        for name in sorted(set(mine) | set(theirs))
    ]
    differences.append(Change("package", "Python", *_both(old, new, "python")))
    differences.append(Change("platform", "platform", *_both(old, new, "platform")))
    if old.published is not None or new.published is not None:
        # A publication lacks most of these, and what is unknown has not changed.
        recorded = [change for change in differences if change.old and change.new]
        differences = [change for change in recorded if change.kind != "statistics"]
    return [change for change in differences if change.old != change.new]


def _has_same_provenance(old: Entry, new: Entry) -> bool:
    """Return quickly whether entries with the same id have no `changes`."""
    return (
        old.id == new.id
        and old.metric_versions == new.metric_versions
        and old.statistics == new.statistics
        and old.provenance == new.provenance
    )


def _both(old: Entry, new: Entry, name: str) -> tuple[Any, Any]:
    return getattr(old.provenance, name), getattr(new.provenance, name)


def _unique_pairs(
    left: list[Entry], right: list[Entry], key: Callable[[Entry], str]
) -> tuple[list[tuple[Entry, Entry]], list[Entry], list[Entry]]:
    ours, theirs = _by(key, left), _by(key, right)
    pairs = [
        (entries[0], theirs[name][0])
        for name, entries in ours.items()
        if len(entries) == 1 and len(theirs.get(name, ())) == 1
    ]
    return pairs, *_rest(pairs, left, right)


def _published_pairs(
    left: list[Entry], right: list[Entry]
) -> tuple[list[tuple[Entry, Entry]], list[Entry], list[Entry]]:
    ours, theirs = _by(_names, left), _by(_names, right)
    candidates = [
        (a, b)
        for name, entries in ours.items()
        for a in entries
        for b in theirs.get(name, ())
        if (a.published or b.published) and _agree(a, b)
    ]
    old, new = Counter(a.id for a, _ in candidates), Counter(b.id for _, b in candidates)
    pairs = [(a, b) for a, b in candidates if old[a.id] == new[b.id] == 1]
    return pairs, *_rest(pairs, left, right)


def _rest(
    pairs: list[tuple[Entry, Entry]], left: list[Entry], right: list[Entry]
) -> tuple[list[Entry], list[Entry]]:
    paired = {entry.id for pair in pairs for entry in pair}
    return (
        [entry for entry in left if entry.id not in paired],
        [entry for entry in right if entry.id not in paired],
    )


def _by(key: Callable[[Entry], str], entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(key(entry), []).append(entry)
    return groups


def _without_versions(entry: Entry) -> str:
    value = entry.identity()
    for name in PARTS:
        for field in _MADE_OF if value[name] is not None else ():
            value[name].pop(field, None)
    return canonical_json(value)


def _without_seeds(entry: Entry) -> str:
    return canonical_json([_without_versions(entry.model_copy(update={"seeds": []}))])


def _names(entry: Entry) -> str:
    names = entry.names()
    return canonical_json([names[name] for name in NAMED if name not in _MAY_BE_UNKNOWN])


def _agree(one: Entry, other: Entry) -> bool:
    """Return whether two entries, one of them published, do not contradict each other."""
    for name in PARTS:
        a, b = getattr(one, name), getattr(other, name)
        if a is not None and b is not None:
            both = a.params.keys() & b.params.keys()
            if any(a.params[key] != b.params[key] for key in both):
                return False
    return all(
        getattr(one, name) in (None, getattr(other, name)) or getattr(other, name) is None
        for name in _MAY_BE_UNKNOWN
    )


def _value_text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, str) and len(value) in (40, 64):
        return value[:12]
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)
