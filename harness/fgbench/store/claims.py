"""Claims: temporary files and folders that the process that owns them locks while it lives.

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

_CLOEXEC = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_FILE = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | _CLOEXEC
_FOLDER = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_DIRECTORY", 0) | _CLOEXEC


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
    """Create a private folder and hold it locked.

    At the end it is deleted, unless it was moved away. Raises `OSError` if it cannot be created.
    """
    descriptor = _created_folder(path)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


def remove_abandoned(claims: Iterable[Path]) -> list[Path]:
    """Remove the claimed files whose owners are dead; return those that were removed."""
    return [path for path in claims if _remove(path, _FILE, Path.unlink)]


def remove_abandoned_folders(claims: Iterable[Path]) -> list[Path]:
    """Remove the claimed folders whose owners are dead; return those that were removed."""
    return [path for path in claims if _remove(path, _FOLDER, shutil.rmtree)]


def _created(path: Path, mode: int) -> BinaryIO:
    while True:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _CLOEXEC, mode)
        stream = os.fdopen(descriptor, "wb")
        try:
            if _is_held(path, descriptor):
                return stream
            stream.close()
        except BaseException:
            stream.close()
            raise


def _created_folder(path: Path) -> int | None:
    """Create a folder and return its locked descriptor, None where folders cannot be opened."""
    while True:
        path.mkdir(PRIVATE_FOLDER)
        if fcntl is None:
            return None
        try:
            descriptor = os.open(path, _FOLDER)
        except FileNotFoundError:  # taken for abandoned, see `_is_held`
            continue
        try:
            if _is_held(path, descriptor):
                return descriptor
            os.close(descriptor)
        except BaseException:
            os.close(descriptor)
            raise


def _is_held(path: Path, descriptor: int) -> bool:
    """Lock a new claim and return whether it still exists.

    Before it was locked, another process may have taken it for abandoned and removed it.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:  # no locks here: nobody can prove it abandoned, either
        return True
    return _is_at(path, descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _remove(path: Path, flags: int, remove: Callable[[Path], object]) -> bool:
    """Remove a claim if its owner is dead; return whether it was removed."""
    if fcntl is None:
        return False
    try:
        descriptor = os.open(path, flags)
    except OSError:  # gone, of another kind, or somebody else's
        return False
    try:
        if flags == _FILE and not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return False
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _is_at(path, descriptor):  # its owner has moved it to where it belongs
            return False
        remove(path)
    except OSError:  # its owner lives, or it cannot be locked or removed
        return False
    finally:
        os.close(descriptor)
    return True
