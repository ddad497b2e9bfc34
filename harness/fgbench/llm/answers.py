"""The store of language models' answers: one SQLite file that any number of processes share.

Each answer is one commit, and each request is answered once: the first good answer stays, and is
what every reader gets; until there is one, a refusal counts for more than a failure.

Requests are long and begin alike (instructions, few-shot examples), so each is compressed against
one that stands in the file in full: an answer to 3 KB of prompt takes some 360 bytes
(docs/benchmarks.md).
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


class Standing(IntEnum):
    """What a record is worth; a higher one replaces a lower one, a newer one its equal."""

    UNANSWERED = 0
    """A failure that may pass: asking again may help."""
    FAILED = 1
    REFUSED = 2
    ANSWERED = 3

    @classmethod
    def of(cls, answer: ChatAnswer) -> Standing:
        """Return the standing of an answer."""
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
    """The answers in one file, made when it is first used; None keeps them in memory.

    It may be used from any thread. Raises `StoreError` when the file cannot be read or written;
    what was stored before stays.
    """

    def __init__(self, path: Path | None, *, read_only: bool = False) -> None:
        self.path = path
        self._read_only = read_only
        self._lock = threading.RLock()
        self._open: sqlite3.Connection | None = None
        self._models: dict[str, int] = {}
        self._base: tuple[int, bytes] | None = None

    def standing(self, key: bytes) -> Standing | None:
        """Return the standing of what is stored under a key, or None."""
        with self.reading() as connection:
            row = connection.execute(
                "SELECT standing FROM answers WHERE key = ?", (key,)
            ).fetchone()
        return None if row is None else Standing(row[0])

    def answered(self, keys: Sequence[bytes]) -> set[bytes]:
        """Return those of up to 900 keys that have a good answer."""
        marks = ", ".join("?" * len(keys))
        with self.reading() as connection:
            rows = connection.execute(
                f"SELECT key FROM answers WHERE standing = ? AND key IN ({marks})",
                (Standing.ANSWERED, *keys),
            ).fetchall()
        return {key for (key,) in rows}

    def get(self, keys: Sequence[bytes]) -> dict[bytes, ChatAnswer]:
        """Return what is stored under up to 900 keys, its cost not yet reckoned."""
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
        """Store an answer unless a better one, or a good one, is there; return whether it was.

        `also` writes in the same transaction.
        """
        with self.writing() as connection:
            stored = self._put(connection, Record(key, model, request, answer, at or time.time()))
            if also is not None:
                also(connection)
        return stored

    def put_all(self, records: Iterator[Record]) -> tuple[int, int]:
        """Store records, all or (if the iterator raises) none; return how many were new, of all."""
        new = total = 0
        with self.writing() as connection:
            for record in records:
                total += 1
                new += self._put(connection, record)
        return new, total

    def records(self) -> Iterator[Record]:
        """Yield every record, by key."""
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

    def __len__(self) -> int:
        with self.reading() as connection:
            return int(connection.execute("SELECT count(*) FROM answers").fetchone()[0])

    def totals(self) -> list[dict[str, Any]]:
        """Return for each model how many answers, refusals and failures there are, and tokens."""
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
        """Return how many bytes the file takes on the disk."""
        if self.path is None:
            return 0
        files = (self.path, *(self.path.with_name(self.path.name + end) for end in SIDE_FILES))
        return sum(file.stat().st_size for file in files if file.exists())

    def close(self) -> None:
        """Close the file; using the store again opens it again."""
        with self._lock:
            if self._open is not None and self.path is not None:
                self._open.close()
                self._open, self._base = None, None
                self._models.clear()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give the connection to one thread, with its errors made `StoreError`s."""
        with self._lock, self._explained():
            yield self._connection()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Give the connection within one transaction that nobody else writes beside."""
        with self._lock, self._explained():
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # What this transaction said of models and bases is undone with it.
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
            Standing.of(answer),
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
            f"WHERE standing < {Standing.ANSWERED} "
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
            found = connection.execute("SELECT id FROM models WHERE identity = ?", (identity,))
            self._models[identity] = found.fetchone()[0]
        return self._models[identity]

    def _packed(self, request: bytes) -> tuple[int | None, bytes]:
        """Return a request compressed, against the last that is stored in full if that helps."""
        if self._base is not None:
            number, content = self._base
            packer = zlib.compressobj(6, zdict=content)
            packed = packer.compress(request) + packer.flush()
            if len(packed) < len(request) // 4:
                return number, packed
        return None, zlib.compress(request, 6)

    @staticmethod
    def _base_content(
        connection: sqlite3.Connection, base: int | None, known: dict[int, bytes]
    ) -> bytes | None:
        if base is None:
            return None
        if base not in known:
            if len(known) >= 64:
                known.clear()
            row = connection.execute("SELECT request FROM answers WHERE id = ?", (base,)).fetchone()
            known[base] = zlib.decompress(row[0])
        return known[base]

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, zlib.error) as error:
            raise explain(self.path, error) from error


def _unpacked(packed: bytes, base: bytes | None) -> bytes:
    if base is None:
        return zlib.decompress(packed)
    unpacker = zlib.decompressobj(zdict=base)
    return unpacker.decompress(packed) + unpacker.flush()


def _answer(row: Sequence[Any]) -> ChatAnswer:
    standing, text, failure, served, finish, requests, prompt, completion, tokens, notes, _ = row
    return ChatAnswer(
        text=text,
        failure=failure,
        transient=standing == Standing.UNANSWERED,
        served_model=served,
        finish_reason=finish,
        usage=Usage(requests, prompt, completion),
        tokens=None if tokens is None else token_choices(json.loads(zlib.decompress(tokens))),
        notes=tuple(json.loads(notes)) if notes != "[]" else (),
    )
