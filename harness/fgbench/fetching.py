"""Download the official files of a data set into the cache: resumed, checked, and whole or absent.

A file grows as `<name>.part`; it takes its name only when all of it has come and its digest is
right. A broken download is taken up where it ended, when the server says that the file is still
the same one (If-Range), or when the card's digest would tell.
"""

from __future__ import annotations

import errno
import http.client
import json
import os
import socket
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from fgbench._version import __version__
from fgbench.cards import Card, DataFolder, Source, record_path, recorded_digest
from fgbench.digests import digest_file
from fgbench.errors import DataError, StoreError

_CHUNK = 1 << 16
_RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


class Progress(Protocol):
    """What is told of a download while it runs."""

    def started(self, filename: str, total: int | None) -> None:
        """A file starts to come, of `total` bytes if the server says so."""

    def advanced(self, done: int) -> None:
        """`done` bytes of it are here, those of an earlier attempt included."""

    def said(self, message: str) -> None:
        """Something worth a line happened."""


@dataclass(frozen=True)
class Patience:
    """How long to wait and how often to try: seconds a read, attempts a file, first pause (s).

    The pause doubles with every attempt.
    """

    timeout: float = 30.0
    attempts: int = 5
    pause: float = 1.0


@dataclass(frozen=True)
class Fetched:
    """One source after fetching: `status` is fetched, present or local (the user's own file)."""

    source: str
    path: Path
    status: str
    sha256: str | None
    warning: str | None = None


class _BrokenOffError(Exception):
    """The transfer ended early in a way that may not happen again."""


def fetch(
    card: Card,
    folder: DataFolder,
    progress: Progress,
    *,
    force: bool = False,
    patience: Patience | None = None,
) -> list[Fetched]:
    """Bring all sources of a card into the cache of `folder`; what is there and right stays.

    Files that the user's data folder has are not fetched. With `force`, everything is fetched
    anew. Raises `DataError` for what the server or the network does wrong, and for a wrong digest;
    `StoreError` for a cache that cannot be written.
    """
    return [
        _fetch_source(card, key, folder, progress, force, patience or Patience())
        for key in card.sources
    ]


def _fetch_source(
    card: Card, key: str, folder: DataFolder, progress: Progress, force: bool, patience: Patience
) -> Fetched:
    source, path = card.source(key), folder.fetched_path(card, key)
    located = folder.locate(card, key)
    if located is not None and located[1] and not force:
        return Fetched(key, located[0], "local", None)
    with _writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path, progress):
        if not force and path.is_file():
            found = digest_file(path)
            if found == (source.pinned or recorded_digest(path)):
                return Fetched(key, path, "present", found, _unconfirmed(source, found))
        before = recorded_digest(path)
        part = _Part(path, source)
        found = _download(card, source, part, progress, patience)
        with _writing(path.parent):
            part.become_whole(found)
    changed = None
    if source.pinned is None and before not in (None, found):
        changed = (
            f"{source.filename} has changed at its source since it was first fetched (SHA-256 "
            f"{before}, now {found})."
        )
    return Fetched(key, path, "fetched", found, changed or _unconfirmed(source, found))


def _unconfirmed(source: Source, found: str) -> str | None:
    if source.sha256 in (None, found):
        return None
    return (
        f"{source.filename} has SHA-256 {found}, not the {source.sha256} that others report; the "
        "card's digest is unconfirmed, and the one that came is recorded."
    )


class _Part:
    """A file that is growing, and what identifies the remote file it is a part of."""

    def __init__(self, path: Path, source: Source) -> None:
        self.path = path
        self.source = source
        self.part = path.with_name(path.name + ".part")
        self.note = path.with_name(path.name + ".part.json")

    def resume_point(self) -> tuple[int, str | None]:
        """Return how many bytes are here that may be kept, and the validator of If-Range."""
        try:
            size = self.part.stat().st_size
            note: Any = json.loads(self.note.read_text(encoding="utf-8"))
            validator = note["validator"]
            same = note["url"] == self.source.url
        except (OSError, ValueError, KeyError, TypeError):
            return 0, None
        if not same or not (validator or self.source.pinned):
            return 0, None
        return size, validator

    def identify(self, validator: str | None) -> None:
        """Note what the bytes that follow are a part of."""
        note = {"url": self.source.url, "validator": validator}
        self.note.write_text(json.dumps(note), encoding="utf-8")

    def drop(self) -> None:
        """Forget what has come."""
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def become_whole(self, sha256: str) -> None:
        """Give the file its name, after a record of what it is."""
        record = record_path(self.path)
        temporary = record.with_name(record.name + ".tmp")
        fetched = {
            "url": self.source.url,
            "sha256": sha256,
            "bytes": self.part.stat().st_size,
            "fetched": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        temporary.write_text(json.dumps(fetched, indent=2) + "\n", encoding="utf-8")
        temporary.replace(record)
        with self.part.open("rb+") as stream:
            os.fsync(stream.fileno())
        self.part.replace(self.path)
        self.note.unlink(missing_ok=True)


def _download(
    card: Card, source: Source, part: _Part, progress: Progress, patience: Patience
) -> str:
    """Bring the whole file into `part` and return its digest."""
    resumed = _transfer_patiently(source, part, progress, patience)
    found = digest_file(part.part)
    if resumed and _wrong(source, part, found):
        progress.said(f"{source.filename}: the resumed file is not right; starting anew.")
        part.drop()
        _transfer_patiently(source, part, progress, patience)
        found = digest_file(part.part)
    problem = _wrong(source, part, found)
    if problem:
        part.drop()
        raise DataError(
            f"dataset {card.name}: what came from {source.url} {problem}. It was removed: try "
            f"again, or put {card.folder_name}/{source.filename} into a data folder (--data-dir)."
        )
    return found


def _wrong(source: Source, part: _Part, found: str) -> str | None:
    if source.pinned is not None and found != source.pinned:
        return f"has SHA-256 {found} instead of {source.pinned}"
    if source.filename.endswith(".zip") and not zipfile.is_zipfile(part.part):
        return "is not a zip archive"
    return None


def _transfer_patiently(
    source: Source, part: _Part, progress: Progress, patience: Patience
) -> bool:
    """Transfer, trying again after a break; return whether bytes of an earlier start are in it."""
    resumed = False
    for attempt in range(1, patience.attempts + 1):
        try:
            return _transfer(source, part, progress, patience.timeout) or resumed
        except _BrokenOffError as reason:
            if attempt == patience.attempts:
                raise DataError(
                    f"{source.url}: {reason}, in {attempt} attempts. Fetch again later: it goes "
                    "on from what has come."
                ) from reason.__cause__
            progress.said(f"{source.filename}: {reason}; trying again.")
            time.sleep(patience.pause * 2 ** (attempt - 1))
            resumed = True
    raise AssertionError("patience.attempts must be at least 1")


def _transfer(source: Source, part: _Part, progress: Progress, timeout: float) -> bool:
    """Bring what is missing of the file; return whether it began with what was here."""
    offset, validator = part.resume_point()
    headers = {"User-Agent": f"fgbench/{__version__}", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if validator:
            headers["If-Range"] = validator
    request = urllib.request.Request(source.url, headers=headers)
    try:
        with _network(source.url), urllib.request.urlopen(request, timeout=timeout) as response:
            return _receive(response, source, part, offset, progress)
    except urllib.error.HTTPError as error:
        with error:
            return _refused(error, source, part, offset)


def _refused(error: urllib.error.HTTPError, source: Source, part: _Part, offset: int) -> bool:
    if error.code == 416 and offset:
        total = (error.headers.get("Content-Range") or "").rpartition("/")[2]
        if total == str(offset):
            return True
        part.drop()
        raise _BrokenOffError("the part that was here is not one of the file") from error
    if error.code in _RETRIED_STATUSES:
        raise _BrokenOffError(f"the server answers {error.code} {error.reason}") from error
    raise DataError(
        f"{source.url}: the server answers {error.code} {error.reason}. Download "
        f"{source.filename} by hand into a data folder (--data-dir), or try again later."
    ) from error


def _receive(response: Any, source: Source, part: _Part, offset: int, progress: Progress) -> bool:
    continues = bool(response.status == 206)
    if continues and not _starts_at(response, offset):
        part.drop()
        raise _BrokenOffError("the server sent another range than the one asked for")
    done = offset if continues else 0
    length = response.headers.get("Content-Length") or ""
    total = done + int(length) if length.isdigit() else None
    allowed = source.bytes if source.confirmed else None
    if allowed is not None and total not in (None, allowed):
        part.drop()
        raise DataError(
            f"{source.url}: the server offers {total:,} bytes, the card says {allowed:,}. The "
            "file has changed at its source."
        )
    with _writing(part.path.parent):
        if not continues:
            part.drop()
            part.identify(_validator(response))
        stream = part.part.open("ab", buffering=0)
    with stream:
        progress.started(source.filename, total)
        progress.advanced(done)
        while chunk := response.read(_CHUNK):
            done += len(chunk)
            if allowed is not None and done > allowed:
                part.drop()
                raise DataError(
                    f"{source.url}: more than the card's {allowed:,} bytes came. The file has "
                    "changed at its source."
                )
            _append(stream, chunk, part)
            progress.advanced(done)
    if total is not None and done < total:
        raise _BrokenOffError(f"the connection ended after {done:,} of {total:,} bytes")
    return continues


def _append(stream: IO[bytes], chunk: bytes, part: _Part) -> None:
    # Unbuffered, so that no error of the disk is left for closing.
    view = memoryview(chunk)
    with _writing(part.path.parent):
        while view:
            view = view[stream.write(view) :]


def _starts_at(response: Any, offset: int) -> bool:
    value = str(response.headers.get("Content-Range") or "")
    return value.replace("bytes", "").strip().partition("-")[0] == str(offset)


def _validator(response: Any) -> str | None:
    """Return a strong ETag, or else the date of the last change: what If-Range can take."""
    etag = response.headers.get("ETag")
    if etag and not etag.startswith("W/"):
        return str(etag)
    return response.headers.get("Last-Modified") or None


@contextmanager
def _network(url: str) -> Iterator[None]:
    """Turn what the network does into `_BrokenOffError`; an HTTP status stays as it is."""
    try:
        yield
    except urllib.error.HTTPError:
        raise
    except urllib.error.URLError as error:
        if isinstance(error.reason, socket.gaierror):
            raise DataError(
                f"{url}: the server's name cannot be resolved ({error.reason.strerror}). Check "
                "the network, or put the file into a data folder (--data-dir)."
            ) from error
        raise _BrokenOffError(f"the server cannot be reached ({error.reason})") from error
    except TimeoutError as error:
        raise _BrokenOffError("the server has stopped answering") from error
    except (http.client.HTTPException, OSError) as error:
        raise _BrokenOffError(f"the connection broke ({error or type(error).__name__})") from error


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turn what the disk does into a `StoreError`, which the network's errors cannot be."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(
                f"{folder}: the disk is full. Free some space and fetch again (it goes on from "
                "what has come), or set FGBENCH_CACHE to another folder."
            ) from error
        raise StoreError(
            f"{folder}: it cannot be written ({error.strerror or error}). Set FGBENCH_CACHE to a "
            "folder that can."
        ) from error


@contextmanager
def _locked(path: Path, progress: Progress) -> Iterator[None]:
    """Keep other processes from fetching the same file; wait for one that does."""
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_name(path.name + ".lock"))
    with _writing(path.parent):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            progress.said(f"{path.name}: another fgbench is fetching it; waiting.")
            lock.acquire()
    try:
        yield
    finally:
        lock.release()
