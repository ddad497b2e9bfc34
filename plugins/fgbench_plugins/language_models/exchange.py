"""One attempt at a request to an endpoint, within the budget and in a form the server supports."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fgbench import ChatAnswer, ConfigurationError, Message, Usage
from fgbench_plugins.language_models.completions import (
    NOTES,
    Dialect,
    Reply,
    optional_fields,
    read_reply,
    request_body,
    split_usage,
)
from fgbench_plugins.language_models.dispatch import Job, Outcome
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
_OMITTED_ON_TRIAL = ("seed", "response_format", "logprobs")


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
        body = request_body(
            self.target.model,
            requests,
            self.dialect.lacks | job.without,
            self.dialect.max_tokens,
        )
        sent = optional_fields(body)
        prompt_tokens = self.count_tokens(requests[0].messages)
        maximum = Usage(1, prompt_tokens, len(requests) * requests[0].sampling.max_tokens)
        receipt = self.reserve(maximum.prompt_tokens, maximum.completion_tokens)
        used = maximum  # an attempt that may have reached the model counts in full
        try:
            client = self.clients[slot % len(self.clients)]
            result = await self._exchange(client, body | dict(self.target.extra), sent)
            if not isinstance(result, Fault):
                result = read_reply(result, requests, sent, self._count, prompt_tokens)
            if isinstance(result, Reply):
                used = result.usage
            elif not result.billed:
                used = Usage(1)
        finally:
            self.settle(receipt, used.prompt_tokens, used.completion_tokens)
        if isinstance(result, Reply):
            return self._outcome(job, result, sent)
        return self._without_answer(job, result, used, sent)

    async def _exchange(
        self, client: AsyncOpenAI, body: Mapping[str, Any], sent: tuple[str, ...]
    ) -> Any:
        """Return the JSON value of a successful response, or the fault."""
        import httpx2
        from openai import APIConnectionError, APIStatusError

        options: Any = {"headers": self.headers}
        try:
            async with asyncio.timeout(self.target.timeout):
                response = await client.post(
                    "/chat/completions", cast_to=httpx2.Response, body=body, options=options
                )
        except (APIConnectionError, OSError) as error:  # a timeout is an OSError
            return connection_fault(error)
        except APIStatusError as error:
            return self._status_fault(error.response, sent)
        try:
            content = json.loads(response.content)
            if isinstance(content, dict) and content.get("error") and "choices" not in content:
                return self._fault(response, content, sent)  # some gateways send errors like this
        except (ValueError, RecursionError):
            return Fault("invalid JSON", transient=True, billed=True)
        return content

    def _status_fault(self, response: httpx2.Response, sent: tuple[str, ...]) -> Fault:
        """Return the fault of a response with an error status."""
        try:
            return self._fault(response, json.loads(response.content), sent)
        except (ValueError, RecursionError):
            return self._fault(response, response.text, sent)

    def _fault(self, response: httpx2.Response, body: Any, sent: tuple[str, ...]) -> Fault:
        status = response.status_code
        if status == 200:
            error = body["error"]
            code = error.get("code") if isinstance(error, dict) else None
            status = code if type(code) is int and 400 <= code < 600 else 500
        body = self.secret.redacted_value(body)
        return status_fault(status, response.headers, body, sent, self.target.model)

    def _outcome(self, job: Job, reply: Reply, sent: tuple[str, ...]) -> Outcome:
        """Pair the choices of a successful response with the requests."""
        self.dialect.learn(job.without, sent)
        notes = ("usage estimated",) if reply.estimated else ()
        pairs = list(zip(job.requests, reply.items, strict=False))
        answered = [(request, item) for request, item in pairs if isinstance(item, ChatAnswer)]
        failed = [(request, item) for request, item in pairs if isinstance(item, Fault)]
        missing = job.requests[len(pairs) :]
        rest = (*(request for request, _ in failed), *missing)
        if missing:
            self.dialect.reject("n")
            notes += (NOTES["n"],)
        fault = failed[0][1] if failed else None
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
        self, job: Job, fault: Fault, used: Usage, sent: tuple[str, ...]
    ) -> Outcome:
        """Return how to continue after a fault; raise if it would stop all other requests too."""
        target = self.target
        if fault.stop is not None:
            sentence = stop_sentence(
                fault,
                target.endpoint,
                target.model,
                target.key_variable,
            )
            raise ConfigurationError(sentence)
        if fault.rejected == "response_format" and target.needs_format:
            raise ConfigurationError(
                f"The server at {target.endpoint} does not support structured output "
                f"({fault.message}): set structured=auto."
            )
        if fault.rejected is not None:
            self.dialect.reject(fault.rejected)
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
