"""Atomic file writes: write to a temporary file, fsync, rename.

A file that is replaced must be a regular file: a folder, a FIFO, a socket or a device is refused,
and so is a symbolic link, which is neither followed nor replaced. A link in a folder that somebody
else made could lead a write anywhere.

Files are private (readable by their owner only) unless they are written for publication.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import uuid
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from fgbench.errors import StoreError
from fgbench.store.claims import (
    PRIVATE_FILE,
    claimed,
    claimed_folder,
    remove_abandoned,
    remove_abandoned_folders,
)

_PUBLIC_FILE = 0o666  # less the user's umask
_MARK = ".fgbench-"
"""In the names of temporary files, so that no other program's files are mistaken for them."""


def write_atomically(path: Path, content: bytes | str, *, public: bool = False) -> None:
    """Write `content` to `path`; after a crash, the file has either the old or the new content.

    Raises `StoreError` if the file cannot be written (no space, no permission) or is not a regular
    file. `public` as in `open_atomically`.
    """
    with open_atomically(path, public=public) as stream:
        stream.write(content.encode("utf-8") if isinstance(content, str) else content)


@contextlib.contextmanager
def open_atomically(path: Path, *, public: bool = False) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces `path` on success and is deleted on failure.

    A `public` file gets the permissions that the umask leaves, others can be read by their owner
    only. What killed processes left in the folder is removed first. Raises `StoreError` if the
    file cannot be written (no space, no permission) or is not a regular file.
    """
    temporary = _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        require_replaceable(path)
        _remove_leftovers_once(path.parent.absolute())
        with claimed(temporary, _PUBLIC_FILE if public else PRIVATE_FILE) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            if os.name == "nt":  # cannot rename an open file; elsewhere, open means owned
                stream.close()
            replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error


def create(path: Path, content: bytes) -> None:
    """Create a private file, complete or not at all; `FileExistsError` if `path` exists.

    Raises `OSError` if the file cannot be written.
    """
    _remove_leftovers_once(path.parent.absolute())
    temporary = _temporary(path)
    with claimed(temporary) as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
        try:
            os.link(temporary, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            with open_private(path, os.O_WRONLY | os.O_EXCL) as final:
                final.write(content)


def replace(temporary: Path, path: Path) -> None:
    """Rename a complete file to `path`; raise `StoreError` if that is not a regular file."""
    require_replaceable(path)
    temporary.replace(path)


def require_replaceable(path: Path) -> None:
    """Raise `StoreError` unless `path` is a regular file or does not exist."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        kind = _FILE_TYPES.get(stat.S_IFMT(mode), "a special file")
        raise StoreError(f"{path}: is {kind}, not a regular file. Choose another path.")


@contextlib.contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Yield a folder in `parent`, deleted at the end, for many files to be moved from by `replace`.

    Raises `OSError` if it cannot be created. `remove_leftovers` removes it if this process is
    killed.
    """
    with claimed_folder(parent / f"{_MARK}{uuid.uuid4().hex[:16]}.tmp") as folder:
        yield folder


def remove_leftovers(folder: Path) -> list[Path]:
    """Remove what killed processes left in a folder; return the paths."""
    return [
        *remove_abandoned(folder.glob(f".*{_MARK}*.tmp")),
        *remove_abandoned_folders(folder.glob(f"{_MARK}*.tmp")),
    ]


@lru_cache(maxsize=1024)
def _remove_leftovers_once(folder: Path) -> None:
    """Remove leftovers, once per process and folder: thousands of files may be written there."""
    remove_leftovers(folder)


def write_durably(path: Path, data: bytes) -> None:
    """Write a private file and wait until it is on disk."""
    with open_private(path, os.O_WRONLY | os.O_TRUNC) as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def open_private(path: Path, flags: int, *, buffering: int = -1) -> BinaryIO:
    """Open a file, created readable by its owner only; `flags` are those of `os.open`."""
    descriptor = os.open(path, flags | os.O_CREAT | getattr(os, "O_BINARY", 0), PRIVATE_FILE)
    appends, reads = flags & os.O_APPEND, flags & os.O_RDWR
    mode = ("ab" if appends else "wb") + ("+" if reads else "")
    return os.fdopen(descriptor, mode, buffering)  # type: ignore[return-value]


def sync_file(path: Path) -> None:
    """Wait until a file written by another library is on disk."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the directory entries of `folder` are on disk, on systems that support it."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def cannot_write(path: Path, error: OSError) -> StoreError:
    """Return the error for a failed write."""
    return StoreError(
        f"{path} cannot be written: {error.strerror or error}. {_remedy(error)}, then rerun to "
        "resume; completed work is kept."
    )


def cannot_read(path: Path, error: OSError) -> StoreError:
    """Return the error for a failed read."""
    return StoreError(
        f"{path} cannot be read: {error.strerror or error}. {_remedy(error)}. Nothing was modified."
    )


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}{_MARK}{uuid.uuid4().hex[:16]}.tmp")


def _remedy(error: OSError) -> str:
    """Return what to do about an error of the system, as a sentence without its period."""
    return _REMEDIES.get(error.errno or 0, "Fix this or choose another folder")


_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)
"""Errors of file systems without hard links."""
_NO_SPACE = "Free some space or choose another folder"
_NO_PERMISSION = "Check the permissions or choose another folder"
_TOO_MANY_FILES = "Raise the limit on open files (ulimit -n)"
_REMEDIES = {
    errno.ENOSPC: _NO_SPACE,
    errno.EDQUOT: _NO_SPACE,
    errno.EACCES: _NO_PERMISSION,
    errno.EPERM: _NO_PERMISSION,
    errno.EROFS: "Choose another folder",
    errno.EMFILE: _TOO_MANY_FILES,
    errno.ENFILE: _TOO_MANY_FILES,
    errno.EFBIG: "Raise the limit on file sizes (ulimit -f) or choose another folder",
    errno.EIO: "Check the disk or choose another folder",
    errno.ENAMETOOLONG: "Choose a shorter path",
}
_FILE_TYPES = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
