"""Texts by a language model behind Anthropic's Messages API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from fgbench import Access, HostUrl, KeyVariable
from fgbench_plugins.generators.llm_generator import LanguageModelGenerator
from fgbench_plugins.generators.openai import OpenAIGenerator
from fgbench_plugins.language_models.anthropic_messages import (
    ANTHROPIC_KEY,
    ANTHROPIC_URL,
    AnthropicChat,
    is_anthropic,
)

if TYPE_CHECKING:
    from fgbench_plugins.language_models.openai_endpoint import OpenAIChat


class AnthropicGenerator(OpenAIGenerator):
    """Texts by a model behind Anthropic's Messages API; parameters are those of `openai`.

    The key is read from the environment variable that `api_key_env` names; the default is
    ANTHROPIC_API_KEY for Anthropic's own servers and no key for all others.
    """

    base_url: Annotated[str, Field(min_length=1), HostUrl()] = ANTHROPIC_URL
    api_key_env: Annotated[str, KeyVariable(ANTHROPIC_KEY)] | None = None

    @classmethod
    def accesses(cls, parameters: Mapping[str, Any]) -> Iterator[Access]:
        """Yield host and key variable; ANTHROPIC_API_KEY is documented for Anthropic's only."""
        of_anthropic = is_anthropic(str(parameters.get("base_url", ANTHROPIC_URL)))
        for access in super(LanguageModelGenerator, cls).accesses(parameters):
            if access.kind == "variable" and not of_anthropic:
                yield replace(access, documented=False)
            else:
                yield access
        if of_anthropic and parameters.get("api_key_env") is None:
            yield Access("variable", ANTHROPIC_KEY, "api_key_env")

    def chat_model(self) -> OpenAIChat:
        return AnthropicChat(self.model, **self._options())
