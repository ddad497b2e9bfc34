"""OpenAI's chat completions: what a server supports, and building request bodies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fgbench_plugins.language_models.chat_prompts import MERGED, merged
from fgbench_plugins.language_models.template_marks import KNOWN_MARKS, escaped

if TYPE_CHECKING:
    from fgbench import ChatRequest

NOTES = {
    "response_format": "no structured output",
    "logprobs": "no log-probabilities",
    "seed": "no seed",
    "n": "n ignored",
    "temperature": "no temperature: the model's default",
    "top_p": "no top_p: the model's default",
    "stop": "no stop: cut off afterwards",
    "system": MERGED,
}
"""The note on an answer for each request field that the server does not support."""
CUT_PROMPT = "prompt may have been cut"
"""The note on an answer whose usage has far fewer tokens than the prompt must have."""
FEWER_LOGPROBS = 5
"""How many alternatives to ask for if a server refuses more without saying how many it allows."""


@dataclass
class Dialect:
    """What a server supports, as learned from its errors; shared by all requests to it."""

    max_tokens: str = "max_tokens"
    """The name of the token limit: newer OpenAI models require `max_completion_tokens`."""
    lacks: set[str] = field(default_factory=set)
    """The keys of `NOTES` that the server rejected or ignored."""
    logprobs: int | None = None
    """Maximum number of alternatives of a token, None if no request was refused yet."""
    formats: bool = False
    """Whether a request with `response_format` has succeeded."""
    answered: bool = False
    """Whether any request has had an answer."""
    counts: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    """By the reported number of prompt tokens: the smallest and largest estimate."""

    def reject(self, name: str, *, requested: int = 0, limit: int | None = None) -> None:
        """Record that the server does not support a field.

        For log-probabilities, `requested` is how many were asked for and `limit` how many the
        server allows, if it said so.
        """
        if name == "max_tokens":
            self.max_tokens = "max_completion_tokens"
        elif name == "max_completion_tokens":
            self.max_tokens = "max_tokens"
        elif name == "logprobs" and (fewer := limit or FEWER_LOGPROBS) < requested:
            self.logprobs = fewer
        else:
            self.lacks.add(name)

    def learn(self, without: frozenset[str], sent: Sequence[str]) -> None:
        """Record that a request with the fields `sent` and without `without` succeeded."""
        self.lacks |= without
        self.formats = self.formats or "response_format" in sent
        self.answered = True

    def is_cut(self, reported: int, estimated: int) -> bool:
        """Return whether a server seems to have cut a prompt, from its number of tokens.

        The estimate is on the safe side, by a factor of two at most. Servers that cut prompts also
        report the same number, that of their context, for prompts of different lengths.
        """
        if reported < _MIN_CUT:
            return False
        seen = self.counts[reported]
        seen[:] = [min([*seen, estimated]), max([*seen, estimated])]
        if len(self.counts) > _MAX_COUNTS:
            self.counts.clear()
        is_ceiling = reported >= max(self.counts, default=0)
        return 3 * reported < estimated or (is_ceiling and seen[1] > 1.6 * seen[0])


_MIN_CUT = 500
"""Smaller numbers of prompt tokens may leave out those that the server had in its cache."""
_MAX_COUNTS = 10_000


def request_body(
    model: str,
    requests: Sequence[ChatRequest],
    dialect: Dialect,
    without: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Return the body of one call that asks for one answer per request."""
    first = requests[0]
    sampling = first.sampling
    lacks = dialect.lacks | without
    messages = merged(first.messages) if "system" in lacks else first.messages
    body: dict[str, Any] = {
        "model": model,
        "messages": [
            {"role": message.role, "content": escaped(_sendable(message.content), KNOWN_MARKS)}
            for message in messages
        ],
        dialect.max_tokens: sampling.max_tokens,
    }
    if "temperature" not in lacks:
        body["temperature"] = sampling.temperature
    if sampling.top_p != 1.0 and "top_p" not in lacks:
        body["top_p"] = sampling.top_p
    if sampling.stop and "stop" not in lacks:
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
        count = min(sampling.top_logprobs, dialect.logprobs or sampling.top_logprobs)
        body |= {"logprobs": True, "top_logprobs": count}
    return body


def token_limit(body: Mapping[str, Any]) -> int:
    """Return the maximum number of tokens of all answers that the final body of a call asks for."""
    options = body.get("options")
    places = [body, options if isinstance(options, Mapping) else {}]
    limits = [
        place[name]
        for place in places
        for name in LIMITS
        if type(place.get(name)) is int and place[name] > 0
    ]
    return max(limits) * (body.get("n") or 1)


LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens",
          "n_predict", "num_predict")  # fmt: skip
"""The names of the token limit on different servers."""


def optional_fields(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the fields of a body that can be left out, renamed or merged."""
    names = ("response_format", "logprobs", "seed", "n", "max_tokens", "max_completion_tokens",
             "stop", "top_p", "temperature")  # fmt: skip
    sent = tuple(name for name in names if name in body)
    has_system = any(message["role"] == "system" for message in body["messages"])
    return (*sent, "system") if has_system else sent


def _sendable(text: str) -> str:
    """Replace unpaired surrogates, which UTF-8 cannot encode."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
