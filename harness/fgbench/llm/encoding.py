"""Convert tokens and invalid Unicode of answers to values that can be stored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fgbench.llm.chat import TokenChoice


def clean(text: str | None) -> str | None:
    """Replace unpaired surrogates, which cannot be encoded in a file."""
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


def token_choices(values: Sequence[Any]) -> tuple[TokenChoice, ...]:
    """Return tokens from their JSON values."""
    return tuple(
        TokenChoice(token, logprob, tuple((name, value) for name, value in alternatives))
        for token, logprob, alternatives in values
    )


def _finite(logprob: float) -> float:
    """Return a log-probability as a JSON number: −∞ becomes −9999, the usual substitute."""
    return logprob if math.isfinite(logprob) else -9999.0
