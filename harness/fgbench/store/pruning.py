"""What a store holds, and how it is made smaller: by age, by size, or by run.

`Store.find` marks an artifact as used, and a run holds a lease from its start to its end.
Everything that was used since the oldest lease in force began is needed by a run in progress, and
is never removed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fgbench.digests import is_digest
from fgbench.store.artifacts import MANIFEST, Manifest
from fgbench.store.atomic import cannot_write

if TYPE_CHECKING:
    from fgbench.store.artifacts import Store


@dataclass(frozen=True)
class StoredArtifact:
    """An artifact on disk: its key and stage, its size in bytes, and when it was last used."""

    key: str
    stage: str
    size: int
    used: float
    """Seconds since the epoch."""


@dataclass(frozen=True)
class Pruning:
    """What `prune` removed, or would remove, and what it left for runs in progress."""

    removed: tuple[StoredArtifact, ...]
    in_use: tuple[StoredArtifact, ...]
    kept: tuple[StoredArtifact, ...]


def artifacts(store: Store) -> Iterator[StoredArtifact]:
    """Yield every artifact of a store; those that disappear meanwhile are skipped."""
    for path in store.objects.glob(f"*/*/{MANIFEST}"):
        key = path.parent.name
        if not is_digest(key) or path.parent != store.folder(key):
            continue
        try:
            status = path.stat()
            manifest = Manifest.read(path.parent, key)
        except OSError:
            continue
        except ValueError:
            stage, size = "unreadable", 0
        else:
            stage, size = manifest.stage, sum(size for _, size in manifest.files.values())
        yield StoredArtifact(key, stage, size + status.st_size, status.st_mtime)


def prune(
    store: Store,
    *,
    unused_since: float | None = None,
    max_bytes: int | None = None,
    keys: Collection[str] | None = None,
    dry_run: bool = False,
) -> Pruning:
    """Remove artifacts, those that were used least recently first.

    Of all artifacts, or of those with the given `keys`: those not used since `unused_since`
    (seconds since the epoch), then as many more as it takes for the store to be at most `max_bytes`
    large; with neither, all of them. Nothing that a run in progress may need is removed. What
    killed processes left is removed, too, except in a dry run. Raises `StoreError` when an artifact
    cannot be removed.
    """
    if not dry_run:
        store.remove_leftovers()
    protected_since = store.oldest_lease()
    present = sorted(artifacts(store), key=lambda item: (item.used, item.key))
    total = sum(item.size for item in present)
    removed, in_use, kept = [], [], []
    for item in present:
        selected = keys is None or item.key in keys
        old = unused_since is not None and item.used < unused_since
        excess = max_bytes is not None and total > max_bytes
        unlimited = unused_since is None and max_bytes is None
        if not selected or not (old or excess or unlimited):
            kept.append(item)
        elif protected_since is not None and item.used >= protected_since:
            in_use.append(item)
        elif dry_run or _remove(store, item):
            total -= item.size
            removed.append(item)
        else:  # a run began to use it meanwhile
            in_use.append(item)
    return Pruning(tuple(removed), tuple(in_use), tuple(kept))


def _remove(store: Store, item: StoredArtifact) -> bool:
    """Move an artifact out of the way, in one step, and delete it; False if it was used since."""
    folder = store.folder(item.key)
    with store.scratch() as scratch:
        try:
            if (folder / MANIFEST).stat().st_mtime != item.used:
                return False
            folder.rename(scratch / "removed")
        except FileNotFoundError:
            return True
        except OSError as error:
            raise cannot_write(folder, error) from error
    return True
