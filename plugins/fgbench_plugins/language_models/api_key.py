"""Reading an API key, and redacting it from errors, answers and logs."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass, replace
from typing import Any

from fgbench import ChatAnswer, ConfigurationError

REDACTED = "[key]"
_LOGGERS = (
    "openai",
    "openai._base_client",
    "openai._legacy_response",
    "openai._response",
    "httpx2",
    "httpcore2.connection",
    "httpcore2.http11",
    "httpcore2.http2",
    "httpcore2.proxy",
    "httpcore2.socks",
    "asyncio",
)
"""All loggers by name, because a filter of a logger does not see the records of its children."""


class Secret:
    """A key, possibly empty, and its redaction from texts."""

    def __init__(self, value: str) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Secret({REDACTED if self.value else ''})"

    def redacted(self, text: str) -> str:
        """Return a text without the key."""
        return text.replace(self.value, REDACTED) if self.value else text

    def redacted_value(self, value: Any) -> Any:
        """Return JSON, or a record, with the key redacted from all of its strings."""
        if not self.value:
            return value
        if isinstance(value, str):
            return self.redacted(value)
        if isinstance(value, list | tuple):
            return type(value)(map(self.redacted_value, value))
        if isinstance(value, dict):
            return {self.redacted(name): self.redacted_value(item) for name, item in value.items()}
        if is_dataclass(value) and not isinstance(value, type):
            parts = {name: self.redacted_value(item) for name, item in vars(value).items()}
            return replace(value, **parts)
        return value

    def redacted_answer(self, answer: ChatAnswer) -> ChatAnswer:
        """Return an answer with the key redacted, wherever a server may have echoed it.

        Its tokens are left out if they spell the key together.
        """
        if not self.value:
            return answer
        if self.value in "".join(choice.token for choice in answer.tokens or ()):
            answer = replace(answer, tokens=None)
        redacted: ChatAnswer = self.redacted_value(answer)
        return redacted

    @contextmanager
    def redacted_logs(self) -> Iterator[None]:
        """Redact the key from what the client's libraries log, at any level."""
        redaction = _Redaction(self)
        loggers = [logging.getLogger(name) for name in _LOGGERS] if self.value else []
        for logger in loggers:
            logger.addFilter(redaction)
        try:
            yield
        finally:
            for logger in loggers:
                logger.removeFilter(redaction)


class _Redaction(logging.Filter):
    def __init__(self, secret: Secret) -> None:
        super().__init__()
        self._secret = secret

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if self._secret.value in message:
            record.msg, record.args = self._secret.redacted(message), ()
        if record.exc_info and self._secret.value in str(record.exc_info[1]):
            record.exc_info = None
        return True


def check_variable(name: str) -> None:
    """Raise unless `name` can name an environment variable: it could be the key itself."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ConfigurationError(
            "api_key_env takes the name of an environment variable that holds the key, not the "
            "key itself: set the variable and pass its name, as in api_key_env=OPENAI_API_KEY."
        )


def read_key(variable: str | None) -> Secret:
    """Return the key that an environment variable holds, an empty one for None.

    Raises `ConfigurationError` if the variable is not set or does not hold a valid key.
    """
    if variable is None:
        return Secret("")
    value = os.environ.get(variable, "").strip()
    if not value:
        raise ConfigurationError(
            f"The environment variable {variable}, which should hold the API key, is not set: set "
            "it or name another one with api_key_env=."
        )
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigurationError(
            f"The environment variable {variable} contains characters that are invalid in an API "
            "key: copy the key again."
        )
    return Secret(value)
