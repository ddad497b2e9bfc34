"""Chat requests, chat answers, and the interface of chat models.

A part that works with a language model creates `ChatRequest`s and reads `ChatAnswer`s. A
`ChatModel` is the engine that answers them: an endpoint, or a model in this process. Between the
two are the harness's `Answers`, which store and replay answers and enforce the budget: see
`fgbench.llm.asking`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias

from fgbench.digests import seed_for
from fgbench.usage import Usage


class Message(NamedTuple):
    """One message of a chat."""

    role: str
    """system, user or assistant."""
    content: str


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Sampling parameters of an answer; part of its key."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    """A JSON Schema for the answer, if the engine can enforce one. It is not guaranteed: `notes` of
    the answer says if it was not enforced."""
    top_logprobs: int = 0
    """Number of alternative tokens to return with their log-probabilities; 0 for none."""


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """A chat to be continued by one answer.

    `seed` is the seed of the run. `draw` numbers the answers to the same messages, from 0, so that
    repeated requests at a temperature above 0 get different answers.
    """

    messages: tuple[Message, ...]
    sampling: Sampling
    seed: int = 0
    draw: int = 0

    @property
    def sampling_seed(self) -> int:
        """The seed for engines that accept one, below 2³¹."""
        return seed_for("chat", self.seed, self.draw) % 2**31

    def to_value(self) -> dict[str, Any]:
        """Return the request as JSON values; the key of the answer is computed from them."""
        return {
            "messages": [message._asdict() for message in self.messages],
            "sampling": asdict(self.sampling),
            "seed": self.seed,
            "draw": self.draw,
        }


@dataclass(frozen=True)
class TokenChoice:
    """A token of an answer, its log-probability, and those of its likeliest alternatives."""

    token: str
    logprob: float
    alternatives: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class ChatAnswer:
    """An answer of a model, or the reason why there is none.

    Without an answer, `text` is None and `failure` is the reason, in a few words that are always
    the same for the same reason ("timeout", "HTTP 503", "prompt too long"). A failure is
    `transient` if a later request may succeed. A refusal has both a text and the failure "refusal".
    """

    text: str | None
    failure: str | None = None
    transient: bool = False
    served_model: str | None = None
    """The model that the server reports, with its fingerprint if there is one."""
    finish_reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    """Tokens and requests, including retries; the cost is computed when the answer is read."""
    tokens: tuple[TokenChoice, ...] | None = None
    """With `top_logprobs`, the tokens of the text; None if the engine returns none."""
    notes: tuple[str, ...] = ()
    """Deviations from the request: "no structured output", "usage estimated", …"""

    @property
    def ok(self) -> bool:
        """Whether there is a usable answer."""
        return self.text is not None and self.failure is None


@dataclass(frozen=True)
class Price:
    """Prices in US dollars per million tokens."""

    prompt: float = 0.0
    completion: float = 0.0

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return the cost in US dollars."""
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / 1e6


class Spending(Protocol):
    """The budget that an engine must respect."""

    def reserve(self, prompt_tokens: int, completion_tokens: int) -> Any:
        """Reserve the most that one request may use, and return a receipt for `settle`.

        Call it right before each request is sent, including retries. Raises `BudgetError` if a cap
        could be exceeded: the engine must then send no further requests, deliver those in flight,
        and propagate the error.
        """

    def settle(self, receipt: Any, prompt_tokens: int, completion_tokens: int) -> None:
        """Replace a reservation by the actual usage: 0 and 0 if the request reached no model."""


Deliver: TypeAlias = Callable[[ChatRequest, ChatAnswer], None]


class ChatModel(ABC):
    """An engine that continues chats."""

    price: Price | None = Price()
    """The prices; None if the engine charges and its prices are unknown."""

    @property
    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """JSON values that determine the answers: engine, endpoint, model, revision; no API key."""

    @abstractmethod
    def answer(self, requests: Iterator[ChatRequest], spending: Spending, deliver: Deliver) -> None:
        """Answer each request once, in any order; call `deliver` as soon as an answer is complete.

        An endpoint takes requests from the iterator as it has capacity, so their number does not
        matter; an engine that computes in batches takes them all at once. A failed request is
        delivered, too, with its `failure`, and the others continue. Only errors that affect every
        request (a wrong API key, an unknown model) are raised, as `ConfigurationError`.
        """

    def count_tokens(self, messages: tuple[Message, ...]) -> int:
        """Return the number of tokens of a prompt, or an estimate, for budgets and plans."""
        # English has about four bytes per token; three are on the safe side.
        return sum(
            4 + -(-len(message.content.encode("utf-8", "surrogatepass")) // 3)
            for message in messages
        )

    def close(self) -> None:  # noqa: B027 - most models have nothing to release
        """Release connections and the model."""
