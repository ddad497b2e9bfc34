"""Usage of language models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Usage:
    """Requests, tokens and cost; the usage of a run is the sum over its stored artifacts."""

    # Said here because pydantic before 2.14 does not pass it on from the record that holds it.
    __pydantic_config__: ClassVar[Mapping[str, str]] = {"extra": "forbid"}

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cost_usd + other.cost_usd,
        )
