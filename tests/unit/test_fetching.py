"""Fetching from a real server on the loopback that fails in every usual way."""

from __future__ import annotations

import errno
import hashlib
import io
import re
import threading
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fgbench import fetching
from fgbench.cards import Card, DataFolder
from fgbench.errors import DataError, StoreError

BODY = bytes(range(256)) * 2000
QUICK = fetching.RetryPolicy(timeout=5, attempts=3, pause=0.01)


class Server(ThreadingHTTPServer):
    """Serves `body`; `faults` holds what goes wrong with each request in turn."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.etag = BODY, '"v1"'
        self.faults: list[str] = []
        self.seen: list[str | None] = []
        self.sent = 0


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""

    def do_GET(self) -> None:
        server = self.server
        server.seen.append(self.headers.get("Range"))
        fault = server.faults.pop(0) if server.faults else ""
        if fault.isdigit():
            self.send_response(int(fault))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if fault.startswith("to:"):
            self.send_response(302)
            self.send_header("Location", fault.removeprefix("to:"))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start, total = 0, len(server.body)
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        fresh = self.headers.get("If-Range") in (None, server.etag)
        if wanted and fresh and fault != "ignore-range":
            start = int(wanted[1])
            if start >= total:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{total}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            shown = 0 if fault == "wrong-range" else start
            self.send_header("Content-Range", f"bytes {shown}-{total - 1}/{total}")
        else:
            self.send_response(200)
        content = server.body[start:]
        if fault.startswith("length:"):
            self.send_header("Content-Length", fault.removeprefix("length:"))
            self.close_connection = True
        elif fault != "no-length":
            self.send_header("Content-Length", str(len(content)))
        if server.etag:
            self.send_header("ETag", server.etag)
        if fault == "gzip":
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        if fault == "drip":
            for byte in content[:50]:
                self.wfile.write(bytes([byte]))
                time.sleep(0.05)
            return
        if fault == "reset":
            content = content[: len(content) // 2]
        server.sent += len(content)
        self.wfile.write(content)
        if fault in ("reset", "no-length"):
            self.close_connection = True


class Listener:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.bytes: list[int] = []

    def started(self, filename: str, total: int | None) -> None:
        self.lines.append(f"start {filename} {total}")

    def advanced(self, done: int) -> None:
        self.bytes.append(done)

    def message(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def card_of(server: Server, *, filename: str = "file.bin", **source: Any) -> Card:
    source = {
        "url": f"http://127.0.0.1:{server.server_address[1]}/file",
        "filename": filename,
        "sha256": hashlib.sha256(BODY).hexdigest(),
    } | source
    labels = [{"name": name, "description": name} for name in "ab"]
    return Card.model_validate(
        {
            "name": "mine",
            "title": "t",
            "licence": "l",
            "task": "t",
            "splits": "s",
            "citation": {"text": "c"},
            "labels": labels,
            "sources": {"all": source},
        }
    )


def fetch(card: Card, cache: Path, **options: Any) -> fetching.Fetched:
    folder = options.pop("folder", DataFolder(None, cache))
    listener = options.pop("listener", Listener())
    return fetching.fetch(card, folder, listener, retry=QUICK, **options)[0]


def leftovers(cache: Path) -> set[str]:
    return {path.name for path in (cache / "mine").iterdir() if path.suffix != ".lock"}


WHOLE = {"file.bin", "file.bin.fetched.json"}


def test_file_is_fetched_once(server: Server, tmp_path: Path) -> None:
    card, listener = card_of(server, bytes=len(BODY)), Listener()
    assert fetch(card, tmp_path, listener=listener).status == "fetched"
    assert (tmp_path / "mine/file.bin").read_bytes() == BODY
    assert listener.bytes[-1] == len(BODY) and listener.lines == [f"start file.bin {len(BODY)}"]
    assert leftovers(tmp_path) == WHOLE
    assert fetch(card, tmp_path).status == "present"
    assert len(server.seen) == 1
    assert fetch(card, tmp_path, force=True).status == "fetched"
    DataFolder(None, tmp_path).path(card, "all")


def test_connection_reset_is_resumed(server: Server, tmp_path: Path) -> None:
    server.faults = ["reset", "reset"]
    assert fetch(card_of(server), tmp_path).status == "fetched"
    assert server.seen == [None, "bytes=256000-", "bytes=384000-"]
    assert server.sent == len(BODY)
    assert leftovers(tmp_path) == WHOLE


def test_interrupted_fetch_is_resumed_by_next_fetch(server: Server, tmp_path: Path) -> None:
    server.faults = ["reset"] * QUICK.attempts
    card = card_of(server)
    with pytest.raises(DataError, match=r"ended after .* gave up after 3 attempts\. Rerun"):
        fetch(card, tmp_path)
    assert "file.bin" not in leftovers(tmp_path)
    assert fetch(card, tmp_path).status == "fetched"
    assert server.sent == len(BODY)


def test_server_ignoring_range_restarts_download(server: Server, tmp_path: Path) -> None:
    server.faults = ["reset", "ignore-range"]
    fetch(card_of(server), tmp_path)
    assert (tmp_path / "mine/file.bin").read_bytes() == BODY


def test_server_sending_wrong_range_restarts_download(server: Server, tmp_path: Path) -> None:
    server.faults = ["reset", "wrong-range"]
    fetch(card_of(server), tmp_path)
    assert (tmp_path / "mine/file.bin").read_bytes() == BODY


def test_changed_remote_file_restarts_download(server: Server, tmp_path: Path) -> None:
    server.faults, server.body, server.etag = ["reset"] * 3, b"old" * 50000, '"v0"'
    card = card_of(server, sha256=None)
    with pytest.raises(DataError):
        fetch(card, tmp_path)
    server.body, server.etag = BODY, '"v1"'
    fetch(card, tmp_path)
    assert (tmp_path / "mine/file.bin").read_bytes() == BODY


def test_stale_part_is_detected_by_digest(server: Server, tmp_path: Path) -> None:
    server.faults, server.body, server.etag = ["reset"] * 3, b"old" * 50000, ""
    card = card_of(server)
    with pytest.raises(DataError):
        fetch(card, tmp_path)
    server.body = BODY
    fetch(card, tmp_path)
    assert (tmp_path / "mine/file.bin").read_bytes() == BODY


def test_complete_part_is_renamed_without_download(server: Server, tmp_path: Path) -> None:
    card = card_of(server)
    fetch(card, tmp_path)
    whole = tmp_path / "mine/file.bin"
    whole.rename(tmp_path / "mine/file.bin.part")
    url = card.source("all").url
    (tmp_path / "mine/file.bin.part.json").write_text(f'{{"url": "{url}", "validator": null}}')
    assert fetch(card, tmp_path).status == "fetched"
    assert server.sent == len(BODY)


def test_part_longer_than_file_is_discarded(server: Server, tmp_path: Path) -> None:
    card = card_of(server)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file.bin.part").write_bytes(BODY + b"more")
    url = card.source("all").url
    (tmp_path / "mine/file.bin.part.json").write_text(f'{{"url": "{url}", "validator": null}}')
    fetch(card, tmp_path)
    assert (tmp_path / "mine/file.bin").read_bytes() == BODY


def test_wrong_digest_leaves_no_file(server: Server, tmp_path: Path) -> None:
    server.body = b"something else"
    with pytest.raises(DataError, match=r"has SHA-256 .* instead of .* was deleted"):
        fetch(card_of(server), tmp_path)
    assert leftovers(tmp_path) == set()


def test_wrong_size_is_refused_before_download(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the server offers 512,000 bytes, but the card says 7"):
        fetch(card_of(server, bytes=7), tmp_path)
    server.faults = ["no-length"]
    with pytest.raises(DataError, match="more than the card's 7 bytes"):
        fetch(card_of(server, bytes=7), tmp_path)
    assert leftovers(tmp_path) == set()


@pytest.mark.parametrize("length", ["²", "9" * 5000, "-1", "", "1e3", "x"])
def test_malformed_length_is_ignored(server: Server, tmp_path: Path, length: str) -> None:
    server.faults = [f"length:{length}"]
    assert fetch(card_of(server), tmp_path).status == "fetched"


def test_compressed_transfer_is_refused(server: Server, tmp_path: Path) -> None:
    server.faults = ["gzip"]
    with pytest.raises(DataError, match="Content-Encoding gzip"):
        fetch(card_of(server, sha256=None), tmp_path)
    assert leftovers(tmp_path) == set()


def test_file_without_a_size_on_its_card_is_limited(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "MAX_BYTES", 1000)
    for fault in ("", "no-length"):
        server.faults = [fault]
        with pytest.raises(DataError, match="more than 1,000 bytes"):
            fetch(card_of(server), tmp_path)
        assert leftovers(tmp_path) == set()
    assert fetch(card_of(server, bytes=len(BODY)), tmp_path).status == "fetched"


def test_slow_server_is_given_up(server: Server, tmp_path: Path) -> None:
    server.faults = ["drip"]
    policy = fetching.RetryPolicy(timeout=5, attempts=3, pause=0.01, total=0.3)
    with pytest.raises(DataError, match="too slow"):
        fetching.fetch(card_of(server), DataFolder(None, tmp_path), Listener(), retry=policy)
    assert len(server.seen) == 1


def test_redirects_to_other_hosts_need_a_digest_or_a_public_address(
    server: Server, tmp_path: Path
) -> None:
    port = server.server_address[1]
    there = f"to:http://localhost:{port}/file"
    server.faults = [there]
    with pytest.raises(DataError, match="redirects to localhost, an address of the local network"):
        fetch(card_of(server, sha256=None), tmp_path)
    server.faults = [there]
    assert fetch(card_of(server), tmp_path).status == "fetched"
    server.faults = [f"to:http://127.0.0.1:{port}/other"]
    assert fetch(card_of(server, sha256=None), tmp_path, force=True).status == "fetched"


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher:x"])
def test_redirects_to_other_schemes_are_refused(
    server: Server, tmp_path: Path, target: str
) -> None:
    server.faults = [f"to:{target}"] * 5
    with pytest.raises(DataError, match=r"redirect|not allowed"):
        fetch(card_of(server), tmp_path)


def test_redirect_from_https_to_http_is_refused(server: Server) -> None:
    handler = fetching._Redirects(card_of(server).source("all"))
    request = urllib.request.Request("https://example.org/file")
    with pytest.raises(DataError, match="redirects from https to http; refused"):
        handler.redirect_request(request, None, 302, "", {}, "http://example.org/file")


@pytest.mark.parametrize("status", ["404", "403"])
def test_client_error_is_not_retried(server: Server, tmp_path: Path, status: str) -> None:
    server.faults = [status]
    with pytest.raises(DataError, match=f"the server returned {status}.*--data-dir"):
        fetch(card_of(server), tmp_path)
    assert len(server.seen) == 1


def test_busy_server_is_retried_a_limited_number_of_times(server: Server, tmp_path: Path) -> None:
    server.faults = ["503", "429"]
    assert fetch(card_of(server), tmp_path).status == "fetched"
    server.faults = ["500"] * 9
    with pytest.raises(DataError, match=r"500 .*3 attempts"):
        fetch(card_of(server), tmp_path, force=True)
    assert (tmp_path / "mine/file.bin").read_bytes() == BODY


def test_unreachable_server_is_one_error(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be reached"):
        fetch(card_of(server, url="http://127.0.0.1:1/file"), tmp_path)


def test_first_digest_is_recorded_and_changes_warn(server: Server, tmp_path: Path) -> None:
    card = card_of(server, sha256="0" * 64, confirmed=False)
    first = fetch(card, tmp_path)
    assert first.warning is not None and "unconfirmed" in first.warning
    assert fetch(card, tmp_path).status == "present"
    server.body = b"new edition"
    again = fetch(card, tmp_path, force=True)
    assert again.warning is not None and "has changed at its source" in again.warning
    folder = DataFolder(None, tmp_path)
    assert folder.path(card, "all").read_bytes() == b"new edition"
    assert "unconfirmed" in folder.warnings[0]


def test_html_instead_of_archive_is_refused(server: Server, tmp_path: Path) -> None:
    card = card_of(server, filename="file.zip", sha256=None)
    server.body = b"<html>Please sign in</html>"
    with pytest.raises(DataError, match="is not a zip archive"):
        fetch(card, tmp_path)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("a", "b")
    server.body = archive.getvalue()
    assert fetch(card, tmp_path).status == "fetched"


def test_corrupt_file_is_fetched_again(server: Server, tmp_path: Path) -> None:
    fetch(card_of(server), tmp_path)
    (tmp_path / "mine/file.bin").write_bytes(b"rotten")
    assert fetch(card_of(server), tmp_path).status == "fetched"


def test_user_file_is_not_modified(server: Server, tmp_path: Path) -> None:
    (tmp_path / "own/mine").mkdir(parents=True)
    (tmp_path / "own/mine/file.bin").write_bytes(b"mine")
    folder = DataFolder(tmp_path / "own", tmp_path / "cache")
    assert fetch(card_of(server), tmp_path, folder=folder).status == "local"
    assert server.seen == []


def test_concurrent_fetches_download_once(server: Server, tmp_path: Path) -> None:
    card, results = card_of(server), []
    threads = [
        threading.Thread(target=lambda: results.append(fetch(card, tmp_path).status))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["fetched", "present", "present", "present"]
    assert server.sent == len(BODY)


def test_full_disk_is_one_error_without_retry(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.RawIOBase):
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    real = Path.open

    def full(self: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        return Full() if mode == "ab" else real(self, mode, *arguments, **options)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(StoreError, match="the disk is full"):
        fetch(card_of(server), tmp_path)
    assert len(server.seen) == 1


def test_unwritable_cache_is_one_error(server: Server, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(StoreError, match=r"cannot be written.*FGBENCH_CACHE"):
        fetch(card_of(server), tmp_path / "cache")
