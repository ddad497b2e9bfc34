"""Read every artifact of a store and compare it with its digests, whatever was verified before."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fgbench.digests import digest_file, is_digest
from fgbench.store.artifacts import MANIFEST, Manifest

if TYPE_CHECKING:
    from fgbench.store.artifacts import Store


@dataclass(frozen=True)
class CheckedArtifact:
    """An artifact on disk: its folder, the bytes of its files, and what is wrong with it."""

    folder: Path
    size: int
    problems: tuple[str, ...]
    """Each names a file and says what is wrong with it."""


def check(store: Store) -> Iterator[CheckedArtifact]:
    """Yield every artifact of a store, checked; one that disappears meanwhile is skipped.

    Nothing is removed, and nothing is marked as used.
    """
    for folder in sorted(store.objects.glob("*/*")):
        key = folder.name
        if not is_digest(key) or folder != store.folder(key):
            yield CheckedArtifact(folder, 0, ("not an artifact of fgbench",))
            continue
        size, problems = _check(key, folder)
        if not problems or os.path.lexists(folder):
            yield CheckedArtifact(folder, size, tuple(problems))


def _check(key: str, folder: Path) -> tuple[int, list[str]]:
    """Return the size of an artifact and its problems."""
    try:
        manifest = Manifest.read(folder, key)
        size = (folder / MANIFEST).stat().st_size
    except ValueError as error:
        return 0, [f"{MANIFEST}: {error}"]
    except OSError as error:
        return 0, [f"{MANIFEST}: cannot be read ({error.strerror})"]
    problems = [] if manifest.is_intact else [f"{MANIFEST}: does not match its digest"]
    for name, (sha256, expected) in manifest.files.items():
        size += expected
        try:
            problem = _problem(folder / name, sha256, expected)
        except FileNotFoundError:
            problem = "missing"
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
        if problem is not None:
            problems.append(f"{name}: {problem}")
    return size, problems


def _problem(path: Path, sha256: str, size: int) -> str | None:
    status, parent = path.lstat(), path.parent.lstat()
    if not (stat.S_ISREG(status.st_mode) and stat.S_ISDIR(parent.st_mode)):
        return "not a regular file"
    if status.st_size != size:
        return f"{status.st_size:,} bytes instead of {size:,}"
    return None if digest_file(path) == sha256 else "does not match its digest"
