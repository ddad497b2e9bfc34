"""OpenAI's chat completions: reading response bodies."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fgbench import ChatAnswer, ChatRequest, TokenChoice, Usage
from fgbench_plugins.language_models.chat_prompts import MERGED
from fgbench_plugins.language_models.completions import NOTES
from fgbench_plugins.language_models.faults import ONLY_REASONING, ONLY_THOUGHTS, Fault
from fgbench_plugins.language_models.thoughts import answer_start, without_thoughts


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
    fault_of: Callable[[Any], Fault],
) -> Reply | Fault:
    """Return the content of a response body, or the fault if it is not a chat completion.

    `sent` names the optional fields of the request; `prompt_tokens` is the estimate to use if the
    server reports no usage. `fault_of` returns the fault of an error object: some gateways send
    errors inside of a successful response, in the body or in a choice.
    """
    if isinstance(content, Mapping) and content.get("error"):
        return fault_of(content["error"])
    if not isinstance(content, Mapping) or not isinstance(content.get("choices"), list):
        return Fault("no chat completion", transient=True, billed=True)
    choices = content["choices"][: len(requests)]
    if not choices:
        return Fault("no choices", transient=True, billed=True)
    served = _served_model(content)
    items = tuple(
        _item(choice, request, served, sent, fault_of)
        for choice, request in zip(choices, requests, strict=False)
    )
    usage = usage_of(content.get("usage"))
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


def _item(
    choice: Any,
    request: ChatRequest,
    served: str | None,
    sent: Sequence[str],
    fault_of: Callable[[Any], Fault],
) -> ChatAnswer | Fault:
    if isinstance(choice, Mapping) and choice.get("error"):
        return replace(fault_of(choice["error"]), billed=True)
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(message, Mapping):
        return Fault("no text", transient=True)
    finish = choice.get("finish_reason")
    finish = finish if isinstance(finish, str) else None
    ending = _ending(finish)
    text = _text(message.get("content"))
    refusal = _text(message.get("refusal"))
    failure = None
    if refusal:
        text, failure = text or refusal, "refusal"
    elif ending == "filter":
        failure = "content filter"
    elif ending is None:
        return Fault(f"finish reason {_shown(finish)}", transient=True, billed=True)
    elif text is None or (not text.strip() and (ending == "length" or _reasoning(message))):
        if ending == "length":  # a reasoning model that was cut off while thinking
            return Fault(ONLY_THOUGHTS, systematic=True)
        if _reasoning(message):  # the same request would get the same
            return Fault(ONLY_REASONING, systematic=True)
        return Fault("no text", transient=True)
    elif ending == "length" and not without_thoughts(text).strip():
        failure = ONLY_THOUGHTS
    if text is not None and request.sampling.stop and "stop" not in sent:
        text = _before_stop(text, request.sampling.stop)
    tokens = _tokens(choice.get("logprobs")) if request.sampling.top_logprobs else None
    return ChatAnswer(
        text=text,
        failure=failure,
        served_model=served,
        finish_reason="length" if ending == "length" else finish,
        tokens=tokens,
        notes=tuple(_notes(request, text or "", tokens, sent)),
    )


def _ending(finish: str | None) -> str | None:
    """Return how a choice ended: "stop", "length" or "filter"; None if it is no whole answer."""
    name = (finish or "stop").lower()
    if name in _COMPLETE:
        return "stop"
    if name in ("length", "max_tokens", "max_output_tokens", "model_length"):
        return "length"
    return "filter" if name.startswith(_FILTERS) else None


_COMPLETE = frozenset(
    {"stop", "eos", "eos_token", "end", "end_turn", "stop_sequence", "stop_sequences", "complete",
     "completed", "tool_calls", "tool_use", "function_call", "finish_reason_unspecified"}
)  # fmt: skip
_FILTERS = ("content_filter", "content filter", "safety", "sensitive", "prohibited_content",
            "recitation", "blocklist", "spii", "moderation", "guardrail")  # fmt: skip


def _shown(finish: str | None) -> str:
    """Return a finish reason for a message, if it looks like one."""
    return finish if finish and re.fullmatch(r"[A-Za-z_ ]{1,30}", finish) else "unknown"


def _reasoning(message: Mapping[str, Any]) -> bool:
    """Return whether a message has thoughts in a field of their own."""
    return any(message.get(name) for name in _REASONING)


_REASONING = ("reasoning_content", "reasoning", "reasoning_details", "thinking", "thoughts")


def _before_stop(text: str, stops: Sequence[str]) -> str:
    """Return a text up to the first stop string in its answer."""
    start = answer_start(text) or 0
    positions = [text.find(stop, start) for stop in stops if stop]
    return text[: min([at for at in positions if at >= 0], default=len(text))]


def _notes(
    request: ChatRequest, text: str, tokens: tuple[TokenChoice, ...] | None, sent: Sequence[str]
) -> Iterator[str]:
    sampling = request.sampling
    if "seed" not in sent:
        yield NOTES["seed"]
    if "temperature" not in sent:
        yield NOTES["temperature"]
    if sampling.top_p != 1.0 and "top_p" not in sent:
        yield NOTES["top_p"]
    if sampling.stop and "stop" not in sent:
        yield NOTES["stop"]
    if "system" not in sent and any(message.role == "system" for message in request.messages):
        yield MERGED
    if sampling.schema is not None and not ("response_format" in sent and _is_json(text)):
        yield NOTES["response_format"]
    if sampling.top_logprobs and tokens is None:
        yield NOTES["logprobs"]


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


def usage_of(value: Any) -> Usage | None:
    """Return the reported usage; tokens of thoughts count as tokens of the answer."""
    if not isinstance(value, Mapping):
        return None
    counts = [value.get(name) for name in ("prompt_tokens", "completion_tokens")]
    if not all(type(count) is int and 0 <= count <= _MAX_TOKENS for count in counts):
        return None
    prompt, completion = counts
    total = value.get("total_tokens")  # some servers count thoughts only here
    if type(total) is int and prompt + completion < total <= _MAX_TOKENS:
        completion = total - prompt
    return Usage(1, prompt, completion)


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
