"""Store for the answers of language models: one SQLite file that several processes can share.

Each answer is written in its own transaction. The first good answer to a request is final; until
there is one, a refusal replaces a failure.

Requests are long and share their beginning (instructions, few-shot examples). Each is therefore
compressed with an earlier request, stored in full, as its dictionary: an answer to a prompt of 3 KB
takes about 360 bytes (docs/benchmarks.md).
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from fgbench.digests import digest
from fgbench.llm.chat import ChatAnswer
from fgbench.llm.database import SIDE_FILES, connect, explain
from fgbench.llm.encoding import clean, token_choices, token_values
from fgbench.usage import Usage

ANSWERS_FILE = "answers.sqlite"

_WINDOW = 32 * 1024  # how far back zlib looks
_ANSWER = (
    "standing, text, failure, served_model, finish_reason, requests, prompt_tokens, "
    "completion_tokens, tokens, notes, time"
)


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

    def status(self, key: bytes) -> AnswerStatus | None:
        """Return the status of the answer stored under a key, or None."""
        with self.reading() as connection:
            row = connection.execute(
                "SELECT standing FROM answers WHERE key = ?", (key,)
            ).fetchone()
        return None if row is None else AnswerStatus(row[0])

    def answered(self, keys: Sequence[bytes]) -> set[bytes]:
        """Return the keys, of at most 900, that have a good answer."""
        marks = ", ".join("?" * len(keys))
        with self.reading() as connection:
            rows = connection.execute(
                f"SELECT key FROM answers WHERE standing = ? AND key IN ({marks})",
                (AnswerStatus.ANSWERED, *keys),
            ).fetchall()
        return {key for (key,) in rows}

    def get(self, keys: Sequence[bytes]) -> dict[bytes, ChatAnswer]:
        """Return the answers stored under at most 900 keys, without their cost."""
        marks = ", ".join("?" * len(keys))
        with self.reading() as connection:
            rows = connection.execute(
                f"SELECT key, {_ANSWER} FROM answers WHERE key IN ({marks})", keys
            ).fetchall()
        return {row[0]: _answer(row[1:]) for row in rows}

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

    def records(self) -> Iterator[Record]:
        """Yield every record, sorted by key."""
        with self.reading() as connection:
            cursor = connection.execute(
                f"SELECT key, identity, base, request, {_ANSWER} FROM answers "
                "JOIN models ON models.id = model ORDER BY key"
            )
            bases: dict[int, bytes] = {}
            for key, model, base, request, *rest in cursor:
                content = _unpacked(request, self._base_content(connection, base, bases))
                yield Record(key, model, content.decode("utf-8", "surrogatepass"),
                             _answer(rest), rest[-1])  # fmt: skip

    def check(self) -> Iterator[str]:
        """Yield what is damaged: problems that SQLite finds, then rows that cannot be read.

        Every row is decoded, and its key computed again from its model and its request.
        """
        with self.reading() as connection:
            problems = [row[0] for row in connection.execute("PRAGMA integrity_check")]
            yield from (problem for problem in problems if problem != "ok")
            rows = connection.execute(
                f"SELECT answers.id, key, identity, base, request, {_ANSWER} FROM answers "
                "LEFT JOIN models ON models.id = model ORDER BY answers.id"
            )
            bases: dict[int, bytes] = {}
            for number, key, model, base, request, *rest in rows:
                try:
                    content = _unpacked(request, self._base_content(connection, base, bases))
                    _answer(rest)
                    value = {"model": json.loads(model), **json.loads(content)}
                    is_intact = key == bytes.fromhex(digest(value))
                except _UNDECODABLE as error:
                    yield f"row {number}: cannot be decoded ({type(error).__name__}: {error})"
                else:
                    if not is_intact:
                        yield f"row {number}: its key does not match its request"

    def __len__(self) -> int:
        with self.reading() as connection:
            return int(connection.execute("SELECT count(*) FROM answers").fetchone()[0])

    def totals(self) -> list[dict[str, Any]]:
        """Return the number of answers, refusals, failures, requests and tokens of each model."""
        with self.reading() as connection:
            rows = connection.execute(
                "SELECT identity, sum(standing = 3), sum(standing = 2), sum(standing < 2), "
                "sum(requests), sum(prompt_tokens), sum(completion_tokens) "
                "FROM answers JOIN models ON models.id = model GROUP BY identity ORDER BY identity"
            ).fetchall()
        names = ("answers", "refusals", "failures", "requests", "prompt_tokens",
                 "completion_tokens")  # fmt: skip
        return [
            {"model": json.loads(row[0]), **dict(zip(names, row[1:], strict=True))} for row in rows
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
                self._open.close()
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
        return self._open

    def _put(self, connection: sqlite3.Connection, record: Record) -> bool:
        answer = record.answer
        base, request = self._packed(record.request.encode("utf-8", "surrogatepass"))
        tokens = None if answer.tokens is None else token_values(answer.tokens)
        row = (
            record.key,
            AnswerStatus.of(answer),
            self._model(connection, record.model),
            base,
            request,
            *map(clean, (answer.text, answer.failure, answer.served_model, answer.finish_reason)),
            answer.usage.requests,
            answer.usage.prompt_tokens,
            answer.usage.completion_tokens,
            None if tokens is None else zlib.compress(json.dumps(tokens).encode()),
            json.dumps(answer.notes),
            record.time,
        )
        stored = connection.execute(
            f"INSERT INTO answers (key, model, base, request, {_ANSWER}) "
            "VALUES (?1, ?3, ?4, ?5, ?2, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) "
            "ON CONFLICT (key) DO UPDATE SET standing = excluded.standing, text = excluded.text, "
            "failure = excluded.failure, served_model = excluded.served_model, "
            "finish_reason = excluded.finish_reason, requests = excluded.requests, "
            "prompt_tokens = excluded.prompt_tokens, "
            "completion_tokens = excluded.completion_tokens, tokens = excluded.tokens, "
            "notes = excluded.notes, time = excluded.time "
            f"WHERE standing < {AnswerStatus.ANSWERED} "
            "AND (excluded.standing, excluded.time) > (answers.standing, answers.time) "
            "RETURNING id, base",
            row,
        ).fetchone()
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
            cache[base] = zlib.decompress(row[0])
        return cache[base]

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, zlib.error) as error:
            raise explain(self.path, error) from error


_UNDECODABLE = (ValueError, TypeError, KeyError, AttributeError, RecursionError, zlib.error)


def _unpacked(packed: bytes, base: bytes | None) -> bytes:
    if base is None:
        return zlib.decompress(packed)
    unpacker = zlib.decompressobj(zdict=base)
    return unpacker.decompress(packed) + unpacker.flush()


def _answer(row: Sequence[Any]) -> ChatAnswer:
    status, text, failure, served, finish, requests, prompt, completion, tokens, notes, _ = row
    return ChatAnswer(
        text=text,
        failure=failure,
        transient=status == AnswerStatus.UNANSWERED,
        served_model=served,
        finish_reason=finish,
        usage=Usage(requests, prompt, completion),
        tokens=None if tokens is None else token_choices(json.loads(zlib.decompress(tokens))),
        notes=tuple(json.loads(notes)) if notes != "[]" else (),
    )
