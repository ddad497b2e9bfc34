"""The SQLite database of answers: its schema, connections and error messages."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
import zlib
from pathlib import Path

from fgbench.errors import StoreError
from fgbench.store.atomic import open_private
from fgbench.store.claims import PRIVATE_FOLDER

SIDE_FILES = ("-wal", "-shm")
"""Suffixes of the files that SQLite creates next to the database while it is in use."""

_APPLICATION = 0x46474241  # "FGBA": tells the file from any other SQLite database
_VERSION = 1
_BUSY_SECONDS = 60.0
_SCHEMA = """
CREATE TABLE models (id INTEGER PRIMARY KEY, identity TEXT NOT NULL UNIQUE);
CREATE TABLE answers (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    standing INTEGER NOT NULL,
    model INTEGER NOT NULL REFERENCES models (id),
    base INTEGER REFERENCES answers (id),
    request BLOB NOT NULL,
    text TEXT, failure TEXT, served_model TEXT, finish_reason TEXT,
    requests INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    tokens BLOB, notes TEXT NOT NULL, time REAL NOT NULL
);
CREATE TABLE spending (
    run TEXT PRIMARY KEY,
    requests INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    cost_usd REAL NOT NULL, reserved_tokens INTEGER NOT NULL, reserved_cost REAL NOT NULL
);
"""


def connect(path: Path | None, read_only: bool) -> sqlite3.Connection:
    """Open the answer database at `path`, creating it if necessary; None opens one in memory.

    Raises `sqlite3.Error` (see `explain`), or `StoreError` for a database of another program.
    """
    if path is None:
        connection = _configured(":memory:")
        _make_tables(connection)
        return connection
    if read_only:
        return _connect_reading(path)
    try:
        path.parent.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
        # SQLite gives its other files the permissions of this one. An existing file is not opened:
        # closing it would release the locks that this process holds on it.
        with contextlib.suppress(FileExistsError):
            open_private(path, os.O_WRONLY | os.O_EXCL).close()
    except OSError as error:
        raise sqlite3.OperationalError(error.strerror) from error
    connection = _configured(str(path))
    try:
        if _is_new(connection, path):
            _use_write_ahead_log(connection)
            connection.execute("BEGIN IMMEDIATE")
            if _is_new(connection, path):  # another process may have created it meanwhile
                _make_tables(connection)
            connection.execute("COMMIT")
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_reading(path: Path) -> sqlite3.Connection:
    """Open a file read-only; its folder need not be writable."""
    if not path.is_file():
        raise StoreError(f"{path}: no such file.")
    # Newer answers are in the write-ahead log; without one, the file is complete and needs no lock.
    log = path.with_name(path.name + SIDE_FILES[0])
    mode = "mode=ro" if log.exists() else "immutable=1"
    connection = _configured(f"{path.resolve().as_uri()}?{mode}", uri=True)
    try:
        if _is_new(connection, path):
            raise StoreError(f"{path}: the database is empty.")
    except BaseException:
        connection.close()
        raise
    return connection


def _configured(database: str, *, uri: bool = False) -> sqlite3.Connection:
    return sqlite3.connect(
        database, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=uri
    )


def _make_tables(connection: sqlite3.Connection) -> None:
    for statement in _SCHEMA.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
    connection.execute(f"PRAGMA user_version = {_VERSION}")


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switch the file to WAL, waiting for other processes, which SQLite does not do here."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _is_new(connection: sqlite3.Connection, path: Path) -> bool:
    """Return whether a database is empty.

    Raises `StoreError` for a database of another program or of a newer version.
    """
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if not tables:
        return True
    if application != _APPLICATION:
        raise StoreError(f"{path}: not an fgbench answer database; move it aside.")
    if version > _VERSION:
        raise StoreError(
            f"{path}: written by a newer fgbench (format {version}, supported up to {_VERSION}). "
            "Update fgbench or use another store."
        )
    return False


def explain(path: Path | None, error: Exception) -> StoreError:
    """Convert an error of SQLite to a `StoreError` that says what to do."""
    where = path or "answers in memory"
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if isinstance(error, zlib.error) or code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return StoreError(
            f"{where}: not an answer database, or corrupt ({error}). Move it aside; if you have an "
            "export, import it."
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError(
            f"{where}: locked by another process for {_BUSY_SECONDS:.0f} seconds. Stop that "
            "process and rerun."
        )
    remedy = _REMEDIES.get(code, "Choose another folder with --store")
    return StoreError(
        f"{where} cannot be used: {error}. {remedy}, then rerun to resume; stored answers are kept."
    )


_NO_PERMISSION = "Check the permissions or choose another folder with --store"
_REMEDIES = {
    sqlite3.SQLITE_FULL: "Free some space or choose another folder with --store",
    sqlite3.SQLITE_PERM: _NO_PERMISSION,
    sqlite3.SQLITE_READONLY: _NO_PERMISSION,
    sqlite3.SQLITE_CANTOPEN: _NO_PERMISSION,
    sqlite3.SQLITE_IOERR: "Check the disk or choose another folder with --store",
}
