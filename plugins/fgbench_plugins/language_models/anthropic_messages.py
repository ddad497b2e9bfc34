"""Anthropic's Messages API, for models that are asked through `OpenAIChat`.

Requests are converted from chat completions and replies into them, so that retries, budgets and the
classification of errors are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from fgbench_plugins.language_models.exchange import Protocol
from fgbench_plugins.language_models.openai_endpoint import OpenAIChat

ANTHROPIC_URL = "https://api.anthropic.com/v1"
ANTHROPIC_KEY = "ANTHROPIC_API_KEY"
_VERSION = "2023-06-01"
_LACKS = frozenset({"seed", "n", "response_format", "logprobs"})


class AnthropicChat(OpenAIChat):
    """A model behind Anthropic's Messages API; see `OpenAIChat` for the parameters.

    Without `api_key_env`, Anthropic's own servers get the key of ANTHROPIC_API_KEY, and others
    none. The API has no seeds, no log-probabilities, no schemas and one answer per request.
    """

    engine = "anthropic"

    def __init__(
        self,
        model: str,
        *,
        base_url: str = ANTHROPIC_URL,
        api_key_env: str | None = None,
        **options: Any,
    ) -> None:
        if api_key_env is None and is_anthropic(base_url):
            api_key_env = ANTHROPIC_KEY
        super().__init__(
            model, base_url=base_url, api_key_env=api_key_env, protocol=_PROTOCOL, **options
        )
        self._dialect.lacks |= _LACKS


def is_anthropic(endpoint: str) -> bool:
    """Return whether an endpoint is Anthropic's own."""
    try:
        parts = urlsplit(endpoint.strip())
    except ValueError:
        return False
    return parts.scheme == "https" and f".{parts.hostname}".endswith(".api.anthropic.com")


def request_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a request from that of a chat completion."""
    request = {name: value for name, value in body.items() if name not in ("messages", "stop")}
    limit = request.pop("max_completion_tokens", None)
    request.setdefault("max_tokens", limit)
    system = [item["content"] for item in body["messages"] if item["role"] == "system"]
    if system:
        request["system"] = "\n\n".join(system)
    request["messages"] = [item for item in body["messages"] if item["role"] != "system"]
    if "stop" in body:
        request["stop_sequences"] = body["stop"]
    return request


def completion_of(content: Any) -> Any:
    """Return a reply as a chat completion; anything else as it is."""
    if not isinstance(content, Mapping) or not isinstance(content.get("content"), list):
        return content
    blocks = [block for block in content["content"] if isinstance(block, Mapping)]
    texts = [block["text"] for block in blocks if isinstance(block.get("text"), str)]
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts else None}
    thoughts = [block.get("thinking") or block.get("data") for block in blocks]
    if any(thoughts):
        message["reasoning_content"] = "…"  # not read: that there are thoughts is enough
    reason = content.get("stop_reason")
    if reason == "refusal":
        message |= {"content": None, "refusal": "".join(texts) or "refused"}
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return {
        "model": content.get("model"),
        "choices": [choice],
        "usage": _usage(content.get("usage")),
    }


def _usage(usage: Any) -> dict[str, Any] | None:
    if not isinstance(usage, Mapping):
        return None
    inputs = [usage.get("input_tokens")]
    inputs += [
        usage[name]
        for name in ("cache_creation_input_tokens", "cache_read_input_tokens")
        if usage.get(name) is not None
    ]
    if not all(type(count) is int for count in inputs):
        return None
    return {"prompt_tokens": sum(inputs), "completion_tokens": usage.get("output_tokens")}


def _headers(key: str) -> dict[str, str]:
    return {"anthropic-version": _VERSION} | ({"x-api-key": key} if key else {})


_PROTOCOL = Protocol("/messages", request_of, completion_of, _headers, has_bearer=False)
