"""Claims: temporary files that are locked by the process that owns them, for as long as it lives.

The system releases the lock when the process ends, however it ends. Obtaining the lock therefore
proves that the owner is dead, and nothing else does: neither the age of a file, nor a process id,
which may be reused or be one of another host. Where the file system supports no locks, nothing is
ever removed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
"""Modes of what only its owner may read."""

_LOCK = ".lock"
_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_OPEN = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | _FLAGS


@contextlib.contextmanager
def claimed(path: Path, mode: int = PRIVATE_FILE) -> Iterator[BinaryIO]:
    """Create the file `path` and hold it locked; yield it, open for writing.

    At the end it is deleted, unless it was moved away. Raises `OSError` if it cannot be created.
    """
    with _created(path, mode) as stream:
        try:
            yield stream
        finally:
            with contextlib.suppress(OSError):
                path.unlink()


@contextlib.contextmanager
def claimed_folder(path: Path) -> Iterator[Path]:
    """Create a private folder, claimed by a lock file next to it, and delete both at the end.

    Raises `OSError` if it cannot be created.
    """
    with claimed(path.with_name(path.name + _LOCK)):
        try:
            path.mkdir(PRIVATE_FOLDER)
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


def remove_abandoned(
    claims: Iterable[Path], remove: Callable[[Path], None] = Path.unlink
) -> list[Path]:
    """Remove the claims whose owners are dead; return those that were removed."""
    removed = []
    for path in claims:
        # Whatever cannot be opened, locked or removed is left alone.
        with contextlib.suppress(OSError), _owned_by_nobody(path) as is_abandoned:
            if is_abandoned:
                remove(path)
                removed.append(path)
    return removed


def remove_abandoned_folders(parent: Path) -> list[Path]:
    """Remove the claimed folders in `parent` whose owners are dead; return their claims."""

    def remove(claim: Path) -> None:
        folder = claim.with_name(claim.name.removesuffix(_LOCK))
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder)
        claim.unlink()

    return remove_abandoned(parent.glob(f"*{_LOCK}"), remove)


def _created(path: Path, mode: int) -> BinaryIO:
    while True:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, mode)
        stream = os.fdopen(descriptor, "wb")
        try:
            if fcntl is not None:
                with contextlib.suppress(OSError):  # no locks here: nobody can remove it, either
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Before it was locked, another process may have taken it for abandoned and removed it.
            if os.fstat(descriptor).st_nlink:
                return stream
            stream.close()
        except BaseException:
            stream.close()
            raise


@contextlib.contextmanager
def _owned_by_nobody(path: Path) -> Iterator[bool]:
    """Yield whether the owner of a claim is dead; if so, hold the claim during the block."""
    if fcntl is None:
        yield False
        return
    descriptor = os.open(path, _OPEN)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            yield False
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        # Since it was opened, its owner may have moved it to where it belongs.
        yield os.path.samestat(status, path.lstat())
    finally:
        os.close(descriptor)
