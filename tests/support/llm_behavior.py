"""How the OpenAI-compatible test server behaves: its settings, and the faults that it can have."""

from dataclasses import dataclass, field

RETRIED_FAULTS = (
    "429", "429-after", "408", "409", "500", "502", "503", "503-after", "504",
    "hang", "stall", "reset", "close", "truncated", "bad-json", "html", "empty-choices",
    "null-content", "quota-words", "choice-error", "inner-error", "finish-error", "403-html",
    "529", "524-html",
)  # fmt: skip
"""Faults after which a client should retry the request."""
HARMLESS_FAULTS = ("slow", "no-usage", "duplicate-id", "fewer-choices", "thoughts", "harmony")
"""Faults that come with an answer."""
FINAL_FAULTS = (
    "too-long", "content-filter", "filtered", "refusal", "400", "403-filter", "429-too-large",
    "500-context", "safety", "only-reasoning", "cut-thoughts",
)  # fmt: skip
"""Faults that a retry would meet again."""


@dataclass
class Behavior:
    """How the server answers; every field can be given to `LlmServer` as a keyword."""

    latency: float = 0.0
    """Seconds from a request to its answer."""
    script: list = field(default_factory=list)
    """Faults of the next chat requests, in order of arrival; None for a good answer."""
    always: str | None = None
    """The fault of every request after those of `script`."""
    rates: dict = field(default_factory=dict)
    """Fault → share of the requests that meet it, decided by the hash of request and attempt."""
    faulty_attempts: int = 1
    """With `rates`, only the first so many attempts at a request can fail."""
    retry_after: float = 0.2
    """Seconds, for the faults that end in -after; whole seconds for 429-date."""
    stall: float = 30.0
    """Seconds that `hang` and `stall` wait."""
    slow: float = 0.5
    """Seconds that `slow` adds."""
    ignore_n: bool = False
    refuse_n: bool = False
    ignore_logprobs: bool = False
    ignore_format: bool = False
    refuse_format: str = ""
    """400, 422 or 500: the status with which `response_format` is refused; "mute" for a 500 that
    does not say why."""
    refuse: tuple = ()
    """Fields of a request that are refused by name, as OpenAI does (400)."""
    unknown: tuple = ()
    """Fields of a request that are refused as unknown (422)."""
    api_key: str | None = None
    """The required key; None if the server requires none."""
    echo_key: bool = False
    """Whether the Authorization header is repeated in error messages, headers and answers."""
    models: tuple = ("tiny",)
    context: int = 0
    """Characters that a prompt may have; 0 for any number."""
    no_system: str = ""
    """The message with which a system message is refused (400)."""
    most_logprobs: int = 0
    """The most alternatives of a token that can be requested; 0 for any number."""
    cut: int = 0
    """The number of prompt tokens that is reported at most, as by a server that cuts prompts."""
    served: tuple = ()
    """The models that answer in turn, with the number of answers of each: ("model-b", 40)."""
    replies: tuple = ()
    """The texts of all answers, in order of arrival; then as usual."""
    keep_requests: bool = True
    """Whether `stats` holds the bodies of requests."""
