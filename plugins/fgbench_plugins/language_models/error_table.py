"""Classes of errors that endpoints report, by status, code, type and the whole message.

Servers that implement OpenAI's protocol agree on status codes, more or less, and on nothing else.
`RULES` is the only place that interprets their words; the first rule that matches decides. A rule
looks for phrases, never for a single common word. `tests/stored/server_errors.jsonl` holds what
real servers say.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fgbench_plugins.language_models.server_error import ServerError


class ErrorClass(StrEnum):
    """What an error means for the request and for all others."""

    KEY = "key"
    """The key is missing or refused: stop."""
    MODEL = "model"
    """The server does not have the model: stop."""
    CREDIT = "credit"
    """The account has no credit, or a limit that does not pass soon: stop."""
    RATE_LIMIT = "rate limit"
    """Too many requests: wait as long as the server says, and retry."""
    TOO_LONG = "prompt too long"
    """This request is too large: reject it."""
    CONTENT_FILTER = "content filter"
    """This request is refused by a filter: reject it."""
    OVERLOADED = "overloaded"
    """The server cannot answer at the moment: retry."""
    TRANSPORT = "transport"
    """A gateway or the connection failed: retry."""
    BROKEN = "broken answer"
    """The answer cannot be used: retry."""
    FIELD = "unsupported field"
    """The server does not support a field of the request: send it without."""
    PARAMETER = "parameter"
    """The model does not accept the value of a parameter: stop."""
    MEMORY = "memory"
    """The server cannot load the model: stop."""
    ADDRESS = "address"
    """There is no chat completion at this URL: stop."""
    REQUEST = "request"
    """This request is refused for another reason: reject it."""


@dataclass(frozen=True)
class Rule:
    """A row of the table. All conditions that are set must hold; `codes` or `text` suffices."""

    meaning: ErrorClass
    statuses: frozenset[int] | None = None
    codes: re.Pattern[str] | None = None
    text: re.Pattern[str] | None = None
    unless: re.Pattern[str] | None = None
    """Words that keep the rule from applying."""
    wait_above: float | None = None
    """Applies only if the server names no wait, or one of more seconds."""
    named_wait_above: float | None = None
    """Applies only if the server names a wait of more seconds."""

    def matches(self, error: ServerError) -> bool:
        """Return whether the rule applies to an error."""
        if self.statuses is not None and error.status not in self.statuses:
            return False
        if self.unless is not None and self.unless.search(error.text):
            return False
        if self.wait_above is not None and (error.wait or float("inf")) <= self.wait_above:
            return False
        if self.named_wait_above is not None and (error.wait or 0.0) <= self.named_wait_above:
            return False
        if self.codes is None and self.text is None:
            return True
        by_code = self.codes is not None and self.codes.search(error.codes) is not None
        return by_code or (self.text is not None and self.text.search(error.text) is not None)


def _words(*phrases: str) -> re.Pattern[str]:
    return re.compile("|".join(phrases), re.IGNORECASE | re.DOTALL)


_CLIENT = frozenset(range(400, 500))
_GATEWAY = frozenset({408, 409, 425, 460, 499, 502, 504, *range(520, 529), 530, 598, 599})
_LIMIT_WORDS = (r"rate.?limit", r"per[- ](?:second|min|minute|hour|day)\b", r"\bquota\b",
                r"(?:retry|try again) (?:in|after|later)", r"peak load")  # fmt: skip
_FIELD_WORDS = (r"response_?format", r"json_?schema", r"\bparameters?\b",
                r"context (?:length|size)",
                r"not supported (?:by|with|on) this model")  # fmt: skip
LONGEST_WAIT = 120.0
"""Maximum wait in seconds for which a limit that is counted by the day is not used up."""

RULES: tuple[Rule, ...] = (
    Rule(ErrorClass.MEMORY, text=_words(r"requires more system memory")),
    Rule(
        ErrorClass.TOO_LONG,
        text=_words(
            r"request too large for", r"tokens must be reduced", r"reduce your message size"
        ),
    ),
    Rule(
        ErrorClass.PARAMETER,
        statuses=_CLIENT,
        text=_words(
            r"max_(?:completion_|new_)?tokens\b.{0,40}"
            r"(?:too large|cannot be greater|must be less|at most)",
            r"maximum tokens you requested exceeds",
        ),
        unless=_words(r"input|prompt|context|messag"),
    ),
    Rule(ErrorClass.TOO_LONG, statuses=frozenset({413})),
    Rule(
        ErrorClass.TOO_LONG,
        codes=_words(
            r"context_length_exceeded",
            r"exceed_context_size",
            r"request_too_large",
            r"string_above_max_length",
            r"model_max_prompt_tokens_exceeded",
        ),
        text=_words(
            r"context.{0,10}(?:length|window|size)",
            r"maximum model len",
            r"max_model_len",
            r"prompt is too long",
            r"when context overflows",
            r"(?:prompt|inputs?|request|messages|token count)\b.{0,60}"
            r"(?:too long|too large|exceed|longer than|must have less)",
            r"reduce the length of the (?:messages|prompt)",
            r"max_new_tokens.{0,20}must be",
        ),
        unless=_words(*_LIMIT_WORDS, r"\bcredits?\b", r"\bbalance\b"),
    ),
    Rule(
        ErrorClass.CONTENT_FILTER,
        codes=_words(
            r"content_?filter",
            r"content_policy",
            r"ResponsibleAIPolicy",
            r"data_?inspection",
            r"prohibited_content",
            r"moderation",
            r"sensitive_words",
            r"cyber_policy",
            r"safety_(?:check|violation|block)",
            r"\bSAFETY\b",
        ),
        text=_words(
            r"content management policy",
            r"content[ _-]?filter",
            r"content[ _-](?:policy|moderation)",
            r"(?:was|were|been|is|input) flagged",
            r"flagged (?:for|as|by)",
            r"usage polic(?:y|ies)",
            r"safety (?:system|polic(?:y|ies)|guidelines|filter)",
            r"inappropriate content",
            r"requires moderation",
            r"(?:blocked|rejected) by (?:\w+ ){0,3}(?:moderation|guardrail|safety)",
            r"prohibited content",
            r"data_?inspection_?failed",
            r"敏感|不安全内容",
        ),
        unless=_words(r"(?:data|privacy) policy", r"account (?:was|is|has been) "),
    ),
    Rule(ErrorClass.CREDIT, statuses=frozenset({402})),
    Rule(
        ErrorClass.CREDIT,
        codes=_words(
            r"insufficient_(?:user_)?quota",
            r"insufficient_(?:balance|credits?|funds)",
            r"billing_(?:hard_limit_reached|not_active|error)",
            r"exceeded_current_quota_error",
            r"Arrearage",
            r"quota_exhausted",
            r"payment_required",
            r"PerDay",
        ),
        text=_words(
            r"credit balance is too low",
            r"insufficient (?:account |paid )?(?:balance|credits?|funds)",
            r"balance is insufficient",
            r"no credits? (?:left|remaining)",
            r"out of credits",
            r"requires more credits",
            r"exceeded your monthly (?:included )?credits",
            r"billing hard limit",
            r"余额不足|欠费",
            r"\blimit:?\s*0(?![.,]?\d)",
            r"PerDay",
        ),
    ),
    Rule(
        ErrorClass.CREDIT,
        statuses=frozenset({403, 429}),
        text=_words(r"per day\b", r"daily (?:limit|quota)", r"\b[RT]PD\b"),
        wait_above=LONGEST_WAIT,
    ),
    Rule(ErrorClass.CREDIT, statuses=frozenset({429}), named_wait_above=3600.0),
    Rule(
        ErrorClass.FIELD,
        text=_words(
            r"system (?:role|messages?|instructions?|prompts?) (?:is |are )?"
            r"not (?:supported|allowed|enabled)",
            r"(?:developer|system) instruction is not enabled",
            r"does(?:n't| not) support (?:the |a )?(?:system|developer)\b",
            r"roles must alternate",
            r"only user(?:,| and) (?:assistant|model)(?: and \w+)? roles",
        ),
        statuses=_CLIENT | {500, 501},
    ),
    Rule(
        ErrorClass.OVERLOADED,
        codes=_words(r"overloaded", r"\bUNAVAILABLE\b", r"capacity_exceeded"),
        text=_words(
            r"(?:is|are) (?:currently |temporarily )?overloaded",
            r"^overloaded\b",
            r"capacity exceeded",
            r"experiencing high demand",
            r"server (?:is )?(?:too )?busy",
            r"model (?:is )?too busy",
            r"(?:is )?currently loading",
            r"^loading model",
        ),
    ),
    Rule(
        ErrorClass.RATE_LIMIT,
        codes=_words(
            r"rate_?limit",
            r"RESOURCE_EXHAUSTED",
            r"too_many_requests",
            r"throttl",
            r"request_quota_exceeded",
        ),
        text=_words(r"rate limit (?:is |was )?(?:reached|exceeded)", r"being rate.?limited"),
    ),
    Rule(ErrorClass.RATE_LIMIT, statuses=frozenset({429})),
    Rule(
        ErrorClass.KEY,
        statuses=_CLIENT,
        codes=_words(
            r"invalid_?api_?key",
            r"API_KEY_INVALID",
            r"authentication_error",
            r"invalid_authentication",
            r"\bUNAUTHENTICATED\b",
            r"wrong_api_key",
        ),
        text=_words(
            r"\b(?:api|access|subscription)[- _]?(?:key|token)s?\b[^.]{0,40}"
            r"(?:not valid|invalid|incorrect|expired|missing|required|revoked|not provided)",
            r"\b(?:invalid|incorrect|missing|wrong|expired|no)\b[^.]{0,20}"
            r"(?:api[- _]?key|access token|auth(?:entication)? credentials|subscription key)",
            r"authentication (?:failed|fails|required|error)",
        ),
    ),
    Rule(ErrorClass.KEY, statuses=frozenset({401})),
    Rule(
        ErrorClass.MODEL,
        statuses=_CLIENT,
        codes=_words(
            r"model_?not_?found",
            r"invalid_?model",
            r"DeploymentNotFound",
            r"InvalidEndpointOrModel",
        ),
        text=_words(
            r"not a valid model",
            r"\bmodels?\b[^.]{0,80}(?:does not exist|not exist\b|not found)",
            r"\bmodel\b[^.]{0,80}(?:decommissioned|been deprecated|no longer available)",
            r"(?:invalid|unknown|no such) model\b",
            r"no models? (?:is |are )?loaded",
            r"no endpoints found",
            r"deployment for this resource does not exist",
            r"model is unloaded",
        ),
        unless=_words(*_FIELD_WORDS),
    ),
    Rule(
        ErrorClass.MODEL,
        statuses=frozenset({404}),
        text=_words(r"\bmodel\b"),
    ),
    Rule(ErrorClass.ADDRESS, statuses=frozenset({404, 405, *range(300, 400)})),
    Rule(ErrorClass.TRANSPORT, statuses=_GATEWAY),
)
"""The table. What no rule matches is decided by its status: see `classify`."""

_FIELD_STATUSES = (_CLIENT - {401, 402, 403}) | {500, 501}
_NOT_TAKEN = _words(
    r"not (?:supported|permitted|allowed|implemented|available|enabled)", r"unsupported",
    r"does(?:n't| not)", r"unexpected", r"unknown", r"unrecognized", r"extra", r"forbidden",
    r"invalid", r"instead", r"must be", r"only", r"refus", r"cannot", r"maximum of",
    r"greater than", r"less than or equal", r"at most", r"deprecated",
)  # fmt: skip
_UNKNOWN_NAME = _words(
    r"not (?:supported|permitted|allowed)", r"unsupported", r"unexpected", r"unknown",
    r"unrecognized", r"extra", r"instead",
)  # fmt: skip
_NAMES = {
    "response_format": _words(
        r"response_?format", r"json_?\s?schema", r"structured.?output", r"guided", r"grammar"
    ),
    "logprobs": _words(r"logprob"),
    "seed": _words(r"\bseed\b"),
    "n": re.compile(
        r"['\"`]n['\"`]|\bn (must|should|is)\b|\bn ?> ?1\b|multiple (choices|completions)"
    ),
    "max_tokens": re.compile(r"['\"`]?\bmax_tokens\b"),
    "max_completion_tokens": re.compile(r"max_completion_tokens"),
    "stop": re.compile(
        r"['\"`]stop['\"`]|\bparameters?:? stop\b|: stop\b|\bstop (?:parameter|sequences?)\b"
        r"|len\(stop\)"
    ),
    "top_p": re.compile(r"\btop_p\b"),
    "temperature": re.compile(r"\btemperature\b"),
}
"""How messages name the fields that can be left out or renamed, in the order of their search."""


def classify(error: ServerError) -> ErrorClass:
    """Return the class of an error; `rejected_field` finds unsupported fields besides."""
    if error.is_page and error.status in (403, 407):
        return ErrorClass.TRANSPORT
    rule = next((rule for rule in RULES if rule.matches(error)), None)
    if rule is not None:
        return rule.meaning
    if error.status == 403:
        return ErrorClass.KEY
    if error.status >= 500:
        return ErrorClass.TRANSPORT if error.is_page else ErrorClass.OVERLOADED
    return ErrorClass.REQUEST


def rejected_field(error: ServerError, sent: Collection[str]) -> str | None:
    """Return the field among `sent` that an error rejects, if any; "system" for that role."""
    meaning = classify(error)
    if meaning is ErrorClass.FIELD:
        return "system" if "system" in sent else None
    if error.status not in _FIELD_STATUSES or meaning not in (
        ErrorClass.REQUEST, ErrorClass.OVERLOADED
    ):  # fmt: skip
        return None
    description = f"{error.codes} {error.text}"
    names = [name for name in _NAMES if name in sent]
    for name in names:
        words = _UNKNOWN_NAME if name.startswith("max") else _NOT_TAKEN
        named = error.param == name or (name == "logprobs" and error.param == "top_logprobs")
        if named and (words is _NOT_TAKEN or words.search(description)):
            return name
    for name in names:
        words = _UNKNOWN_NAME if name.startswith("max") else _NOT_TAKEN
        if _NAMES[name].search(description) and words.search(description):
            return name
    return None


def names_key(error: ServerError) -> bool:
    """Return whether the words of an error, rather than only its status, are about the key."""
    return any(
        rule.meaning is ErrorClass.KEY and rule.text is not None and rule.matches(error)
        for rule in RULES
    )
