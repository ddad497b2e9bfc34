"""OpenAI's chat completions: building request bodies and reading response bodies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fgbench import ChatAnswer, ChatRequest, TokenChoice, Usage
from fgbench_plugins.language_models.faults import Fault
from fgbench_plugins.language_models.template_marks import KNOWN_MARKS, escaped

NOTES = {
    "response_format": "no structured output",
    "logprobs": "no log-probabilities",
    "seed": "no seed",
    "n": "n ignored",
}
"""The note on an answer for each request field that the server does not support."""


@dataclass
class Dialect:
    """What a server supports, as learned from its errors; shared by all requests to it."""

    max_tokens: str = "max_tokens"
    """The name of the token limit: newer OpenAI models require `max_completion_tokens`."""
    lacks: set[str] = field(default_factory=set)
    """The keys of `NOTES` that the server rejected or ignored."""
    formats: bool = False
    """Whether a request with `response_format` has succeeded."""

    def reject(self, name: str) -> None:
        """Record that the server does not support a field."""
        if name == "max_tokens":
            self.max_tokens = "max_completion_tokens"
        elif name == "max_completion_tokens":
            self.max_tokens = "max_tokens"
        else:
            self.lacks.add(name)

    def learn(self, without: frozenset[str], sent: Sequence[str]) -> None:
        """Record that a request with the fields `sent` and without `without` succeeded."""
        self.lacks |= without
        self.formats = self.formats or "response_format" in sent


def request_body(
    model: str, requests: Sequence[ChatRequest], lacks: set[str] | frozenset[str], max_tokens: str
) -> dict[str, Any]:
    """Return the body of one call that asks for one answer per request."""
    first = requests[0]
    sampling = first.sampling
    body: dict[str, Any] = {
        "model": model,
        "messages": [
            {"role": message.role, "content": escaped(_sendable(message.content), KNOWN_MARKS)}
            for message in first.messages
        ],
        "temperature": sampling.temperature,
        max_tokens: sampling.max_tokens,
    }
    if sampling.top_p != 1.0:
        body["top_p"] = sampling.top_p
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if "seed" not in lacks:
        body["seed"] = first.sampling_seed
    if len(requests) > 1:
        body["n"] = len(requests)
    if sampling.schema is not None and "response_format" not in lacks:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": dict(sampling.schema), "strict": True},
        }
    if sampling.top_logprobs and "logprobs" not in lacks:
        body |= {"logprobs": True, "top_logprobs": sampling.top_logprobs}
    return body


def optional_fields(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the fields of a body that can be left out or renamed."""
    names = ("response_format", "logprobs", "seed", "n", "max_tokens", "max_completion_tokens")
    return tuple(name for name in names if name in body)


@dataclass(frozen=True)
class Reply:
    """The content of a response body: an answer or a fault for each request, and the usage."""

    items: tuple[ChatAnswer | Fault, ...]
    """Fewer than requested if the server ignores `n`."""
    usage: Usage
    estimated: bool = False


def read_reply(
    content: Any,
    requests: Sequence[ChatRequest],
    sent: Sequence[str],
    count_tokens: Callable[[str], int],
    prompt_tokens: int,
) -> Reply | Fault:
    """Return the content of a response body, or the fault if it is not a chat completion.

    `sent` names the optional fields of the request; `prompt_tokens` is the estimate to use if the
    server reports no usage.
    """
    if not isinstance(content, Mapping) or not isinstance(content.get("choices"), list):
        return Fault("no chat completion", transient=True, billed=True)
    choices = content["choices"][: len(requests)]
    if not choices:
        return Fault("no choices", transient=True, billed=True)
    served = _served_model(content)
    items = tuple(
        _item(choice, request, served, sent)
        for choice, request in zip(choices, requests, strict=False)
    )
    usage = _usage(content.get("usage"))
    if usage is not None:
        return Reply(items, usage)
    lengths = [count_tokens(item.text or "") for item in items if isinstance(item, ChatAnswer)]
    return Reply(items, Usage(1, prompt_tokens, sum(lengths)), estimated=True)


def split_usage(usage: Usage, texts: Sequence[str]) -> list[Usage]:
    """Divide the usage of one call among its answers in proportion to their lengths."""
    if not texts:
        return []
    weights = [len(text) + 1 for text in texts]
    shares, cumulative, assigned = [], 0, 0
    for weight in weights:
        cumulative += weight
        target = usage.completion_tokens * cumulative // sum(weights)
        shares.append(Usage(0, 0, target - assigned))
        assigned = target
    shares[0] = Usage(usage.requests, usage.prompt_tokens, shares[0].completion_tokens)
    return shares


def _sendable(text: str) -> str:
    """Replace unpaired surrogates, which UTF-8 cannot encode."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _item(
    choice: Any, request: ChatRequest, served: str | None, sent: Sequence[str]
) -> ChatAnswer | Fault:
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(message, Mapping):
        return Fault("no text", transient=True)
    finish = choice.get("finish_reason")
    finish = finish if isinstance(finish, str) else None
    text = _text(message.get("content"))
    refusal = _text(message.get("refusal"))
    failure = None
    if refusal:
        text, failure = text or refusal, "refusal"
    elif finish == "content_filter":
        failure = "content filter"
    elif text is None:
        if finish == "length":  # a reasoning model that was cut off while thinking
            return Fault("no text within max_tokens")
        return Fault("no text", transient=True)
    tokens = _tokens(choice.get("logprobs")) if request.sampling.top_logprobs else None
    return ChatAnswer(
        text=text,
        failure=failure,
        served_model=served,
        finish_reason=finish,
        tokens=tokens,
        notes=tuple(_notes(request, text or "", tokens, sent)),
    )


def _notes(
    request: ChatRequest, text: str, tokens: tuple[TokenChoice, ...] | None, sent: Sequence[str]
) -> Sequence[str]:
    notes = []
    if "seed" not in sent:
        notes.append(NOTES["seed"])
    if request.sampling.schema is not None and not ("response_format" in sent and _is_json(text)):
        notes.append(NOTES["response_format"])
    if request.sampling.top_logprobs and tokens is None:
        notes.append(NOTES["logprobs"])
    return notes


def _text(content: Any) -> str | None:
    if isinstance(content, list):  # content parts, as in requests
        parts = [part.get("text") for part in content if isinstance(part, Mapping)]
        texts = [part for part in parts if isinstance(part, str)]
        return "".join(texts) if texts else None
    return content if isinstance(content, str) else None


def _served_model(content: Mapping[str, Any]) -> str | None:
    model, fingerprint = content.get("model"), content.get("system_fingerprint")
    if not isinstance(model, str):
        return None
    return f"{model} ({fingerprint})" if isinstance(fingerprint, str) and fingerprint else model


def _usage(value: Any) -> Usage | None:
    if not isinstance(value, Mapping):
        return None
    counts = [value.get(name) for name in ("prompt_tokens", "completion_tokens")]
    if not all(type(count) is int and 0 <= count <= _MAX_TOKENS for count in counts):
        return None
    return Usage(1, *counts)  # type: ignore[arg-type]


def _tokens(value: Any) -> tuple[TokenChoice, ...] | None:
    """Return the tokens of a choice, None if it has none."""
    entries = value.get("content") if isinstance(value, Mapping) else None
    if not isinstance(entries, list) or not entries:
        return None
    tokens = []
    for entry in entries:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("token"), str):
            return None
        logprob = _logprob(entry.get("logprob"))
        alternatives = _alternatives(entry.get("top_logprobs"))
        tokens.append(TokenChoice(entry["token"], _NEVER if logprob is None else logprob,
                                  tuple(alternatives)))  # fmt: skip
    return tuple(tokens)


def _alternatives(value: Any) -> Iterator[tuple[str, float]]:
    """Yield the alternatives that are tokens with a log-probability."""
    for entry in value if isinstance(value, list) else ():
        if isinstance(entry, Mapping) and isinstance(entry.get("token"), str):
            logprob = _logprob(entry.get("logprob"))
            if logprob is not None:
                yield entry["token"], logprob


def _logprob(value: Any) -> float | None:
    """Return a log-probability, at most 0; None for anything else, NaN included."""
    if type(value) not in (int, float) or value != value:
        return None
    return float(min(max(value, _NEVER), 0.0))


_MAX_TOKENS = 2**31
"""No reply has more tokens: a larger number in its usage is none."""
_NEVER = -9999.0
"""The log-probability that servers report for −∞."""


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
