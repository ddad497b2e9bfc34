"""Store for the answers of language models: one SQLite file that several processes can share.

Each answer is written in its own transaction. The first good answer to a request is final; until
there is one, a refusal replaces a failure.

Requests are long and share their beginning (instructions, few-shot examples). Each is therefore
compressed with an earlier request, stored in full, as its dictionary: an answer to a prompt of 3 KB
takes about 390 bytes (docs/benchmarks.md).

A row whose digest does not match is an error whenever it is read: it is neither used nor requested
again.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
import weakref
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgbench.errors import StoreError
from fgbench.llm.database import SIDE_FILES, connect, explain
from fgbench.llm.encoding import check_answer
from fgbench.llm.keys import is_key
from fgbench.llm.rows import (
    ANSWER,
    INVALID,
    TEXTS,
    DamageError,
    answer_of,
    answer_row,
    check_spending,
    damaged_answer,
    integrity_problems,
    row_digest,
    unpacked,
)

if TYPE_CHECKING:
    from fgbench.llm.chat import ChatAnswer

ANSWERS_FILE = "answers.sqlite"

_WINDOW = 32 * 1024  # how far back zlib looks
_BATCH_BYTES = 16 * 1024 * 1024
_TOKEN_WEIGHT = 16  # how much larger tokens are in memory than in the file


class AnswerStatus(IntEnum):
    """Status of a stored record: a higher status replaces a lower one, a newer record its equal."""

    UNANSWERED = 0
    """A temporary failure: a new request may succeed."""
    FAILED = 1
    REFUSED = 2
    ANSWERED = 3

    @classmethod
    def of(cls, answer: ChatAnswer) -> AnswerStatus:
        """Return the status of an answer."""
        if answer.ok:
            return cls.ANSWERED
        if answer.failure == "refusal":
            return cls.REFUSED
        return cls.UNANSWERED if answer.transient else cls.FAILED


@dataclass(frozen=True)
class Record:
    """One stored answer: `key` is the SHA-256 of model and request, both canonical JSON."""

    key: bytes
    model: str
    request: str
    answer: ChatAnswer
    time: float


class AnswerStore:
    """The answers in one file, which is created on first use; without a path, answers in memory.

    Thread-safe. Raises `StoreError` if the file cannot be read or written; stored answers are not
    affected.
    """

    def __init__(self, path: Path | None, *, read_only: bool = False) -> None:
        self.path = path
        self._read_only = read_only
        self._lock = threading.RLock()
        self._open: sqlite3.Connection | None = None
        self._models: dict[str, int] = {}
        self._base: tuple[int, bytes] | None = None
        self._is_intact = False

    def status(self, key: bytes) -> AnswerStatus | None:
        """Return the status of the answer stored under a key, or None."""
        with self.reading() as connection:
            row = connection.execute(
                f"SELECT {ANSWER}, digest FROM answers WHERE key = ?", (key,)
            ).fetchone()
            return None if row is None else _checked_status(key, row)

    def statuses(self, keys: Sequence[bytes]) -> dict[bytes, AnswerStatus]:
        """Return the statuses of the answers stored under at most 900 keys, without checking them.

        `get` checks an answer before it is used, and `status` before its request is sent again.
        """
        with self.reading() as connection:
            rows = connection.execute(
                f"SELECT key, standing FROM answers WHERE key IN ({_marks(keys)})", keys
            ).fetchall()
        known = set(AnswerStatus)
        return {key: AnswerStatus(status) for key, status in rows if status in known}

    def get(self, keys: Sequence[bytes]) -> dict[bytes, ChatAnswer]:
        """Return the answers stored under at most 900 keys, without their cost.

        Large answers are returned in part, at least one of them: call it again for the others.
        Raises `StoreError` for a corrupt row.
        """
        answers: dict[bytes, ChatAnswer] = {}
        size = 0
        with self.reading() as connection:
            rows = connection.execute(
                f"SELECT key, {ANSWER}, digest FROM answers WHERE key IN ({_marks(keys)})", keys
            )
            for key, *row in rows:
                answers[key] = _checked_answer(key, row)
                size += len(row[1] or b"") + _TOKEN_WEIGHT * len(row[8] or b"")
                if size > _BATCH_BYTES:
                    break
        return answers

    def put(
        self,
        key: bytes,
        model: str,
        request: str,
        answer: ChatAnswer,
        *,
        at: float | None = None,
        also: Callable[[sqlite3.Connection], None] | None = None,
    ) -> bool:
        """Store an answer unless a good or better one exists; return whether it was stored.

        `also` is called in the same transaction.
        """
        with self.writing() as connection:
            stored = self._put(connection, Record(key, model, request, answer, at or time.time()))
            if also is not None:
                also(connection)
        return stored

    def put_all(self, records: Iterator[Record]) -> tuple[int, int]:
        """Store all records, or none if the iterator raises; return the number of new and all."""
        new = total = 0
        with self.writing() as connection:
            for record in records:
                total += 1
                new += self._put(connection, record)
        return new, total

    def records(self, on_damage: Callable[[str], None] | None = None) -> Iterator[Record]:
        """Yield every record, sorted by key.

        Raises `StoreError` if the file or a row is corrupt. With `on_damage`, each problem is
        passed to it instead, and the rows without a problem are yielded.
        """
        with self.reading() as connection:
            report = on_damage or _raise_damage
            for problem in integrity_problems(connection):
                report(problem)
            rows = connection.execute(
                f"SELECT key, identity, base, request, {ANSWER}, digest FROM answers "
                "LEFT JOIN models ON models.id = model ORDER BY key"
            )
            bases: dict[int, bytes] = {}
            for row in rows:
                try:
                    record = self._record(connection, row, bases)
                except DamageError as damage:
                    report(str(damage))
                else:
                    yield record

    def check(self) -> list[str]:
        """Return a description of each damage to the file: of its structure, and of its rows."""
        problems: list[str] = []
        try:
            for _ in self.records(problems.append):
                pass
            with self.reading() as connection:
                check_spending(connection)
        except StoreError as error:
            problems.append(str(error))
        return problems

    def require_structure(self) -> None:
        """Raise `StoreError` if the structure of the file is corrupt; checked once.

        A corrupt index would hide an answer, which would then be requested and paid again.
        """
        with self.reading() as connection:
            if not self._is_intact:
                for problem in integrity_problems(connection):
                    raise DamageError(problem)
                self._is_intact = True

    def __len__(self) -> int:
        with self.reading() as connection:
            return int(connection.execute("SELECT count(*) FROM answers").fetchone()[0])

    def totals(self) -> list[dict[str, Any]]:
        """Return the number of answers, refusals, failures, requests and tokens of each model."""
        sums: dict[str, Counter[str]] = {}
        with self.reading() as connection:
            rows = connection.execute(
                f"SELECT key, identity, {ANSWER}, digest FROM answers "
                "LEFT JOIN models ON models.id = model"
            )
            for key, identity, *row in rows:
                status = _checked_status(key, row)
                if identity is None:
                    raise damaged_answer(key, "its model is missing")
                counts = sums.setdefault(identity, Counter())
                counts[_COUNTED[status]] += 1
                for name, count in zip(_SUMMED, row[5:8], strict=True):
                    counts[name] += count
            return [
                {"model": _identity(model), **{name: counts[name] for name in _TOTALS}}
                for model, counts in sorted(sums.items())
            ]

    def size(self) -> int:
        """Return the size of the file on disk, in bytes."""
        if self.path is None:
            return 0
        files = (self.path, *(self.path.with_name(self.path.name + end) for end in SIDE_FILES))
        return sum(file.stat().st_size for file in files if file.exists())

    def close(self) -> None:
        """Close the file; it is reopened when the store is used again."""
        with self._lock:
            if self._open is not None and self.path is not None:
                self._close()
                self._open, self._base = None, None
                self._models.clear()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lock the connection for this thread and convert its errors to `StoreError`."""
        with self._lock, self._explained():
            yield self._connection()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Open a transaction that locks the database for other writers."""
        with self._lock, self._explained():
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # The models and bases inserted by this transaction are rolled back, too.
                self._base = None
                self._models.clear()
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _connection(self) -> sqlite3.Connection:
        if self._open is None:
            self._open = connect(self.path, self._read_only)
            # Answers in memory end with this object.
            self._close = weakref.finalize(self, self._open.close)
        return self._open

    def _record(
        self, connection: sqlite3.Connection, row: Sequence[Any], bases: dict[int, bytes]
    ) -> Record:
        """Return the record in a row of key, model, base, request, `ANSWER` and digest."""
        key, identity, base, request, *answer_row = row
        answer = _checked_answer(key, answer_row)
        try:
            check_answer(answer)
            content = unpacked(request, self._base_content(connection, base, bases))
            text, model = content.decode("utf-8", "surrogatepass"), identity.decode()
            _identity(identity)
            if not is_key(key, model, text):
                raise ValueError("its model or request does not match its key")
        except INVALID as error:
            raise damaged_answer(key, error) from error
        return Record(key, model, text, answer, answer_row[-2])

    def _put(self, connection: sqlite3.Connection, record: Record) -> bool:
        base, request = self._packed(record.request.encode("utf-8", "surrogatepass"))
        row = answer_row(AnswerStatus.of(record.answer), record.answer, record.time)
        values = (record.key, self._model(connection, record.model), base, request, *row,
                  row_digest(record.key, row))  # fmt: skip
        stored = connection.execute(_INSERT, values).fetchone()
        if stored is not None and stored[1] is None and len(record.request) <= _WINDOW:
            self._base = stored[0], record.request.encode("utf-8", "surrogatepass")
        return stored is not None

    def _model(self, connection: sqlite3.Connection, identity: str) -> int:
        if identity not in self._models:
            connection.execute("INSERT OR IGNORE INTO models (identity) VALUES (?)", (identity,))
            rows = connection.execute("SELECT id FROM models WHERE identity = ?", (identity,))
            self._models[identity] = rows.fetchone()[0]
        return self._models[identity]

    def _packed(self, request: bytes) -> tuple[int | None, bytes]:
        """Return the id of the base, if one is used, and the compressed request.

        The base is the last request that was stored in full.
        """
        if self._base is not None:
            number, content = self._base
            packer = zlib.compressobj(6, zdict=content)
            packed = packer.compress(request) + packer.flush()
            if len(packed) < len(request) // 4:
                return number, packed
        return None, zlib.compress(request, 6)

    @staticmethod
    def _base_content(
        connection: sqlite3.Connection, base: int | None, cache: dict[int, bytes]
    ) -> bytes | None:
        if base is None:
            return None
        if base not in cache:
            if len(cache) >= 64:
                cache.clear()
            row = connection.execute("SELECT request FROM answers WHERE id = ?", (base,)).fetchone()
            if row is None:
                raise ValueError("the request that its own is compressed with is missing")
            cache[base] = unpacked(row[0])
        return cache[base]

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, zlib.error, OSError, UnicodeError, DamageError) as error:
            raise explain(self.path, error) from error


def _marks(keys: Sequence[bytes]) -> str:
    return ", ".join("?" * len(keys))


def _checked_status(key: bytes, row: Sequence[Any]) -> AnswerStatus:
    """Return the status in a row of `ANSWER` and digest; raises `DamageError`."""
    if row[-1] is None or row_digest(key, row[:-1]) != row[-1]:
        raise damaged_answer(key, "digest mismatch")
    return AnswerStatus(row[0])


def _checked_answer(key: bytes, row: Sequence[Any]) -> ChatAnswer:
    """Return the answer in a row of `ANSWER` and digest; raises `DamageError`."""
    try:
        status = _checked_status(key, row)
        return answer_of(row[:-1], transient=status == AnswerStatus.UNANSWERED)
    except INVALID as error:
        raise damaged_answer(key, error) from error


@lru_cache(maxsize=64)
def _identity(model: bytes) -> dict[str, Any]:
    """Return the identity of a model from its JSON; raises `DamageError`."""
    try:
        identity = json.loads(model)
        if not isinstance(identity, dict):
            raise ValueError("not an object")
    except INVALID as error:
        raise DamageError(f"model {model[:60]!r}: {error}") from error
    return identity


def _raise_damage(problem: str) -> None:
    raise DamageError(problem)


_COUNTED = {
    AnswerStatus.ANSWERED: "answers",
    AnswerStatus.REFUSED: "refusals",
    AnswerStatus.FAILED: "failures",
    AnswerStatus.UNANSWERED: "failures",
}
_SUMMED = ("requests", "prompt_tokens", "completion_tokens")
_TOTALS = ("answers", "refusals", "failures", *_SUMMED)
_COLUMNS = ("key", "model", "base", "request", *ANSWER.split(", "), "digest")
_INSERT = (
    f"INSERT INTO answers ({', '.join(_COLUMNS)}) "
    f"VALUES ({', '.join('CAST(? AS TEXT)' if name in TEXTS else '?' for name in _COLUMNS)}) "
    "ON CONFLICT (key) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in (*ANSWER.split(", "), "digest"))
    + f" WHERE standing < {AnswerStatus.ANSWERED:d} "
    "AND (excluded.standing, excluded.time) > (answers.standing, answers.time) "
    "RETURNING id, base"
)
