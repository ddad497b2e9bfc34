"""Rows of the answer database: their columns, their digests, and the answers that they hold.

SQLite has no checksums, so a flipped bit would become an answer. Each row therefore has a digest of
its key and of everything that is read from it. The model and the request are not part of it: the
key is their SHA-256.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any

from fgbench.llm.chat import ChatAnswer
from fgbench.llm.encoding import clean, clipped_count, token_choices, token_values
from fgbench.usage import Usage

ANSWER = (
    "standing, text, failure, served_model, finish_reason, requests, prompt_tokens, "
    "completion_tokens, tokens, notes, time"
)
"""The columns of an answer; the connection reads texts as bytes."""
TEXTS = frozenset({"text", "failure", "served_model", "finish_reason", "notes"})
"""Those of them that are texts."""
SPENT = "requests, prompt_tokens, completion_tokens, cost_usd, reserved_tokens, reserved_cost"
"""The columns of a run's usage."""
INVALID = (ValueError, TypeError, AttributeError, RecursionError, OverflowError, zlib.error)
"""What reading the values of a corrupt row may raise."""
MAX_UNPACKED = 32 * 1024 * 1024
"""Maximum size in bytes of a request, or of the tokens of an answer."""
_DIGEST_BYTES = 16


class DamageError(Exception):
    """What is corrupt in a database; it becomes a `StoreError` that names the file."""


def answer_row(status: int, answer: ChatAnswer, time: float) -> tuple[Any, ...]:
    """Return the values of the columns `ANSWER`, with texts as bytes."""
    tokens = None if answer.tokens is None else token_values(answer.tokens)
    return (
        int(status),
        *map(_encoded, (answer.text, answer.failure, answer.served_model, answer.finish_reason)),
        clipped_count(answer.usage.requests),
        clipped_count(answer.usage.prompt_tokens),
        clipped_count(answer.usage.completion_tokens),
        None if tokens is None else zlib.compress(json.dumps(tokens).encode()),
        json.dumps([clean(note) for note in answer.notes]).encode(),
        float(time),
    )


def answer_of(row: Sequence[Any], *, transient: bool) -> ChatAnswer:
    """Return the answer in the columns `ANSWER`, without its cost.

    Raises `ValueError`, `TypeError`, `AttributeError`, `RecursionError` or `zlib.error` if the
    values are not those of an answer.
    """
    _, text, failure, served, finish, requests, prompt, completion, tokens, notes, _ = row
    return ChatAnswer(
        text=None if text is None else text.decode(),
        failure=None if failure is None else failure.decode(),
        transient=transient,
        served_model=None if served is None else served.decode(),
        finish_reason=None if finish is None else finish.decode(),
        usage=Usage(requests, prompt, completion),
        tokens=None if tokens is None else token_choices(json.loads(unpacked(tokens))),
        notes=() if notes == b"[]" else tuple(json.loads(notes)),
    )


def row_digest(key: bytes, row: Sequence[Any]) -> bytes | None:
    """Return the digest of a row: of its key and its columns `ANSWER`; None for wrong types."""
    status, text, failure, served, finish, requests, prompt, completion, tokens, notes, time = row
    texts = (text, failure, served, finish, tokens, notes)
    try:
        head = repr((status, requests, prompt, completion, time,
                     [None if part is None else len(part) for part in texts]))  # fmt: skip
        content = b"".join((key, head.encode(), *filter(None, texts)))
    except TypeError:
        return None
    return blake2b(content, digest_size=_DIGEST_BYTES).digest()


def spent_digest(run: str, spent: Sequence[Any]) -> bytes:
    """Return the digest of a run's usage: of its id and its columns `SPENT`."""
    return blake2b(repr((run, *spent)).encode(), digest_size=_DIGEST_BYTES).digest()


def damaged_answer(key: Any, problem: object) -> DamageError:
    """Return the damage to the answer stored under a key."""
    name = key.hex() if isinstance(key, bytes) else repr(key)
    return DamageError(f"answer {name}: {problem}")


def integrity_problems(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield what SQLite finds wrong with the structure of a database."""
    for (line,) in connection.execute("PRAGMA integrity_check"):
        if line != b"ok":
            yield " ".join(line.decode("utf-8", "replace").split())


def check_spending(connection: sqlite3.Connection) -> None:
    """Raise `DamageError` if the usage of a run is corrupt."""
    for run, *spent, stored in connection.execute(f"SELECT run, {SPENT}, digest FROM spending"):
        name = run.decode("utf-8", "replace") if isinstance(run, bytes) else repr(run)
        if spent_digest(name, spent) != stored:
            raise DamageError(f"usage of run {name!r}: digest mismatch")


def add_digests(connection: sqlite3.Connection) -> None:
    """Add digests to the rows of a database that has none.

    Raises `DamageError` if its structure is corrupt: no digest would ever find that again.
    """
    for problem in integrity_problems(connection):
        raise DamageError(problem)
    connection.execute("ALTER TABLE answers ADD COLUMN digest BLOB")
    connection.execute("ALTER TABLE spending ADD COLUMN digest BLOB")
    # An SQL function, so that the rows are not read while they are changed.
    connection.create_function("row_digest", -1, _row_digest_in_sql, deterministic=True)
    connection.create_function("spent_digest", -1, _spent_digest_in_sql, deterministic=True)
    texts = ", ".join(f"CAST({name} AS BLOB)" if name in TEXTS else name
                      for name in ANSWER.split(", "))  # fmt: skip
    connection.execute(f"UPDATE answers SET digest = row_digest(key, {texts})")
    connection.execute(f"UPDATE spending SET digest = spent_digest(run, {SPENT})")


def unpacked(packed: bytes, base: bytes | None = None) -> bytes:
    """Decompress a value, with the dictionary `base` if it was compressed with one.

    Raises `zlib.error` if it is corrupt or has more than `MAX_UNPACKED` bytes.
    """
    unpacker = zlib.decompressobj() if base is None else zlib.decompressobj(zdict=base)
    content = unpacker.decompress(packed, MAX_UNPACKED)
    if not unpacker.eof:
        raise zlib.error(f"incomplete, or more than {MAX_UNPACKED:,} bytes")
    return content


def _encoded(text: str | None) -> bytes | None:
    return None if text is None else str(clean(text)).encode()


def _row_digest_in_sql(key: bytes, *row: Any) -> bytes | None:
    return row_digest(key, row)


def _spent_digest_in_sql(run: str, *spent: Any) -> bytes:
    return spent_digest(run, spent)
