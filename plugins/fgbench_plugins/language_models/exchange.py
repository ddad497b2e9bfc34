"""One attempt at a request to an endpoint, within the budget and in a form the server supports."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fgbench import ChatAnswer, ConfigurationError, Message, Usage
from fgbench_plugins.language_models.client_environment import proxy_of
from fgbench_plugins.language_models.completion_replies import Reply, read_reply, split_usage
from fgbench_plugins.language_models.completions import (
    CUT_PROMPT,
    NOTES,
    Dialect,
    optional_fields,
    request_body,
    token_limit,
)
from fgbench_plugins.language_models.dispatch import Job, Outcome
from fgbench_plugins.language_models.error_table import ErrorClass
from fgbench_plugins.language_models.faults import (
    Fault,
    connection_fault,
    status_fault,
    stop_sentence,
)

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncOpenAI

    from fgbench_plugins.language_models.api_key import Secret

_MAX_REFITS = 8
_OMITTED_ON_TRIAL = ("seed", "response_format", "logprobs", "stop", "top_p")


@dataclass(frozen=True)
class Protocol:
    """How a chat completion is put on the wire: by default as it is."""

    path: str = "/chat/completions"
    request: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict
    """Converts the body of a request."""
    completion: Callable[[Any], Any] = lambda content: content
    """Converts the content of a reply."""
    headers: Callable[[str], Mapping[str, str]] = lambda key: {}
    """Returns headers for a key, "" for none."""
    has_bearer: bool = True
    """Whether the key is sent as `Authorization: Bearer`."""


@dataclass(frozen=True)
class Target:
    """The endpoint and how to call it; the same for all attempts."""

    endpoint: str
    model: str
    key_variable: str | None
    timeout: float
    extra: Mapping[str, Any]
    needs_format: bool
    """Whether the server must support structured output."""
    protocol: Protocol = Protocol()


@dataclass(frozen=True)
class Exchange:
    """Makes attempts at jobs; `reserve` and `settle` are those of the budget."""

    target: Target
    dialect: Dialect
    clients: Sequence[AsyncOpenAI]
    headers: Mapping[str, Any]
    """Headers of each request, in addition to those of the client."""
    secret: Secret
    count_tokens: Callable[[tuple[Message, ...]], int]
    reserve: Callable[[int, int], Any]
    settle: Callable[[Any, int, int], None]

    async def attempt(self, job: Job, slot: int) -> Outcome:
        """Send a job once and return the outcome.

        Raises `BudgetError` before anything is sent, and `ConfigurationError` after an error that
        all other requests would get too.
        """
        requests = job.requests
        if len(requests) > 1 and "n" in self.dialect.lacks:  # learned after they were grouped
            return Outcome(rest=requests, refit=True, singly=True)
        body = request_body(self.target.model, requests, self.dialect, job.without)
        sent = optional_fields(body)
        logprobs = int(body.get("top_logprobs", 0))
        body |= self.target.extra
        prompt_tokens = self.count_tokens(requests[0].messages)
        maximum = Usage(1, prompt_tokens, token_limit(body))
        receipt = self.reserve(maximum.prompt_tokens, maximum.completion_tokens)
        used = maximum  # an attempt that may have reached the model counts in full
        try:
            client = self.clients[slot % len(self.clients)]
            result = await self._exchange(client, body, sent)
            if not isinstance(result, Fault):
                content = result
                result = read_reply(
                    content, requests, sent, self._count, prompt_tokens,
                    lambda error: self._inner_fault(error, sent),
                )  # fmt: skip
            if isinstance(result, Reply):
                used = result.usage
            elif not result.billed:
                used = Usage(1)
        finally:
            self.settle(receipt, used.prompt_tokens, used.completion_tokens)
        if isinstance(result, Reply):
            return self._outcome(job, result, sent, prompt_tokens, logprobs)
        return self._without_answer(job, result, used, sent, logprobs)

    async def _exchange(
        self, client: AsyncOpenAI, body: Mapping[str, Any], sent: tuple[str, ...]
    ) -> Any:
        """Return the JSON value of a successful response, or the fault."""
        import httpx2
        from openai import APIConnectionError, APIStatusError

        protocol = self.target.protocol
        options: Any = {"headers": self.headers}
        try:
            async with asyncio.timeout(self.target.timeout):
                response = await client.post(
                    protocol.path,
                    cast_to=httpx2.Response,
                    body=protocol.request(body),
                    options=options,
                )
        except (APIConnectionError, OSError) as error:  # a timeout is an OSError
            return connection_fault(error)
        except APIStatusError as error:
            return self._status_fault(error.response, sent)
        try:
            return protocol.completion(json.loads(response.content))
        except (ValueError, RecursionError):
            return Fault("invalid JSON", transient=True, billed=True)

    def _status_fault(self, response: httpx2.Response, sent: tuple[str, ...]) -> Fault:
        """Return the fault of a response with an error status."""
        try:
            body = json.loads(response.content)
        except (ValueError, RecursionError):
            body = response.text
        return self._fault(response.status_code, response.headers, body, sent)

    def _inner_fault(self, error: Any, sent: tuple[str, ...]) -> Fault:
        """Return the fault of an error inside of a successful response."""
        code = error.get("code") if isinstance(error, dict) else None
        status = code if type(code) is int and 400 <= code < 600 else 500
        return self._fault(status, {}, {"error": error}, sent)

    def _fault(
        self, status: int, headers: Mapping[str, str], body: Any, sent: tuple[str, ...]
    ) -> Fault:
        try:
            body = self.secret.redacted_value(body)
        except RecursionError:  # no server nests its message that deeply
            body = None
        fault = status_fault(status, headers, body, sent, self.target.model)
        if status in (403, 407) and fault.meaning is ErrorClass.TRANSPORT:
            is_proxy = proxy_of(self.target.endpoint) and not self.dialect.answered
            return replace(fault, stop="proxy") if is_proxy else fault
        if fault.stop is not None and not fault.is_sure and self.dialect.answered:
            reason = f"HTTP {status}: {fault.message}" if fault.message else fault.reason
            return replace(fault, stop=None, reason=reason, meaning=ErrorClass.REQUEST)
        return fault

    def _outcome(
        self,
        job: Job,
        reply: Reply,
        sent: tuple[str, ...],
        prompt_tokens: int,
        logprobs: int,
    ) -> Outcome:
        """Pair the choices of a successful response with the requests."""
        notes = ("usage estimated",) if reply.estimated else ()
        if not reply.estimated and self.dialect.is_cut(reply.usage.prompt_tokens, prompt_tokens):
            notes += (CUT_PROMPT,)
        if "logprobs" in sent and logprobs < job.requests[0].sampling.top_logprobs:
            notes += (f"{logprobs} log-probabilities",)
        pairs = list(zip(job.requests, reply.items, strict=False))
        answered = [(request, item) for request, item in pairs if isinstance(item, ChatAnswer)]
        failed = [(request, item) for request, item in pairs if isinstance(item, Fault)]
        if any(item.ok for _, item in answered):
            self.dialect.learn(job.without, sent)
        missing = job.requests[len(pairs) :]
        rest = (*(request for request, _ in failed), *missing)
        if missing:
            self.dialect.reject("n")
            notes += (NOTES["n"],)
        fault = failed[0][1] if failed else None
        if fault is not None and (fault.stop is not None or fault.rejected is not None):
            if answered:  # the answers beside it show that neither holds for all requests
                fault = replace(fault, stop=None, rejected=None, transient=True)
            else:
                return self._without_answer(job, fault, reply.usage, sent, logprobs)
        shares = split_usage(reply.usage, [item.text or "" for _, item in answered])
        return Outcome(
            answers=[
                (request, replace(item, usage=share, notes=item.notes + notes))
                for (request, item), share in zip(answered, shares, strict=True)
            ],
            rest=rest,
            fault=fault,
            spent=Usage() if answered else reply.usage,
            notes=() if answered else notes,
            refit=fault is None,
            singly=bool(missing),
        )

    def _without_answer(
        self, job: Job, fault: Fault, used: Usage, sent: tuple[str, ...], logprobs: int
    ) -> Outcome:
        """Return how to continue after a fault; raise if it would stop all other requests too."""
        target = self.target
        if fault.stop is not None:
            sentence = stop_sentence(
                fault,
                target.endpoint,
                target.model,
                target.key_variable,
                target.protocol.path,
            )
            raise ConfigurationError(sentence)
        if fault.rejected == "response_format" and target.needs_format:
            raise ConfigurationError(
                f"The server at {target.endpoint} does not support structured output "
                f"({fault.message}): set structured=auto."
            )
        if fault.rejected is not None:
            self.dialect.reject(fault.rejected, requested=logprobs, limit=fault.limit)
        trial = self._trial(job, fault, sent)
        return Outcome(
            rest=job.requests,
            fault=fault,
            spent=used,
            notes=("usage estimated",) if fault.billed else (),
            refit=(fault.rejected or trial) is not None and job.refits < _MAX_REFITS,
            without=frozenset([trial] if trial else ()),
            singly=fault.rejected == "n",
        )

    def _trial(self, job: Job, fault: Fault, sent: tuple[str, ...]) -> str | None:
        """Return a field that the server may have rejected without saying so."""
        if fault.rejected is not None:
            return None
        if fault.status == 422:
            return next((name for name in _OMITTED_ON_TRIAL if name in sent), None)
        if fault.status == 500 and "response_format" in sent and not self.dialect.formats:
            return "response_format" if job.failures and not self.target.needs_format else None
        return None

    def _count(self, text: str) -> int:
        return self.count_tokens((Message("assistant", text),))
