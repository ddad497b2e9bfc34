"""Download the official files of a data set into the cache, with resume and digest checks.

A file is downloaded to `<name>.part` and renamed when it is complete and its digest is correct. An
interrupted download resumes if the server confirms that the file has not changed (If-Range), or if
the card has a digest that would reveal a change.
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
from urllib.parse import urlsplit

from fgbench._version import __version__
from fgbench.cards import Card, DataFolder, Source, record_path, recorded_digest
from fgbench.digests import digest_file
from fgbench.errors import DataError, StoreError
from fgbench.foreign import NOTE, read_json
from fgbench.store.atomic import replace, write_atomically

MAX_BYTES = 16 << 30
"""Of a file whose card does not state its size."""
_CHUNK = 1 << 16
_RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


class Progress(Protocol):
    """Receives the progress of downloads."""

    def started(self, filename: str, total: int | None) -> None:
        """Called when a file's download starts; `total` is its size in bytes if it is known."""

    def advanced(self, done: int) -> None:
        """Called when `done` bytes of the file are present, including earlier attempts."""

    def message(self, text: str) -> None:
        """Called with a line for the user."""


@dataclass(frozen=True)
class RetryPolicy:
    """Timeout of a read (seconds), attempts per file, and the first pause between them (seconds).

    The pause doubles with each attempt. `total` limits the time of a file with all attempts
    (seconds): a server that sends a byte now and then never runs into the timeout of a read.
    """

    timeout: float = 30.0
    total: float = 6 * 3600.0
    attempts: int = 5
    pause: float = 1.0


@dataclass(frozen=True)
class Fetched:
    """A source after `fetch`: `status` is fetched, present or local (a user's file)."""

    source: str
    path: Path
    status: str
    sha256: str | None
    warning: str | None = None


class _TransferError(Exception):
    """The transfer ended early, for a reason that may be temporary."""


def fetch(
    card: Card,
    folder: DataFolder,
    progress: Progress,
    *,
    force: bool = False,
    retry: RetryPolicy | None = None,
) -> list[Fetched]:
    """Download the sources of a card into the cache of `folder`, unless intact files are present.

    Files in the user's data folder are not downloaded. With `force`, everything is downloaded
    again. Raises `DataError` for errors of the server or network and for a digest mismatch, and
    `StoreError` if the cache cannot be written.
    """
    return [
        _fetch_source(card, key, folder, progress, force, retry or RetryPolicy())
        for key in card.sources
    ]


def _fetch_source(
    card: Card, key: str, folder: DataFolder, progress: Progress, force: bool, retry: RetryPolicy
) -> Fetched:
    source, path = card.source(key), folder.fetched_path(card, key)
    located = folder.locate(card, key)
    if located is not None and located[1] and not force:
        return Fetched(key, located[0], "local", None)
    with _writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path, progress):
        if not force and path.is_file():
            sha256 = digest_file(path)
            if sha256 == (source.pinned or recorded_digest(path)):
                return Fetched(key, path, "present", sha256, _unconfirmed(source, sha256))
        previous = recorded_digest(path)
        part = _Part(path, source)
        sha256 = _download(card, source, part, progress, retry)
        with _writing(path.parent):
            part.complete(sha256)
    changed = None
    if source.pinned is None and previous not in (None, sha256):
        changed = (
            f"{source.filename} has changed at its source since it was last downloaded (SHA-256 "
            f"{previous}, now {sha256})."
        )
    return Fetched(key, path, "fetched", sha256, changed or _unconfirmed(source, sha256))


def _unconfirmed(source: Source, sha256: str) -> str | None:
    if source.sha256 in (None, sha256):
        return None
    return (
        f"{source.filename} has SHA-256 {sha256}, but others report {source.sha256}. The card's "
        "digest is unconfirmed; the actual one was recorded."
    )


class _Part:
    """A partial download, and a note that identifies its remote file."""

    def __init__(self, path: Path, source: Source) -> None:
        self.path = path
        self.source = source
        self.part = path.with_name(path.name + ".part")
        self.note = path.with_name(path.name + ".part.json")

    def resume_point(self) -> tuple[int, str | None]:
        """Return the number of bytes to resume from, and the validator for If-Range."""
        try:
            size = self.part.stat().st_size
            note = read_json(self.note, NOTE)
            validator = note["validator"]
            is_same_url = note["url"] == self.source.url
        except (OSError, DataError, KeyError, TypeError):
            return 0, None
        if not isinstance(validator, str | None):
            return 0, None
        if not is_same_url or not (validator or self.source.pinned):
            return 0, None
        return size, validator

    def identify(self, validator: str | None) -> None:
        """Record which remote file the following bytes belong to."""
        note = {"url": self.source.url, "validator": validator}
        self.note.write_text(json.dumps(note), encoding="utf-8")

    def drop(self) -> None:
        """Delete the partial download."""
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def complete(self, sha256: str) -> None:
        """Write the record of the complete file, then rename the file."""
        record = record_path(self.path)
        fetched = {
            "url": self.source.url,
            "sha256": sha256,
            "bytes": self.part.stat().st_size,
            "fetched": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        write_atomically(record, json.dumps(fetched, indent=2) + "\n", public=True)
        with self.part.open("rb+") as stream:
            os.fsync(stream.fileno())
        replace(self.part, self.path)
        self.note.unlink(missing_ok=True)


def _download(
    card: Card, source: Source, part: _Part, progress: Progress, retry: RetryPolicy
) -> str:
    """Download the complete file to `part` and return its digest."""
    resumed = _transfer_with_retries(source, part, progress, retry)
    sha256 = digest_file(part.part)
    if resumed and _problem(source, part, sha256):
        progress.message(f"{source.filename}: the resumed file is corrupt; starting over.")
        part.drop()
        _transfer_with_retries(source, part, progress, retry)
        sha256 = digest_file(part.part)
    problem = _problem(source, part, sha256)
    if problem:
        part.drop()
        raise DataError(
            f"dataset {card.name}: the download from {source.url} {problem} and was deleted. Try "
            f"again, or put {card.folder_name}/{source.filename} into a data folder (--data-dir)."
        )
    return sha256


def _problem(source: Source, part: _Part, sha256: str) -> str | None:
    if source.pinned is not None and sha256 != source.pinned:
        return f"has SHA-256 {sha256} instead of {source.pinned}"
    if source.filename.endswith(".zip") and not zipfile.is_zipfile(part.part):
        return "is not a zip archive"
    return None


def _transfer_with_retries(
    source: Source, part: _Part, progress: Progress, retry: RetryPolicy
) -> bool:
    """Transfer with retries; return whether the file contains bytes of an earlier attempt."""
    resumed = False
    deadline = time.monotonic() + retry.total
    for attempt in range(1, retry.attempts + 1):
        try:
            return _transfer(source, part, progress, retry.timeout, deadline) or resumed
        except _TransferError as reason:
            if attempt == retry.attempts:
                raise DataError(
                    f"{source.url}: {reason}; gave up after {attempt} attempts. Rerun later to "
                    "resume the download."
                ) from reason.__cause__
            progress.message(f"{source.filename}: {reason}; retrying.")
            time.sleep(retry.pause * 2 ** (attempt - 1))
            resumed = True
    raise AssertionError("retry.attempts must be at least 1")


def _transfer(
    source: Source, part: _Part, progress: Progress, timeout: float, deadline: float
) -> bool:
    """Download the missing bytes of the file; return whether the transfer resumed."""
    offset, validator = part.resume_point()
    headers = {"User-Agent": f"fgbench/{__version__}", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if validator:
            headers["If-Range"] = validator
    request = urllib.request.Request(source.url, headers=headers)
    try:
        opener = urllib.request.build_opener(_Redirects(source))
        with _network(source.url), opener.open(request, timeout=timeout) as response:
            return _receive(response, source, part, offset, progress, deadline)
    except urllib.error.HTTPError as error:
        with error:
            return _refused(error, source, part, offset)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but not from https to http.

    Without a digest that the file must have, a redirect to an address of the local network is
    refused, too: the server could have the content of an internal page stored as data.
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Return the request for the new address; raise `DataError` if it is refused."""
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if new.scheme not in ("https", old.scheme) or new.scheme not in ("http", "https"):
            raise DataError(
                f"{self._source.url}: the server redirects from {old.scheme} to {new.scheme or '?'}"
                "; refused."
            )
        if self._source.pinned is None and new.hostname != old.hostname:
            _require_public(self._source.url, new.hostname or "")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require_public(url: str, host: str) -> None:
    from ipaddress import ip_address

    try:
        addresses = {str(item[4][0]) for item in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return  # the connection will report it
    if not all(ip_address(address.partition("%")[0]).is_global for address in addresses):
        raise DataError(
            f"{url}: the server redirects to {host}, an address of the local network; refused. "
            "If this is intended, add the file's sha256 to the card."
        )


def _refused(error: urllib.error.HTTPError, source: Source, part: _Part, offset: int) -> bool:
    if error.code == 416 and offset:
        total = (error.headers.get("Content-Range") or "").rpartition("/")[2]
        if total == str(offset):
            return True
        part.drop()
        raise _TransferError("the partial download is not part of the file") from error
    if error.code in _RETRIED_STATUSES:
        raise _TransferError(f"the server returned {error.code} {_short(error.reason)}") from error
    raise DataError(
        f"{source.url}: the server returned {error.code} {_short(error.reason)}. Try again later, "
        f"or download {source.filename} manually into a data folder (--data-dir)."
    ) from error


def _short(reason: object) -> str:
    text = " ".join(str(reason).split())
    return text if len(text) <= 100 else f"{text[:100]}…"


def _receive(
    response: Any,
    source: Source,
    part: _Part,
    offset: int,
    progress: Progress,
    deadline: float,
) -> bool:
    encoding = (response.headers.get("Content-Encoding") or "identity").strip().lower()
    if encoding != "identity":
        raise DataError(
            f"{source.url}: the server sent the file with Content-Encoding {_short(encoding)}, "
            f"although none was accepted. Download {source.filename} manually into a data folder "
            "(--data-dir)."
        )
    continues = bool(response.status == 206)
    if continues and not _starts_at(response, offset):
        part.drop()
        raise _TransferError("the server sent a different range than requested")
    done = offset if continues else 0
    length = response.headers.get("Content-Length") or ""
    is_length = length.isascii() and length.isdigit() and len(length) < 19
    total = done + int(length) if is_length else None
    allowed = source.bytes if source.confirmed else None
    if allowed is None and (total or 0) > MAX_BYTES:
        raise _too_large(source)
    if allowed is not None and total not in (None, allowed):
        part.drop()
        raise DataError(
            f"{source.url}: the server offers {total:,} bytes, but the card says {allowed:,}. The "
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
        while chunk := response.read1(_CHUNK):
            done += len(chunk)
            if time.monotonic() > deadline:
                raise DataError(
                    f"{source.url}: the server is too slow: {done:,} bytes so far. Rerun to resume "
                    f"the download, or put {source.filename} into a data folder (--data-dir)."
                )
            if allowed is None and done > MAX_BYTES:
                part.drop()
                raise _too_large(source)
            if allowed is not None and done > allowed:
                part.drop()
                raise DataError(
                    f"{source.url}: the server sent more than the card's {allowed:,} bytes. The "
                    "file has changed at its source."
                )
            _append(stream, chunk, part)
            progress.advanced(done)
    if total is not None and done < total:
        raise _TransferError(f"the connection ended after {done:,} of {total:,} bytes")
    return continues


def _too_large(source: Source) -> DataError:
    return DataError(
        f"{source.url}: more than {MAX_BYTES:,} bytes. If the file is that large, state its size "
        "and digest (bytes, sha256) in the card."
    )


def _append(stream: IO[bytes], chunk: bytes, part: _Part) -> None:
    # Unbuffered, so that disk errors are raised here and not when the file is closed.
    view = memoryview(chunk)
    with _writing(part.path.parent):
        while view:
            view = view[stream.write(view) :]


def _starts_at(response: Any, offset: int) -> bool:
    value = str(response.headers.get("Content-Range") or "")
    return value.replace("bytes", "").strip().partition("-")[0] == str(offset)


def _validator(response: Any) -> str | None:
    """Return a value for If-Range: a strong ETag, or else the date of the last change."""
    etag = response.headers.get("ETag")
    if etag and not etag.startswith("W/"):
        return str(etag)
    return response.headers.get("Last-Modified") or None


@contextmanager
def _network(url: str) -> Iterator[None]:
    """Convert network errors to `_TransferError`, except HTTP statuses."""
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
        raise _TransferError(f"the server cannot be reached ({error.reason})") from error
    except TimeoutError as error:
        raise _TransferError("the server stopped responding") from error
    except (http.client.HTTPException, OSError) as error:
        raise _TransferError(f"the connection broke ({error or type(error).__name__})") from error


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Convert disk errors to `StoreError`, so that they are not mistaken for network errors."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(
                f"{folder}: the disk is full. Free some space and rerun to resume, or set "
                "FGBENCH_CACHE to another folder."
            ) from error
        raise StoreError(
            f"{folder}: cannot be written ({error.strerror or error}). Set FGBENCH_CACHE to a "
            "writable folder."
        ) from error


@contextmanager
def _locked(path: Path, progress: Progress) -> Iterator[None]:
    """Lock a file's download; wait if another process is downloading it."""
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_name(path.name + ".lock"))
    with _writing(path.parent):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            progress.message(f"{path.name}: waiting for another process that is downloading it.")
            lock.acquire()
    try:
        yield
    finally:
        lock.release()
