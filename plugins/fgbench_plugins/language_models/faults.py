"""Faults: why an attempt at a request got no answer, and the sentence for those that stop a run.

What a response with an error status means is in `error_table`.
"""

from __future__ import annotations

import errno
import os
import re
import ssl
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fgbench_plugins.language_models.error_table import (
    ErrorClass,
    classify,
    names_key,
    rejected_field,
)
from fgbench_plugins.language_models.server_error import ServerError, server_error

if TYPE_CHECKING:
    from openai import APIConnectionError

MAX_MESSAGE_LENGTH = 200
"""Characters of a server's message, the rest is cut off."""


ONLY_THOUGHTS = "no text within max_tokens"
"""The failure of a model that was cut off while thinking."""
ONLY_REASONING = "no text beside its reasoning"
"""The failure of a model whose whole reply is in the field for its thoughts."""


class ReplyTooLongError(Exception):
    """A response body has more bytes than allowed, before or after decompression."""


@dataclass(frozen=True)
class Fault:
    """Why an attempt got no answer."""

    reason: str
    """A short phrase, identical for identical reasons."""
    meaning: ErrorClass = ErrorClass.BROKEN
    transient: bool = False
    retry_after: float | None = None
    """Seconds to wait, as requested by the server."""
    billed: bool = False
    """Whether the model may have run, in which case the request counts in full."""
    rejected: str | None = None
    """The field of the request that the server does not support."""
    limit: int | None = None
    """The highest value of that field that it supports, if it says so."""
    stop: str | None = None
    """Why all other requests would fail too: "key", "account", "model", "path", "certificate",
    "files", "parameter", "memory" or "proxy"."""
    is_sure: bool = True
    """Whether `stop` holds even after good answers."""
    systematic: bool = False
    """Whether the cause may lie in all requests rather than in this one."""
    message: str = ""
    """The server's message, shortened."""
    status: int = 0
    """The HTTP status of the response, 0 without a response."""


_STOPS = {
    ErrorClass.KEY: "key",
    ErrorClass.MODEL: "model",
    ErrorClass.CREDIT: "account",
    ErrorClass.PARAMETER: "parameter",
    ErrorClass.MEMORY: "memory",
    ErrorClass.ADDRESS: "path",
}
"""The errors that all other requests would get too, and the name of their sentence."""


def status_fault(
    status: int, headers: Mapping[str, str], body: Any, sent: Collection[str], model: str
) -> Fault:
    """Return the fault of a response with an error status.

    `body` is the parsed JSON of the response, or its text if it is not JSON; `sent` names the
    optional fields of the request, and "system" if it has a message of that role.
    """
    error = server_error(status, headers, body)
    meaning = classify(error)
    message = shorten(error.text)
    fault = Fault(f"HTTP {status}", meaning=meaning, message=message, status=status)
    if (rejected := rejected_field(error, sent)) is not None:
        return replace(fault, meaning=ErrorClass.FIELD, rejected=rejected, limit=_limit_in(error))
    if meaning is ErrorClass.ADDRESS and model and model in error.text:
        meaning = ErrorClass.MODEL
    if error.param and re.search(r"unsupported_(?:value|parameter)", error.codes):
        meaning = ErrorClass.PARAMETER
    if meaning is ErrorClass.PARAMETER:
        fault = replace(fault, message=f"{error.param}: {message}" if error.param else message)
    if meaning in _STOPS:
        is_sure = not (meaning is ErrorClass.KEY and status == 403 and not names_key(error))
        return replace(fault, meaning=meaning, stop=_STOPS[meaning], is_sure=is_sure)
    if meaning in (ErrorClass.RATE_LIMIT, ErrorClass.OVERLOADED, ErrorClass.TRANSPORT):
        billed = status in _BILLED
        return replace(fault, transient=True, retry_after=error.wait, billed=billed)
    if meaning in (ErrorClass.TOO_LONG, ErrorClass.CONTENT_FILTER):
        return replace(fault, reason=str(meaning))
    fault = replace(fault, systematic=True)
    return replace(fault, reason=f"HTTP {status}: {message}") if message else fault


_BILLED = frozenset({499, 504, 524})
"""Statuses of a gateway that stopped waiting for the model."""


def _limit_in(error: ServerError) -> int | None:
    """Return the number of log-probabilities that a refusal allows, if it names one."""
    match = re.search(
        r"(?:at most|maximum of|max(?:imum)? allowed(?: \w+){0,3}:?|less than or equal to|"
        r"between 0 and|up to|<=)\s*(\d{1,2})\b",
        error.text,
        re.IGNORECASE,
    )
    return int(match[1]) if match else None


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


def stop_sentence(
    fault: Fault, endpoint: str, model: str, variable: str | None, path: str = "/chat/completions"
) -> str:
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
                f"The account at {endpoint} has no credit left, or has used up a limit that is not "
                f"renewed soon: add credit or wait, then rerun the same command.{details}"
            )
        case "memory":
            return (
                f"The server at {endpoint} cannot load the model {model!r}: free memory there or "
                f"use a smaller model.{details}"
            )
        case "proxy":
            return (
                f"A proxy ({proxy_variables()}) refuses the connection to {endpoint} "
                f"({fault.reason}): unset the variable, or add the host to NO_PROXY.{details}"
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
            return f"The model {model!r} at {endpoint} rejects a parameter.{details}"
    return (
        f"{endpoint}{path} does not exist ({fault.reason}): check base_url=, which "
        f"usually ends in /v1.{details}"
    )


def proxy_variables() -> str:
    """Return the environment variables that name a proxy, for messages; "" if none is set."""
    names = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
    return ", ".join(name for name in names if os.environ.get(name) or os.environ.get(name.lower()))


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
