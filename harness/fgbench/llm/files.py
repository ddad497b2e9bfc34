"""Export and import of answers: JSON Lines, compressed if the file name ends in .gz.

The first line has the format and the number of answers. Each further line is one answer as
canonical JSON with a digest, sorted by key. The same answers therefore give the same bytes, and
changed, missing and truncated lines are detected.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import stat
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from fgbench.digests import canonical_json, digest
from fgbench.errors import StoreError
from fgbench.llm.answers import AnswerStatus, AnswerStore, Record
from fgbench.llm.chat import ChatAnswer
from fgbench.llm.encoding import check_answer, clean, token_choices, token_values
from fgbench.llm.rows import INVALID
from fgbench.store.atomic import cannot_read, open_atomically
from fgbench.usage import Usage

SCHEMA = "fgbench.answers/1"
_SQLITE = b"SQLite format 3\0"
_MAX_LINE = 32 * 1024 * 1024
_MAX_TIME = 1e12


def export_answers(
    store: AnswerStore, path: Path, *, on_damage: Callable[[str], None] | None = None
) -> int:
    """Write every record of a store to `path`, atomically; return their number.

    Raises `StoreError` that names the first corrupt answer. With `on_damage`, corrupt answers are
    passed to it and left out.
    """
    with contextlib.ExitStack() as stack:
        stream = cast("IO[bytes]", stack.enter_context(open_atomically(path)))
        if path.name.endswith(".gz"):
            # Without name and time, the bytes depend on the answers only.
            packed = gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0)
            stream = cast("IO[bytes]", stack.enter_context(packed))
        count = len(store) if on_damage is None else sum(1 for _ in store.records(on_damage))
        stream.write(_line({"schema": SCHEMA, "count": count}))
        written = 0
        for record in store.records(on_damage and _ignore):
            stream.write(_record_line(store, record))
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
        if not stat.S_ISREG(path.stat().st_mode):
            raise StoreError(f"{path}: not a regular file.")
        with path.open("rb") as stream:
            return stream.read(len(_SQLITE)) == _SQLITE
    except FileNotFoundError:
        raise StoreError(f"{path}: no such file.") from None
    except ValueError as error:  # a NUL in the name
        raise StoreError(f"{str(path)!r}: not a file name: {error}.") from None
    except OSError as error:
        raise cannot_read(path, error) from error


def _read(path: Path) -> Iterator[Record]:
    number = 0
    expected: int | None = None
    try:
        with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as stream:
            for number, line in enumerate(iter(lambda: stream.readline(_MAX_LINE + 1), b""), 1):
                if len(line) > _MAX_LINE:
                    raise StoreError(
                        f"{path} line {number}: longer than {_MAX_LINE:,} bytes, the maximum of an "
                        "exported answer."
                    )
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
    except (*INVALID, KeyError):
        schema, count = None, None
    if schema != SCHEMA or type(count) is not int:
        raise StoreError(
            f"{path} line 1: not a file of answers: expected the schema {SCHEMA} and a count."
        )
    return count


def _from_line(line: bytes, where: str) -> Record:
    """Return the record of a line; its key and digest must match its content."""
    try:
        value = json.loads(line)
        if not isinstance(value, dict):
            raise ValueError("not an object")
        stated = value.pop("digest")
        content = digest(value)
        key = digest({"model": value["model"], **value["request"]})
        if stated != content or value["key"] != key:
            raise StoreError(
                f"{where}: digest mismatch: the line was changed after the export; export it again."
            )
        return _record(value)
    except KeyError as error:
        raise StoreError(f"{where}: not an answer exported by fgbench: no {error}.") from error
    except RecursionError as error:
        raise StoreError(
            f"{where}: not an answer exported by fgbench: nested too deeply."
        ) from error
    except INVALID as error:
        raise StoreError(f"{where}: not an answer exported by fgbench: {error}.") from error


def _record_line(store: AnswerStore, record: Record) -> bytes:
    try:
        return _line(_to_value(record))
    except INVALID as error:  # an imported database may have any JSON, or none
        raise StoreError(
            f"{store.path}: answer {record.key.hex()} cannot be exported: {error}."
        ) from error


def _ignore(problem: str) -> None:
    """Ignore a problem that was reported before."""


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
    """Return the record in the values of a line; raises `ValueError`, `TypeError` or `KeyError`."""
    for name in ("model", "request"):
        if not isinstance(value[name], dict):
            raise ValueError(f"{name} is not an object")
    if value["tokens"] is not None and not isinstance(value["tokens"], list):
        raise ValueError("tokens is not a list")
    if not isinstance(value["notes"], list):
        raise ValueError("notes is not a list")
    if type(value["time"]) not in (int, float) or not 0 <= value["time"] < _MAX_TIME:
        raise ValueError("time is not a number of seconds")
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
    check_answer(answer)
    if value["status"] != AnswerStatus.of(answer).name.lower():
        raise ValueError(f"status {value['status']!r} does not match its text and failure")
    model = canonical_json(value["model"])
    if clean(model) != model:
        raise ValueError("model contains an unpaired surrogate")
    return Record(
        bytes.fromhex(value["key"]),
        model,
        canonical_json(value["request"]),
        answer,
        float(value["time"]),
    )


def _line(value: Any) -> bytes:
    return canonical_json(value).encode("utf-8", "surrogatepass") + b"\n"
