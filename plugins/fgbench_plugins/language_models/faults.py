"""Classification of failed requests to an endpoint.

Servers that implement OpenAI's protocol agree on status codes, more or less, and on nothing else:
what they reject has to be recognized by the wording of their messages.
"""

from __future__ import annotations

import errno
import re
import ssl
import time
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openai import APIConnectionError

MAX_MESSAGE_LENGTH = 200
"""Characters of a server's message, the rest is cut off."""


class ReplyTooLongError(Exception):
    """A response body has more bytes than allowed, before or after decompression."""


@dataclass(frozen=True)
class Fault:
    """Why an attempt got no answer."""

    reason: str
    """A short phrase, identical for identical reasons."""
    transient: bool = False
    retry_after: float | None = None
    """Seconds to wait, as requested by the server."""
    billed: bool = False
    """Whether the model may have run, in which case the request counts in full."""
    rejected: str | None = None
    """The field of the request that the server does not support."""
    stop: str | None = None
    """Why all other requests would fail too: "key", "account", "model", "path", "certificate",
    "files" or "parameter"."""
    message: str = ""
    """The server's message, shortened."""
    status: int = 0
    """The HTTP status of the response, 0 without a response."""


_TOO_LONG = re.compile(
    r"context.{0,10}(length|window|size)|maximum model len|max_model_len|prompt is too long"
    r"|(prompt|input|inputs|request|messages|token count)\b.{0,60}"
    r"(too long|too large|exceed|longer than|must have less)"
    r"|reduce the length of the (messages|prompt)|max_new_tokens.{0,20}must be",
    re.IGNORECASE | re.DOTALL,
)
_FILTERED = re.compile(
    r"content.{0,3}(filter|policy|management)|flagged|safety system|moderation", re.IGNORECASE
)
_NO_CREDIT = re.compile(r"insufficient_(quota|balance)|billing|exceeded your current quota", re.I)
_UNSUPPORTED = re.compile(
    r"not (supported|permitted|allowed|implemented|available|enabled)|unsupported|does(n't| not)"
    r"|unexpected|unknown|unrecognized|extra|forbidden|invalid|instead|must be|only|refus|cannot",
    re.IGNORECASE,
)
_UNKNOWN_NAME = re.compile(
    r"not (supported|permitted|allowed)|unsupported|unexpected|unknown|unrecognized|extra|instead",
    re.IGNORECASE,
)
_LIMIT_TOO_HIGH = re.compile(
    r"max_(completion_|new_)?tokens\b.{0,40}(too large|cannot be greater|must be less|at most)",
    re.IGNORECASE,
)
_NAMES = {
    "response_format": re.compile(
        r"response_?format|json_?\s?schema|structured.?output|guided|grammar", re.IGNORECASE
    ),
    "logprobs": re.compile(r"logprob", re.IGNORECASE),
    "seed": re.compile(r"\bseed\b", re.IGNORECASE),
    "n": re.compile(
        r"['\"`]n['\"`]|\bn (must|should|is)\b|\bn ?> ?1\b|multiple (choices|completions)"
    ),
    "max_tokens": re.compile(r"['\"`]?\bmax_tokens\b"),
    "max_completion_tokens": re.compile(r"max_completion_tokens"),
}
_MODEL = re.compile(r"\bmodel\b", re.IGNORECASE)


def status_fault(
    status: int, headers: Mapping[str, str], body: Any, sent: Collection[str], model: str
) -> Fault:
    """Return the fault of a response with an error status.

    `body` is the parsed JSON of the response, or its text if it is not JSON; `sent` names the
    optional fields of the request.
    """
    error = _error_of(body)
    message = shorten(str(error.get("message") or error.get("detail") or ""))
    code = shorten(" ".join(str(error.get(name) or "") for name in ("code", "type")))
    param = shorten(str(error.get("param") or "").removeprefix("body."))
    description = f"{code} {message}"
    fault = Fault(f"HTTP {status}", message=message, status=status)
    if status == 402 or (status in (400, 403, 429) and _NO_CREDIT.search(description)):
        return replace(fault, stop="account")
    if status in (401, 403):
        return replace(fault, stop="key")
    if status in (404, 405) or 300 <= status < 400:
        names_model = "model_not_found" in code or model in message or _MODEL.search(message)
        return replace(fault, stop="model" if names_model else "path")
    if status in (500, 501) and (rejected := _rejected_field(description, param, sent)) is not None:
        return replace(fault, rejected=rejected)
    if status in (408, 409, 429) or status >= 500:
        wait = _retry_after(headers)
        return replace(fault, transient=True, retry_after=wait, billed=status == 504)
    if _LIMIT_TOO_HIGH.search(message) and not re.search(r"input|prompt|context|messag", message):
        return replace(fault, stop="parameter")
    if status == 413 or _TOO_LONG.search(description):
        return replace(fault, reason="prompt too long")
    if (rejected := _rejected_field(description, param, sent)) is not None:
        return replace(fault, rejected=rejected)
    if _FILTERED.search(description):
        return replace(fault, reason="content filter")
    if param and re.search(r"unsupported_(value|parameter)", code):
        return replace(fault, stop="parameter")
    return replace(fault, reason=f"HTTP {status}: {message}") if message else fault


def connection_fault(error: APIConnectionError | OSError) -> Fault:
    """Return the fault of a request that got no response or an incomplete one."""
    import httpx2
    from openai import APITimeoutError

    chain = list(_causes(error))
    if any(isinstance(item, ReplyTooLongError) for item in chain):
        return Fault("longer than max_reply_bytes", billed=True)
    if any(isinstance(item, zlib.error) for item in chain):
        return Fault("invalid compression", transient=True, billed=True)
    if any(is_out_of_files(item) for item in chain):
        return Fault("too many open files", stop="files")
    if any(isinstance(item, ssl.SSLCertVerificationError) for item in chain) or any(
        "CERTIFICATE_VERIFY_FAILED" in str(item) for item in chain
    ):
        return Fault("certificate", stop="certificate")
    if any(isinstance(item, httpx2.ConnectError | httpx2.ConnectTimeout) for item in chain):
        return Fault("no connection", transient=True)
    if isinstance(error, TimeoutError | APITimeoutError):
        return Fault("timeout", transient=True, billed=True)
    if any("without sending a response" in str(item) for item in chain):
        return Fault("connection lost", transient=True)
    return Fault("connection lost", transient=True, billed=True)


def stop_sentence(fault: Fault, endpoint: str, model: str, variable: str | None) -> str:
    """Return the message for a fault that stops all requests.

    `variable` is the environment variable whose key was sent, None if no key was sent.
    """
    details = f" Message: {fault.message}" if fault.message else ""
    match fault.stop:
        case "key" if variable is not None:
            return (
                f"The server at {endpoint} rejects the key in the environment variable {variable} "
                f"({fault.reason}): set it to a valid key or name another variable with "
                f"api_key_env=.{details}"
            )
        case "key":
            return (
                f"The server at {endpoint} requires a key ({fault.reason}): name the environment "
                f"variable that holds it with api_key_env=.{details}"
            )
        case "account":
            return (
                f"The account at {endpoint} has no credit left: add credit, then rerun the same "
                f"command.{details}"
            )
        case "model":
            return f"The server at {endpoint} has no model {model!r}: check model=.{details}"
        case "certificate":
            return (
                f"The certificate of {endpoint} is not trusted: check base_url=, or set the "
                "environment variable SSL_CERT_FILE to the file of its certificate authority."
            )
        case "files":
            return out_of_files_sentence(endpoint)
        case "parameter":
            return f"The model {model!r} at {endpoint} rejects one of the parameters.{details}"
    return (
        f"{endpoint}/chat/completions does not exist ({fault.reason}): check base_url=, which "
        f"usually ends in /v1.{details}"
    )


def is_out_of_files(error: BaseException) -> bool:
    """Return whether an error says that no more files can be opened."""
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)


def out_of_files_sentence(endpoint: str) -> str:
    """Return the message for a connection that needs more open files than are allowed."""
    return (
        f"No connection to {endpoint} could be opened, because this process has reached its limit "
        "of open files: raise it (ulimit -n) or lower concurrency=."
    )


def shorten(message: str) -> str:
    """Return the beginning of a message as one line."""
    line = " ".join(message.split())
    return line if len(line) <= MAX_MESSAGE_LENGTH else line[: MAX_MESSAGE_LENGTH - 1] + "…"


def _error_of(body: Any) -> Mapping[str, Any]:
    """Return the error object of a response body, wherever the server puts it."""
    if isinstance(body, list) and body:  # some servers send a list with one error
        body = body[0]
    if isinstance(body, Mapping):
        inner = body.get("error", body)
        if isinstance(inner, Mapping):
            return inner
        return {"message": inner}
    return {"message": body if isinstance(body, str) and "<html" not in body.lower() else ""}


def _rejected_field(text: str, param: str, sent: Collection[str]) -> str | None:
    """Return the field among `sent` that an error message rejects, if any."""
    for name in sent:
        words = _UNKNOWN_NAME if name.startswith("max") else _UNSUPPORTED
        named = param == name or (name == "logprobs" and param == "top_logprobs")
        if named and (words is _UNSUPPORTED or words.search(text)):
            return name
    for name in sent:
        words = _UNKNOWN_NAME if name.startswith("max") else _UNSUPPORTED
        if _NAMES[name].search(text) and words.search(text):
            return name
    return None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of a Retry-After header, which holds seconds or a date."""
    milliseconds = headers.get("retry-after-ms")
    value = headers.get("retry-after")
    try:
        if milliseconds is not None:
            return max(0.0, float(milliseconds) / 1000)
        if value is not None:
            return max(0.0, float(value))
    except ValueError:
        pass
    if value is None:
        return None
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and everything that it was raised from, members of groups included."""
    waiting, seen = [error], set()
    while waiting:
        cause = waiting.pop()
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        if isinstance(cause, BaseExceptionGroup):
            waiting += cause.exceptions
        waiting += filter(None, (cause.__context__, cause.__cause__))
