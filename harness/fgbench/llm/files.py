"""Export and import of answers: JSON Lines, compressed if the file name ends in .gz.

The first line has the format and the number of answers. Each further line is one answer as
canonical JSON with a digest, sorted by key. The same answers therefore give the same bytes, and
changed, missing and truncated lines are detected.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from fgbench.digests import canonical_json, digest
from fgbench.errors import StoreError
from fgbench.llm.answers import AnswerStatus, AnswerStore, Record
from fgbench.llm.chat import ChatAnswer
from fgbench.llm.encoding import token_choices, token_values
from fgbench.store.atomic import cannot_read, open_atomically
from fgbench.usage import Usage

SCHEMA = "fgbench.answers/1"
_SQLITE = b"SQLite format 3\0"


def export_answers(store: AnswerStore, path: Path) -> int:
    """Write every record of a store to `path`, atomically; return their number."""
    with contextlib.ExitStack() as stack:
        stream = cast("IO[bytes]", stack.enter_context(open_atomically(path)))
        if path.name.endswith(".gz"):
            # Without name and time, the bytes depend on the answers only.
            packed = gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0)
            stream = cast("IO[bytes]", stack.enter_context(packed))
        count = len(store)
        stream.write(_line({"schema": SCHEMA, "count": count}))
        written = 0
        for record in store.records():
            stream.write(_line(_to_value(record)))
            written += 1
        if written != count:
            raise StoreError(f"{store.path}: answers were added during the export; export again.")
    return count


def import_answers(store: AnswerStore, path: Path) -> tuple[int, int]:
    """Add the answers of a file to a store, all or none; return the number of new and of all.

    Good answers in the store are kept. Raises `StoreError` that names the line if the file differs
    from what was exported.
    """
    if is_database(path):
        other = AnswerStore(path, read_only=True)
        try:
            return store.put_all(other.records())
        finally:
            other.close()
    return store.put_all(_read(path))


@contextlib.contextmanager
def as_database(path: Path, scratch: Path) -> Iterator[Path]:
    """Provide a file of answers as a database, created in `scratch` if it is an export."""
    if is_database(path):
        yield path
        return
    store = AnswerStore(scratch / "replay.sqlite")
    try:
        import_answers(store, path)
    finally:
        store.close()
    yield scratch / "replay.sqlite"


def is_database(path: Path) -> bool:
    """Return whether a file is an SQLite database, such as a store's own."""
    try:
        with path.open("rb") as stream:
            return stream.read(len(_SQLITE)) == _SQLITE
    except FileNotFoundError:
        raise StoreError(f"{path}: no such file.") from None
    except OSError as error:
        raise cannot_read(path, error) from error


def _read(path: Path) -> Iterator[Record]:
    number = 0
    expected: int | None = None
    try:
        with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                if number == 1:
                    expected = _read_header(path, line)
                else:
                    yield _from_line(line, f"{path} line {number}")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise StoreError(
            f"{path}: not a gzip file, or truncated after line {number}: {error}."
        ) from error
    except OSError as error:
        raise cannot_read(path, error) from error
    if expected is None:
        raise StoreError(f"{path}: the file is empty.")
    if number - 1 != expected:
        raise StoreError(
            f"{path}: {number - 1:,} answers, but its first line says {expected:,}. The file was "
            "truncated or edited; export it again."
        )


def _read_header(path: Path, line: bytes) -> int:
    try:
        header = json.loads(line)
        schema, count = header["schema"], header["count"]
    except (ValueError, KeyError, TypeError):
        schema, count = None, None
    if schema != SCHEMA or not isinstance(count, int):
        raise StoreError(
            f"{path} line 1: not a file of answers: expected the schema {SCHEMA} and a count."
        )
    return count


def _from_line(line: bytes, where: str) -> Record:
    """Return the record of a line; its key and digest must match its content."""
    try:
        value = json.loads(line)
        stated = value.pop("digest")
        content = digest(value)
        key = digest({"model": value["model"], **value["request"]})
        if stated != content or value["key"] != key:
            raise StoreError(
                f"{where}: digest mismatch: the line was changed after the export; export it again."
            )
        return _record(value)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{where}: not an answer exported by fgbench ({error!r}).") from error


def _to_value(record: Record) -> dict[str, Any]:
    answer = record.answer
    value: dict[str, Any] = {
        "key": record.key.hex(),
        "model": json.loads(record.model),
        "request": json.loads(record.request),
        "status": AnswerStatus.of(answer).name.lower(),
        "text": answer.text,
        "failure": answer.failure,
        "served_model": answer.served_model,
        "finish_reason": answer.finish_reason,
        "requests": answer.usage.requests,
        "prompt_tokens": answer.usage.prompt_tokens,
        "completion_tokens": answer.usage.completion_tokens,
        "tokens": None if answer.tokens is None else token_values(answer.tokens),
        "notes": list(answer.notes),
        "time": record.time,
    }
    return value | {"digest": digest(value)}


def _record(value: dict[str, Any]) -> Record:
    answer = ChatAnswer(
        text=value["text"],
        failure=value["failure"],
        transient=value["status"] == AnswerStatus.UNANSWERED.name.lower(),
        served_model=value["served_model"],
        finish_reason=value["finish_reason"],
        usage=Usage(value["requests"], value["prompt_tokens"], value["completion_tokens"]),
        tokens=None if value["tokens"] is None else token_choices(value["tokens"]),
        notes=tuple(value["notes"]),
    )
    return Record(
        bytes.fromhex(value["key"]),
        canonical_json(value["model"]),
        canonical_json(value["request"]),
        answer,
        value["time"],
    )


def _line(value: Any) -> bytes:
    return canonical_json(value).encode("utf-8", "surrogatepass") + b"\n"
