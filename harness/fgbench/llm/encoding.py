"""What of an answer needs another form in a file: its tokens, and text that is no Unicode."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fgbench.llm.chat import TokenChoice


def clean(text: str | None) -> str | None:
    """Replace halves of surrogate pairs, which no file can hold as text."""
    if text is None or text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def token_values(tokens: Sequence[TokenChoice]) -> list[Any]:
    """Return tokens as JSON values: [token, log-probability, alternatives]."""
    return [
        [clean(choice.token), _finite(choice.logprob),
         [[clean(token), _finite(logprob)] for token, logprob in choice.alternatives]]
        for choice in tokens
    ]  # fmt: skip


def token_choices(value: Sequence[Any]) -> tuple[TokenChoice, ...]:
    """Return tokens from their JSON values."""
    return tuple(
        TokenChoice(token, logprob, tuple((each, other) for each, other in alternatives))
        for token, logprob, alternatives in value
    )


def _finite(logprob: float) -> float:
    """Return a log-probability as JSON has it: what a server calls −∞ is −9999, as others say."""
    return logprob if math.isfinite(logprob) else -9999.0
