"""Convert answers to values that can be stored, and check values that others have stored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fgbench.llm.chat import ChatAnswer, TokenChoice

MAX_COUNT = 2**53
"""Maximum number of tokens or requests of an answer: up to here, JSON numbers are exact."""
_MAX_NUMBER = 1e308
IMPOSSIBLE = -9999.0
"""The log-probability of a token that has none: the usual substitute for −∞."""


def clean(text: str | None) -> str | None:
    """Replace unpaired surrogates, which cannot be encoded in a file."""
    if text is None or text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def clipped_count(count: int) -> int:
    """Return a number of tokens or requests as an integer from 0 to `MAX_COUNT`."""
    return min(max(int(count), 0), MAX_COUNT)


def token_values(tokens: Sequence[TokenChoice]) -> list[Any]:
    """Return tokens as JSON values: [token, log-probability, alternatives]."""
    return [
        [clean(choice.token), _finite(choice.logprob),
         [[clean(token), _finite(logprob)] for token, logprob in choice.alternatives]]
        for choice in tokens
    ]  # fmt: skip


def token_choices(values: Sequence[Any]) -> tuple[TokenChoice, ...]:
    """Return tokens from their JSON values; `check_answer` checks the types of their parts.

    Raises `ValueError` or `TypeError` if they do not have the form of tokens.
    """
    return tuple(
        TokenChoice(token, logprob, tuple((name, value) for name, value in alternatives))
        for token, logprob, alternatives in values
    )


def check_answer(answer: ChatAnswer) -> None:
    """Raise `ValueError` unless every value of an answer has its type and is in range."""
    for name in ("text", "failure", "served_model", "finish_reason"):
        value = getattr(answer, name)
        if value is not None:
            _check_text(name, value)
    if answer.text is None and answer.failure is None:
        raise ValueError("neither text nor failure")
    for name in ("requests", "prompt_tokens", "completion_tokens"):
        count = getattr(answer.usage, name)
        if type(count) is not int or not 0 <= count <= MAX_COUNT:
            raise ValueError(f"{name} is not an integer from 0 to 2⁵³")
    for note in answer.notes:
        _check_text("a note", note)
    for choice in answer.tokens or ():
        for token, logprob in ((choice.token, choice.logprob), *choice.alternatives):
            _check_text("a token", token)
            is_number = type(logprob) in (int, float)  # an integer may be too large for a float
            if not is_number or not -_MAX_NUMBER <= logprob <= _MAX_NUMBER:
                raise ValueError("a log-probability is not a finite number")


def _check_text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{name} is not a string")
    if clean(value) != value:
        raise ValueError(f"{name} contains an unpaired surrogate")


def _finite(logprob: float) -> float:
    """Return a log-probability as a JSON number."""
    return logprob if math.isfinite(logprob) else IMPOSSIBLE
