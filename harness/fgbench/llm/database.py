"""The SQLite database of answers: its tables, how it is opened, what its errors mean."""

from __future__ import annotations

import sqlite3
import time
import zlib
from pathlib import Path

from fgbench.errors import StoreError

SIDE_FILES = ("-wal", "-shm")
"""What stands beside the file while it is in use, by the ends of the names."""

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
    """Open a file of answers, or a database in memory for None; a missing file is made.

    Raises `sqlite3.Error` (see `explain`), or `StoreError` for a database of something else.
    """
    if path is None:
        connection = _configured(":memory:")
        _make_tables(connection)
        return connection
    if read_only:
        return _connect_reading(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise sqlite3.OperationalError(error.strerror) from error
    connection = _configured(str(path))
    try:
        if _is_new(connection, path):
            _use_write_ahead_log(connection)
            connection.execute("BEGIN IMMEDIATE")
            if _is_new(connection, path):  # another process may have been faster
                _make_tables(connection)
            connection.execute("COMMIT")
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_reading(path: Path) -> sqlite3.Connection:
    """Open a file that may lie where nothing can be written."""
    if not path.is_file():
        raise StoreError(f"{path}: there is no such file.")
    # A log beside it holds newer answers; without one, the file says it all and nothing is locked.
    log = path.with_name(path.name + SIDE_FILES[0])
    mode = "mode=ro" if log.exists() else "immutable=1"
    connection = _configured(f"{path.resolve().as_uri()}?{mode}", uri=True)
    try:
        if _is_new(connection, path):
            raise StoreError(f"{path}: it holds no answers.")
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
    """Switch the file to WAL; SQLite does not wait by itself where another process is at it."""
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
    """Return whether a database is empty; one of another making, or a newer one, is an error."""
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if not tables:
        return True
    if application != _APPLICATION:
        raise StoreError(f"{path}: a database, but not one of answers: move it out of the way.")
    if version > _VERSION:
        raise StoreError(
            f"{path}: written by a newer fgbench (its version is {version}, this one knows "
            f"{_VERSION}): update fgbench, or use another store."
        )
    return False


def explain(path: Path | None, error: Exception) -> StoreError:
    """Return what an error of SQLite means for the user."""
    where = path or "the answers in memory"
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if isinstance(error, zlib.error) or code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return StoreError(
            f"{where}: not a file of answers, or a damaged one ({error}): move it out of the way, "
            "and import an export of it if there is one."
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError(
            f"{where}: another process has held it for {_BUSY_SECONDS:.0f} seconds: end that one, "
            "and run the same command again."
        )
    return StoreError(
        f"{where} cannot be used: {error}. Free space, or choose another folder with --store; what "
        "was answered before is kept, and the same command goes on from there."
    )
