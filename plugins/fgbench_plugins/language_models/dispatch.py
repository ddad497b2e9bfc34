"""Concurrent requests to an endpoint: slots, retries and stopping.

A fixed number of workers take jobs: first those whose wait for another attempt is over, then new
ones, pulled from the iterator one by one. A waiting job occupies no slot. While the network is
idle, a bookkeeping task pulls a few jobs in advance and delivers completed ones, so that no slot
stays empty in the meantime.
"""

from __future__ import annotations

import asyncio
import heapq
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from fgbench import (
    BudgetError,
    ChatAnswer,
    ChatRequest,
    ConfigurationError,
    FgbenchError,
    Usage,
    seed_for,
)
from fgbench_plugins.language_models.faults import ONLY_REASONING, ONLY_THOUGHTS, Fault

MAX_WAIT = 120.0
"""Upper limit for a Retry-After, in seconds."""
MAX_BACKOFF = 60.0
"""Upper limit for the wait in seconds if the server sends no Retry-After."""
_PREFETCHED = 8
_FEW = 5
"""Requests after which a failure that does not depend on the prompt ends the run."""
_GRACE_SECONDS = 10.0
"""Time for requests in flight to finish after an error, such as a wrong key, stops the run."""


@dataclass
class Job:
    """Requests that are sent in one call; they differ only in their draw."""

    requests: tuple[ChatRequest, ...]
    number: int
    failures: int = 0
    refits: int = 0
    """How often it was sent again because the server had rejected a field of the request."""
    spent: Usage = field(default_factory=Usage)
    """The usage of its failed attempts, which is added to the usage of its first answer."""
    notes: tuple[str, ...] = ()
    without: frozenset[str] = frozenset()
    """Fields that are omitted on trial because the server may have rejected them silently."""


@dataclass
class Outcome:
    """The result of one attempt: answers, and the requests that have none yet."""

    answers: Sequence[tuple[ChatRequest, ChatAnswer]] = ()
    rest: tuple[ChatRequest, ...] = ()
    fault: Fault | None = None
    """Why the rest has no answers."""
    spent: Usage = field(default_factory=Usage)
    notes: tuple[str, ...] = ()
    refit: bool = False
    """Whether to send the rest again at once, in a form that the server may support."""
    without: frozenset[str] = frozenset()
    """Fields to omit from the rest on trial."""
    singly: bool = False
    """Whether to send each request of the rest in a call of its own."""
    final: bool = False
    """Whether the rest must not be sent again."""


@dataclass
class Record:
    """What the requests to an endpoint have come to so far, over all calls.

    A wrong key or model that no rule recognizes would fail each request in the same way: if the
    first requests all fail like that and none succeeds, the rest is not sent.
    """

    answered: bool = False
    failed_alike: int = 0
    reason: str = ""

    def fail(self, fault: Fault, name: str, most: int) -> None:
        """Record a permanent failure; raise `ConfigurationError` if it is that of all requests."""
        reason = re.sub(r"\w*\d\w*", "#", fault.reason)
        is_same = fault.systematic and reason == self.reason
        self.reason = reason
        self.failed_alike = (self.failed_alike if is_same else 0) + fault.systematic
        if not self.answered and self.failed_alike == (most if fault.status else _FEW):
            raise ConfigurationError(
                f"{name}: the first {self.failed_alike} requests all failed with "
                f'"{fault.reason}", and none was answered.{_ADVICE.get(fault.reason, "")}'
            )


_ADVICE = {
    ONLY_THOUGHTS: " The model is cut off while it thinks: set thinking_tokens=2000 or more, or "
    "turn thinking off (docs/language-models.md, Reasoning models).",
    ONLY_REASONING: " The server puts the whole reply into the field for thoughts: check its "
    "reasoning parser.",
}


@dataclass
class Dispatcher:
    """Sends jobs until there are no more; see the module.

    `pull` returns the next job or None, `attempt` makes one attempt at a job in the slot of the
    given number, and `deliver` receives each answer. After `give_up_after` consecutive unanswered
    jobs the endpoint counts as down: further jobs are delivered as unanswered without being sent.
    """

    pull: Callable[[], Job | None]
    attempt: Callable[[Job, int], Awaitable[Outcome]]
    deliver: Callable[[ChatRequest, ChatAnswer], None]
    concurrency: int
    retries: int
    backoff: float
    give_up_after: int
    name: str = "the endpoint"
    record: Record = field(default_factory=Record)
    _waiting: list[tuple[float, int, Job]] = field(default_factory=list)
    _ready: deque[Job] = field(default_factory=deque)
    _completed: deque[tuple[Job, Outcome]] = field(default_factory=deque)
    _order: int = 0
    _active: int = 0  # jobs that are in flight, or completed and not yet delivered
    _exhausted: bool = False
    _stopped: bool = False
    _unanswered_in_a_row: int = 0

    async def run(self) -> None:
        """Run until everything is delivered.

        Raises what `pull`, `attempt` or `deliver` raise. Requests in flight are finished after a
        `BudgetError`, have ten seconds after another error of fgbench, and are canceled otherwise.
        """
        self._changed = asyncio.Event()
        self._bookkeeping_due = asyncio.Event()
        bookkeeping = asyncio.create_task(self._do_bookkeeping())
        workers = [asyncio.create_task(self._work(slot)) for slot in range(self.concurrency)]
        tasks = (bookkeeping, *workers)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            error = next((task.exception() for task in tasks if _failed(task)), None)
            self._stopped = True
            self._notify()
            running = [task for task in workers if not task.done()]
            if running and isinstance(error, FgbenchError):
                timeout = None if isinstance(error, BudgetError) else _GRACE_SECONDS
                await asyncio.wait(running, timeout=timeout)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            while self._completed and not _failed(bookkeeping):
                self._settle(*self._completed.popleft())
        if error is not None:
            raise error

    async def _work(self, slot: int) -> None:
        while (job := await self._next()) is not None:
            if self._unanswered_in_a_row < self.give_up_after:
                self._complete(job, await self.attempt(job, slot))
            else:
                await asyncio.sleep(0)
                down = Fault("endpoint down, not sent", transient=True)
                self._complete(job, Outcome(rest=job.requests, fault=down, final=True))

    async def _next(self) -> Job | None:
        """Return the next job as soon as there is one, None if there will be none."""
        while not self._stopped:
            due = self._waiting[0][0] - time.monotonic() if self._waiting else None
            if due is not None and due <= 0:
                self._active += 1
                return heapq.heappop(self._waiting)[2]
            if self._ready or self._pull():
                self._active += 1
                self._bookkeeping_due.set()
                return self._ready.popleft()
            if due is None and not self._active:
                self._bookkeeping_due.set()
                return None
            await self._change(due)
        return None

    def _pull(self) -> bool:
        """Pull one more job into the queue; return whether there was one and room for it."""
        if self._exhausted or len(self._waiting) >= 4 * self.concurrency + 16:
            return False
        job = self.pull()
        if job is None:
            self._exhausted = True
            self._notify()
            return False
        self._ready.append(job)
        return True

    def _complete(self, job: Job, outcome: Outcome) -> None:
        """Queue the outcome of an attempt for bookkeeping; settle one now if the queue is long."""
        self._completed.append((job, outcome))
        self._bookkeeping_due.set()
        if len(self._completed) > self.concurrency:
            self._settle_one()

    async def _do_bookkeeping(self) -> None:
        while not self._stopped:
            if self._completed:
                self._settle_one()
            elif len(self._ready) >= min(_PREFETCHED, self.concurrency) or not self._pull():
                if self._exhausted and not (self._active or self._ready or self._waiting):
                    return
                self._bookkeeping_due.clear()
                await self._bookkeeping_due.wait()
            await asyncio.sleep(0)  # let the network proceed first

    def _settle_one(self) -> None:
        try:
            self._settle(*self._completed.popleft())
        finally:
            self._active -= 1
            if self._waiting or self._exhausted:
                self._notify()

    async def _change(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    def _notify(self) -> None:
        """Wake the idle workers."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _settle(self, job: Job, outcome: Outcome) -> None:
        spent, notes = job.spent + outcome.spent, (*job.notes, *outcome.notes)
        for request, answer in outcome.answers:
            all_notes = tuple(dict.fromkeys((*notes, *answer.notes)))
            self.deliver(request, replace(answer, usage=answer.usage + spent, notes=all_notes))
            spent = Usage()
        if outcome.answers:
            self._unanswered_in_a_row = 0
        if any(answer.ok for _, answer in outcome.answers):
            self.record.answered = True
        fault = outcome.fault or Fault("stopped", transient=True)
        for unanswered in _unanswered_jobs(job, outcome, spent, notes):
            if outcome.refit:
                self._retry(replace(unanswered, refits=job.refits + 1), 0.0, fault)
            elif outcome.final or not fault.transient or job.failures >= self.retries:
                self._fail(unanswered, fault)
            else:
                retry = replace(unanswered, failures=job.failures + 1)
                self._retry(retry, self._wait(retry, fault), fault)

    def _retry(self, job: Job, wait: float, fault: Fault) -> None:
        if self._stopped:
            self._fail(job, replace(fault, transient=True))
            return
        self._order += 1
        heapq.heappush(self._waiting, (time.monotonic() + wait, self._order, job))

    def _wait(self, job: Job, fault: Fault) -> float:
        """Return the seconds until the next attempt: Retry-After, or an exponential backoff."""
        retry_after = fault.retry_after
        if retry_after is not None and job.failures == 1:
            return min(retry_after, MAX_WAIT)
        seed = seed_for("backoff", job.requests[0].seed, job.number, job.failures)
        jitter = 0.5 + seed % 2**20 / 2**21
        backoff = jitter * min(self.backoff * 2.0 ** (job.failures - 1), MAX_BACKOFF)
        return max(backoff, min(retry_after or 0.0, MAX_WAIT))

    def _fail(self, job: Job, fault: Fault) -> None:
        self._unanswered_in_a_row = self._unanswered_in_a_row + 1 if fault.transient else 0
        usage = job.spent
        for request in job.requests:
            answer = ChatAnswer(
                text=None,
                failure=fault.reason,
                transient=fault.transient,
                usage=usage,
                notes=tuple(dict.fromkeys(job.notes)),
            )
            self.deliver(request, answer)
            usage = Usage()
        if not fault.transient:
            self.record.fail(fault, self.name, self.give_up_after)


def _unanswered_jobs(job: Job, outcome: Outcome, spent: Usage, notes: tuple[str, ...]) -> list[Job]:
    """Return the jobs for the requests that an attempt has left without an answer."""
    if not outcome.rest:
        return []
    groups = [(request,) for request in outcome.rest] if outcome.singly else [outcome.rest]
    remainder = replace(job, notes=notes, without=job.without | outcome.without)
    jobs = [replace(remainder, requests=group, spent=Usage()) for group in groups]
    jobs[0].spent = spent
    return jobs


def _failed(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is not None
