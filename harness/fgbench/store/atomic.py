"""Atomic file writes: write to a temporary file, fsync, rename."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from fgbench.errors import StoreError


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write `content` to `path`; after a crash, the file has either the old or the new content.

    Raises `StoreError` if the file cannot be written (no space, no permission).
    """
    with open_atomically(path) as stream:
        stream.write(content.encode("utf-8") if isinstance(content, str) else content)


@contextlib.contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces `path` on success and is deleted on failure.

    Raises `StoreError` if the file cannot be written (no space, no permission).
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error


def write_durably(path: Path, data: bytes) -> None:
    """Write a file and wait until it is on disk."""
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


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
    reason = error.strerror or str(error)
    return StoreError(
        f"{path} cannot be written: {reason}. Free some space or choose another folder, then rerun "
        "to resume; completed work is kept."
    )


def cannot_read(path: Path, error: OSError) -> StoreError:
    """Return the error for a failed read."""
    reason = error.strerror or str(error)
    return StoreError(
        f"{path} cannot be read: {reason}. Fix this or choose another folder. Nothing was modified."
    )
