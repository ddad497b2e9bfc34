"""Texts by a language model at an OpenAI-compatible endpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field

from fgbench import Access, ConfigurationError, HostUrl, KeyVariable, Price
from fgbench_plugins.generators.llm_generator import LanguageModelGenerator
from fgbench_plugins.language_models.json_object import JsonObject  # noqa: TC001 - read by pydantic
from fgbench_plugins.language_models.openai_endpoint import (
    MAX_REPLY_BYTES,
    OPENAI_KEY,
    OPENAI_URL,
    OpenAIChat,
    is_openai,
)


class OpenAIGenerator(LanguageModelGenerator):
    """Texts by a model that an endpoint serves: OpenAI, vLLM, Ollama, llama.cpp, TGI, …

    The key is read from the environment variable that `api_key_env` names; the default is
    OPENAI_API_KEY for OpenAI's own servers and no key for all others. `price_prompt` and
    `price_completion` are US dollars per million tokens; they are required for costs in plans and
    results and for `--max-cost`.

    At most `concurrency` requests are in flight. A request that takes longer than `timeout` seconds
    or fails with a transient error is repeated up to `retries` times, after the server's
    Retry-After or after `backoff` seconds, doubled each time. A reply of more than
    `max_reply_bytes` bytes, compressed or unpacked, is discarded. `extra_body`, a JSON object, is
    added to each request, for parameters that the server supports beyond the protocol.
    """

    model: Annotated[str, Field(min_length=1)]
    base_url: Annotated[str, Field(min_length=1), HostUrl()] = OPENAI_URL
    api_key_env: Annotated[str, KeyVariable(OPENAI_KEY)] | None = None
    price_prompt: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    price_completion: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    concurrency: Annotated[int, Field(ge=1, le=1024)] = 16
    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 300.0
    retries: Annotated[int, Field(ge=0, le=100)] = 6
    backoff: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    max_reply_bytes: Annotated[int, Field(ge=1000)] = MAX_REPLY_BYTES
    extra_body: JsonObject = {}  # noqa: RUF012 - each part gets its own copy

    operational = frozenset(
        {"api_key_env", "concurrency", "timeout", "retries", "backoff", "max_reply_bytes"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            self.chat_model()
        except ConfigurationError as error:
            raise ValueError(str(error)) from None

    @classmethod
    def accesses(cls, parameters: Mapping[str, Any]) -> Iterator[Access]:
        """Yield the host and the key variable; OPENAI_API_KEY is documented for OpenAI's only."""
        of_openai = is_openai(str(parameters.get("base_url", OPENAI_URL)))
        for access in super().accesses(parameters):
            if access.kind == "variable" and not of_openai:
                yield replace(access, documented=False)
            else:
                yield access
        if of_openai and parameters.get("api_key_env") is None:
            yield Access("variable", OPENAI_KEY, "api_key_env")

    def preflight(self) -> None:
        """Raise `ConfigurationError` unless the required key is set."""
        self.chat_model().check_key()

    def chat_model(self) -> OpenAIChat:
        structured: Literal["auto", "off"] = "auto" if self.structured else "off"
        return OpenAIChat(
            self.model,
            base_url=self.base_url,
            api_key_env=self.api_key_env,
            concurrency=self.concurrency,
            timeout=self.timeout,
            retries=self.retries,
            backoff=self.backoff,
            max_reply_bytes=self.max_reply_bytes,
            structured=structured,
            price=self.price(),
            extra_body=self.extra_body,
        )

    def price(self) -> Price | None:
        if self.price_prompt is None and self.price_completion is None:
            return None
        return Price(self.price_prompt or 0.0, self.price_completion or 0.0)
