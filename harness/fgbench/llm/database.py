"""The SQLite database of answers: its schema, connections and error messages."""

from __future__ import annotations

import contextlib
import sqlite3
import time
import zlib
from pathlib import Path

from fgbench.errors import StoreError
from fgbench.llm.rows import DamageError, add_digests
from fgbench.store.atomic import create
from fgbench.store.claims import PRIVATE_FOLDER

SIDE_FILES = ("-wal", "-shm")
"""Suffixes of the files that SQLite creates next to the database while it is in use."""

_APPLICATION = 0x46474241  # "FGBA": tells the file from any other SQLite database
_VERSION = 2  # since 2, rows have digests
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
    tokens BLOB, notes TEXT NOT NULL, time REAL NOT NULL,
    digest BLOB
);
CREATE TABLE spending (
    run TEXT PRIMARY KEY,
    requests INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    cost_usd REAL NOT NULL, reserved_tokens INTEGER NOT NULL, reserved_cost REAL NOT NULL,
    digest BLOB
);
"""


def connect(path: Path | None, read_only: bool) -> sqlite3.Connection:
    """Open the answer database at `path`, creating it if necessary; None opens one in memory.

    Texts are read as bytes. The rows of a database of format 1 get digests. Raises `sqlite3.Error`
    or `DamageError` (see `explain`), or `StoreError` for a database of another program.
    """
    if path is None:
        connection = _configured(":memory:")
        _make_tables(connection)
        return connection
    if read_only:
        return _connect_reading(path)
    if not path.exists():
        _create(path)
    connection = _open(path, "mode=rw")
    try:
        version = _format(connection, path)
        _use_write_ahead_log(connection)
        if version < _VERSION:
            connection.execute("BEGIN IMMEDIATE")
            if _format(connection, path) < _VERSION:  # another process may have added them
                add_digests(connection)
                connection.execute(f"PRAGMA user_version = {_VERSION}")
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
    connection = _open(path, "mode=ro" if _log(path).exists() else "immutable=1")
    try:
        if _format(connection, path) == _VERSION:
            return connection
        with contextlib.closing(connection):
            copy = _configured(":memory:")
            connection.backup(copy)
    except BaseException:
        connection.close()
        raise
    add_digests(copy)
    return copy


def _open(path: Path, mode: str) -> sqlite3.Connection:
    """Open an existing database; raises `DamageError` if it is truncated."""
    if path.stat().st_size == 0:  # SQLite would take it for a new one
        raise DamageError("truncated: the file is empty")
    connection = _configured(f"{path.resolve().as_uri()}?{mode}", uri=True)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        _check_size(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_size(connection: sqlite3.Connection, path: Path) -> None:
    """Raise `DamageError` if an open database is shorter than its header says.

    Newer pages, the first one with the header included, may be in the write-ahead log. The file is
    not opened: closing it would release the locks that this process holds on it.
    """
    size = path.stat().st_size
    (page,) = connection.execute("PRAGMA page_size").fetchone()
    if _log(path).exists() and _log(path).stat().st_size:
        return
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    if size % page or size < pages * page:
        raise DamageError(f"truncated: {size:,} bytes, but its header says {pages * page:,}")


def _create(path: Path) -> None:
    """Create an empty database: complete, or not at all."""
    if _log(path).exists() and _log(path).stat().st_size:
        raise DamageError(f"the file is missing, but its log {_log(path).name} is not")
    with contextlib.closing(_configured(":memory:")) as connection:
        _make_tables(connection)
        content = connection.serialize()
    path.parent.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):  # another process has created it
        create(path, content)


def _log(path: Path) -> Path:
    return path.with_name(path.name + SIDE_FILES[0])


def _configured(database: str, *, uri: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(
        database, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=uri
    )
    connection.text_factory = bytes  # digests are those of bytes, which may be invalid UTF-8
    return connection


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


def _format(connection: sqlite3.Connection, path: Path) -> int:
    """Return the format of a database: 1, or the current one.

    Raises `StoreError` for a database of another program or of a newer version.
    """
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if not tables:
        raise DamageError("it has no tables, so it was truncated")
    if application != _APPLICATION:
        raise StoreError(f"{path}: not an fgbench answer database; move it aside.")
    if version > _VERSION:
        raise StoreError(
            f"{path}: written by a newer fgbench (format {version}, supported up to {_VERSION}). "
            "Update fgbench or use another store."
        )
    # A view or a trigger of a received file would run its own statements, without end perhaps.
    others = connection.execute(
        "SELECT name FROM sqlite_master WHERE type NOT IN ('table', 'index')"
    ).fetchone()
    if others is not None:
        raise DamageError(f"it contains {others[0]!r}, which is neither a table nor an index")
    columns = connection.execute("SELECT name FROM pragma_table_info('answers')").fetchall()
    if version != (_VERSION if (b"digest",) in columns else 1):
        raise DamageError(f"format {version} does not match its tables")
    return int(version)


def explain(path: Path | None, error: Exception) -> StoreError:
    """Convert an error of SQLite or the file system to a `StoreError` that says what to do."""
    where = path or "answers in memory"
    if isinstance(error, DamageError):
        return StoreError(f"{where}: corrupt: {error}. {_ADVICE}")
    if isinstance(error, OSError):
        error = sqlite3.OperationalError(error.strerror or str(error))
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    # The message of an error may contain a name that is no longer UTF-8.
    if isinstance(error, zlib.error | UnicodeDecodeError) or code in _CORRUPT:
        return StoreError(f"{where}: not an answer database, or corrupt ({error}). {_ADVICE}")
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
_CORRUPT = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR)
"""SQLITE_ERROR is a missing table or column, for every statement is correct."""
_ADVICE = (
    "Restore a copy of it; or save its intact answers with `fgbench cache export --skip-corrupt "
    "FILE`, move it aside, and import FILE."
)
