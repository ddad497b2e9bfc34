"""What a part asks of a language model, and what comes back.

A part that works with a language model writes `ChatRequest`s and reads `ChatAnswer`s; a `ChatModel`
is the engine that answers them: an endpoint, or a model in this process. Between the two stand the
harness's `Answers`, which store every answer, replay it, and hold the budget: see
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
    """How an answer is drawn; part of the key under which it is stored."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    """A JSON Schema for the answer, where the engine can hold a model to it; a wish, not a promise:
    an answer that did not follow it says so in its `notes`."""
    top_logprobs: int = 0
    """How many alternatives of each token are wanted with their log-probabilities; 0 for none."""


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """One chat to be continued by one answer.

    `seed` is the run's; `draw` numbers the answers to the same messages, from 0, so that repeats at
    a temperature above 0 are answers of their own.
    """

    messages: tuple[Message, ...]
    sampling: Sampling
    seed: int = 0
    draw: int = 0

    @property
    def sampling_seed(self) -> int:
        """The seed for an engine that takes one, below 2³¹."""
        return seed_for("chat", self.seed, self.draw) % 2**31

    def to_value(self) -> dict[str, Any]:
        """Return it as JSON values: with the model's identity, the key of its answer."""
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
    """What a model said, or why it said nothing.

    `text` is None where there is no answer; `failure` then says why, in a few words that are the
    same for the same reason ("timeout", "HTTP 503", "prompt too long"). A failure is `transient` if
    asking again later may help. A refusal has both: the text of it, and the failure "refusal".
    """

    text: str | None
    failure: str | None = None
    transient: bool = False
    served_model: str | None = None
    """What the server says that it ran, with its fingerprint where it gives one."""
    finish_reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    """Tokens and requests, retries included; the cost is reckoned when the answer is used."""
    tokens: tuple[TokenChoice, ...] | None = None
    """With `top_logprobs`, the tokens of the text; None where the engine gives none."""
    notes: tuple[str, ...] = ()
    """What was not as asked for: "no structured output", "usage estimated", …"""

    @property
    def ok(self) -> bool:
        """Whether there is an answer to use."""
        return self.text is not None and self.failure is None


@dataclass(frozen=True)
class Price:
    """What tokens cost, in US dollars a million."""

    prompt: float = 0.0
    completion: float = 0.0

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return the cost in US dollars."""
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / 1e6


class Spending(Protocol):
    """The budget, as an engine sees it."""

    def reserve(self, prompt_tokens: int, completion_tokens: int) -> Any:
        """Set aside what one request may cost at most, and return a receipt for `settle`.

        Called right before each request is sent, a retry included. Raises `BudgetError` where a cap
        would be passed: the engine then sends nothing more, delivers what is still under way, and
        lets the error pass.
        """

    def settle(self, receipt: Any, prompt_tokens: int, completion_tokens: int) -> None:
        """Replace what was set aside by what was used; 0 and 0 for what never reached a model."""


Deliver: TypeAlias = Callable[[ChatRequest, ChatAnswer], None]


class ChatModel(ABC):
    """An engine that continues chats."""

    price: Price | None = Price()
    """What it charges; None where it charges and was not told how much."""

    @property
    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """JSON values that decide its answers: engine, endpoint, model, revision; never a key."""

    @abstractmethod
    def answer(self, requests: Iterator[ChatRequest], spending: Spending, deliver: Deliver) -> None:
        """Answer each request once, in any order, by calling `deliver` as soon as it is answered.

        An endpoint pulls from `requests` as it has room, so that their number does not matter; an
        engine that computes in batches takes them all at once. Answers that fail are delivered too,
        with their `failure`, and the rest goes on; only what no other request can do better (a
        wrong key, an unknown model) is raised, as `ConfigurationError`.
        """

    def count_tokens(self, messages: tuple[Message, ...]) -> int:
        """Return how many tokens a prompt has, at least nearly: for budgets and estimates."""
        # Four bytes a token are usual for English; three are on the safe side.
        return sum(
            4 + -(-len(message.content.encode("utf-8", "surrogatepass")) // 3)
            for message in messages
        )

    def close(self) -> None:  # noqa: B027 - most have nothing to let go of
        """Let go of connections and of the model."""
