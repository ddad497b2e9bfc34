"""Which entry of one board is which of another, and what differs in how they came about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fgbench.digests import canonical_json
from fgbench.leaderboard.models import Entry, identity

if TYPE_CHECKING:
    from fgbench.leaderboard.models import Leaderboard, PartRecord

_PARTS = ("dataset", "classifier", "loss", "generator", "calibrator")
_MADE_OF = ("version", "code", "content", "digest", "n_train", "n_validation", "n_test")
"""What of a part may be another in another version or on another machine."""


@dataclass(frozen=True)
class Change:
    """Something that is not the same on both sides: what, and its old and new value."""

    kind: str
    what: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.what} {_say(self.old)} → {_say(self.new)}"


@dataclass(frozen=True)
class Matching:
    """The pairs (old, new) of two boards, what only the new one has, and what only the old had."""

    pairs: list[tuple[Entry, Entry]]
    appeared: list[Entry]
    vanished: list[Entry]


def match(old: Leaderboard, new: Leaderboard) -> Matching:
    """Pair the entries of two boards.

    First those of one id; then those that differ only in data digest, versions or seeds; then
    published figures with the one entry that they can be of: equal names, and nothing that they
    say is otherwise. What could be several is no pair.
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
    """Return all that differs in how two matched entries came about, most telling first."""
    if _is_known_alike(old, new):
        return []
    found = [
        Change("data", "data digest", old.dataset.digest, new.dataset.digest),
        Change("seeds", "seeds", sorted(old.seeds), sorted(new.seeds)),
        Change("model", "model revision", *_both(old, new, "model_revision")),
    ]
    for name in _PARTS:
        a, b = getattr(old, name), getattr(new, name)
        if a is not None and b is not None:
            found += [
                Change("code", f"{name} {a.name}, {field}", getattr(a, field), getattr(b, field))
                for field in ("version", "code", "content")
            ]
    found.append(Change("code", "fgbench", *_both(old, new, "fgbench")))
    found.append(Change("code", "git commit", *_both(old, new, "git_commit")))
    found.append(Change("code", "uncommitted changes", *_both(old, new, "git_dirty")))
    found += [
        Change("metric", f"metric {name}, version", old.metric_versions[name], version)
        for name, version in sorted(new.metric_versions.items())
        if name in old.metric_versions
    ]
    for name in ("replicates", "confidence", "seed"):
        values = (getattr(old.statistics, name), getattr(new.statistics, name))
        found.append(Change("statistics", f"bootstrap {name}", *values))
    mine, theirs = old.provenance.packages, new.provenance.packages
    found += [
        Change("package", f"package {name}", mine.get(name), theirs.get(name))
        for name in sorted(set(mine) | set(theirs))
    ]
    found.append(Change("package", "Python", *_both(old, new, "python")))
    found.append(Change("platform", "platform", *_both(old, new, "platform")))
    if old.published is not None or new.published is not None:
        # A publication says nothing of these: what is unknown has not changed.
        found = [each for each in found if each.old and each.new and each.kind != "statistics"]
    return [change for change in found if change.old != change.new]


def _is_known_alike(old: Entry, new: Entry) -> bool:
    """Return whether all that `changes` looks at is the same, for entries of one id quickly."""
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
    can = [
        (a, b)
        for name, entries in ours.items()
        for a in entries
        for b in theirs.get(name, ())
        if (a.published or b.published) and _agree(a, b)
    ]
    old, new = Counter(a.id for a, _ in can), Counter(b.id for _, b in can)
    pairs = [(a, b) for a, b in can if old[a.id] == new[b.id] == 1]
    return pairs, *_rest(pairs, left, right)


def _rest(
    pairs: list[tuple[Entry, Entry]], left: list[Entry], right: list[Entry]
) -> tuple[list[Entry], list[Entry]]:
    taken = {entry.id for pair in pairs for entry in pair}
    return (
        [entry for entry in left if entry.id not in taken],
        [entry for entry in right if entry.id not in taken],
    )


def _by(key: Callable[[Entry], str], entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(key(entry), []).append(entry)
    return found


def _without_versions(entry: Entry) -> str:
    value = identity(entry)
    for name in _PARTS:
        for field in _MADE_OF if value[name] is not None else ():
            value[name].pop(field, None)
    return canonical_json(value)


def _without_seeds(entry: Entry) -> str:
    return canonical_json([_without_versions(entry.model_copy(update={"seeds": []}))])


def _names(entry: Entry) -> str:
    parts: list[PartRecord | None] = [getattr(entry, name) for name in _PARTS]
    names = [None if part is None else part.name for part in parts]
    return canonical_json([*names, entry.arm, entry.protocol])


def _agree(one: Entry, other: Entry) -> bool:
    """Return whether two entries, one of them published, contradict each other in nothing."""
    for name in _PARTS:
        a, b = getattr(one, name), getattr(other, name)
        if a is not None and b is not None:
            both = a.params.keys() & b.params.keys()
            if any(a.params[key] != b.params[key] for key in both):
                return False
    return all(
        getattr(one, name) in (None, getattr(other, name)) or getattr(other, name) is None
        for name in ("bins", "threshold", "selector", "alpha")
    )


def _say(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, str) and len(value) in (40, 64):
        return value[:12]
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)
