"""Errors as servers report them: codes, messages and waits, wherever they are in a response."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any


@dataclass(frozen=True)
class ServerError:
    """An error as a server reports it."""

    status: int
    codes: str = ""
    """The values of code, type, status, reason and the like, separated by spaces."""
    text: str = ""
    """All of its messages."""
    param: str = ""
    """The field of the request that the server names."""
    wait: float | None = None
    """Seconds until the next attempt, if the server names them, wherever it does."""
    is_page: bool = False
    """Whether the body is an HTML page, which no model server sends."""


def server_error(status: int, headers: Mapping[str, str], body: Any) -> ServerError:
    """Return an error from a response; `body` is parsed JSON, or text if it is not JSON."""
    codes: list[str] = []
    texts: list[str] = []
    if isinstance(body, str):
        is_page = _PAGE.search(body[:1000]) is not None
        texts = [] if is_page else [body]
    else:
        is_page = False
        for kind, value in _strings(body):
            (codes if kind == "code" else texts).append(value)
    text = " ".join(dict.fromkeys(" ".join(item.split()) for item in texts if item.strip()))
    return ServerError(
        status=status,
        codes=" ".join(dict.fromkeys(codes))[:_MAX_TEXT],
        text=text[:_MAX_TEXT],
        param=_param(body),
        wait=_named_wait(headers, body, text[:_MAX_TEXT]),
        is_page=is_page,
    )


_MAX_TEXT = 20_000
_MAX_VALUES = 300
_MAX_DEPTH = 8
_PAGE = re.compile(r"<!doctype html|<html|<head>|<body", re.IGNORECASE)
_CODE_KEYS = frozenset({"code", "type", "status", "reason", "error_type", "quotaId", "errorCode"})
_TEXT_KEYS = frozenset(
    {"message", "detail", "details", "msg", "raw", "error", "errors", "title", "error_description",
     "loc", "error_msg"}
)  # fmt: skip
_NESTED_KEYS = frozenset({"metadata", "innererror", "violations", "data", "response", "detail"})


def _strings(body: Any) -> Iterator[tuple[str, str]]:
    """Yield the codes and messages of a body, wherever the server puts them, as (kind, value)."""
    waiting: list[tuple[str, Any, int]] = [("error", body, 0)]
    for _ in range(_MAX_VALUES):
        if not waiting:
            return
        key, value, depth = waiting.pop(0)
        if isinstance(value, str):
            inner = _json_in(value)
            if inner is not None and depth < _MAX_DEPTH:
                waiting.append((key, inner, depth + 1))
            else:
                yield "code" if key in _CODE_KEYS else "text", value
        elif type(value) is int and key in _CODE_KEYS:
            yield "code", str(value)
        elif isinstance(value, Mapping) and depth < _MAX_DEPTH:
            known = _CODE_KEYS | _TEXT_KEYS | _NESTED_KEYS
            waiting += [(name, item, depth + 1) for name, item in value.items() if name in known]
        elif isinstance(value, list) and depth < _MAX_DEPTH:
            waiting += [(key, item, depth + 1) for item in value[:20]]


def _json_in(text: str) -> Any:
    """Return the JSON object or list that a message consists of, None if it is not one."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def _param(body: Any) -> str:
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, Mapping):
        inner = body.get("error", body)
        if isinstance(inner, Mapping):
            return str(inner.get("param") or "").removeprefix("body.")[:200]
    return ""


# Waits

_DURATION = re.compile(
    r"(?P<number>\d+(?:\.\d+)?)\s*"
    r"(?P<unit>milliseconds?|ms|days?|d|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s)(?![a-z])",
    re.IGNORECASE,
)
_MAX_WAIT = 31 * 86400.0
"""A longer wait is no statement of a server."""
_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_IN_WORDS = re.compile(
    r"(?:(?:try again|retry|retrying|wait|available|reset|resets)\s+(?:again\s+)?"
    r"(?:(?:in|after|for|at least|another)\s+)*)"
    r"(?P<wait>\d+(?:\.\d+)?\s*[a-z]+(?:\s*\d+(?:\.\d+)?\s*(?:ms|h|m|s)[a-z]*)*)",
    re.IGNORECASE,
)
_WAIT_KEYS = {"retryDelay": 1.0, "retry_after": 1.0, "retryAfter": 1.0, "retry_after_seconds": 1.0,
              "estimated_time": 1.0, "retry_after_ms": 0.001, "retry-after": 1.0}  # fmt: skip


def _named_wait(headers: Mapping[str, str], body: Any, text: str) -> float | None:
    """Return the seconds until the next attempt that a server names: headers, fields or words."""
    wait = _wait_in_headers(headers)
    if wait is None and not isinstance(body, str):
        wait = _wait_in_fields(body)
    if wait is None and (named := _IN_WORDS.search(text)) is not None:
        wait = duration(named["wait"])
    return wait if wait is None or wait <= _MAX_WAIT else None


def _wait_in_headers(headers: Mapping[str, str]) -> float | None:
    milliseconds, value = headers.get("retry-after-ms"), headers.get("retry-after")
    try:
        if milliseconds is not None:
            return max(0.0, float(milliseconds) / 1000)
        if value is not None:
            return max(0.0, float(value))
    except ValueError:
        pass
    if value is not None:
        return _until(value) if (seconds := duration(value)) is None else seconds
    for name in ("requests", "tokens"):
        if headers.get(f"x-ratelimit-remaining-{name}") == "0":
            return duration(headers.get(f"x-ratelimit-reset-{name}") or "")
    return None


def _until(value: str) -> float | None:
    """Return the seconds until a date; one without a zone is in UTC (RFC 9110)."""
    try:
        then = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        try:
            then = datetime.fromisoformat(value)
        except ValueError:
            return None
    try:
        if then.tzinfo is None:
            then = then.replace(tzinfo=UTC)
        return max(0.0, then.timestamp() - time.time())
    except (ValueError, OverflowError, OSError):
        return None


def _wait_in_fields(body: Any) -> float | None:
    waiting = [(body, 0)]
    for _ in range(_MAX_VALUES):
        if not waiting:
            return None
        value, depth = waiting.pop(0)
        if isinstance(value, str) and (inner := _json_in(value)) is not None:
            value = inner
        if depth > _MAX_DEPTH:
            continue
        if isinstance(value, list):
            waiting += [(item, depth + 1) for item in value[:20]]
        elif isinstance(value, Mapping):
            for name, unit in _WAIT_KEYS.items():
                item = value.get(name)
                if type(item) in (int, float) and item == item:
                    return max(0.0, float(item) * unit)  # type: ignore[arg-type]
                if isinstance(item, str) and (seconds := duration(item)) is not None:
                    return seconds
            waiting += [(item, depth + 1) for item in value.values()]
    return None


def duration(text: str) -> float | None:
    """Return the seconds of a duration such as "1m30s", "250ms" or "20 seconds", else None."""
    text = text.strip()
    if re.fullmatch(r"\d+(?:\.\d+)?", text):
        return float(text)
    total, at = 0.0, 0
    for match in _DURATION.finditer(text):
        if text[at : match.start()].strip(" ,"):
            break
        unit = match["unit"].lower()
        scale = 0.001 if unit.startswith(("ms", "mil")) else _SECONDS[unit[0]]
        total += float(match["number"]) * scale
        at = match.end()
    return total if at else None
