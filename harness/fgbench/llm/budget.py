"""Usage of language models by a run, and the caps on it.

The ledger is a table in the answer database with one row per run id, so it holds across processes
and resumes. If the run has caps, the most that a request may use is reserved in a transaction of
its own before the request is sent, and replaced by the actual usage when the answer is stored.
Reservations of a killed process count as used, because its requests may have been answered.
Without caps, usage is only counted, in the transaction that stores the answer.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from fgbench.errors import BudgetError, ConfigurationError
from fgbench.llm.answers import AnswerStore
from fgbench.llm.chat import Price
from fgbench.llm.encoding import clipped_count
from fgbench.llm.rows import DamageError, spent_digest

_MAX_SUM = 2**62
"""Maximum of a sum: SQLite's integers have 64 bits."""
_STALL_SECONDS = 30.0
"""How long to wait, in seconds, for other processes' requests while none of them ends."""


@dataclass(frozen=True)
class Caps:
    """Maximum usage of a run, across its processes and resumes; None for no cap."""

    requests: int | None = None
    tokens: int | None = None
    cost_usd: float | None = None

    def __post_init__(self) -> None:
        for name, cap in asdict(self).items():
            if cap is not None and not 0 <= cap < math.inf:
                raise ConfigurationError(f"the cap on {name} must be at least 0, not {cap}.")

    def __bool__(self) -> bool:
        return (self.requests, self.tokens, self.cost_usd) != (None, None, None)


class Spent(NamedTuple):
    """Usage of a run, and the reservations for its requests in flight."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    reserved_tokens: int = 0
    reserved_cost: float = 0.0

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens together."""
        return self.prompt_tokens + self.completion_tokens


class _Reservation(NamedTuple):
    tokens: int
    cost: float


class Ledger:
    """The spending of one run; thread-safe, with one object per process."""

    def __init__(self, store: AnswerStore, run: str = "", caps: Caps | None = None) -> None:
        self.caps = caps or Caps()
        self._store = store
        self._run = run
        self._lock = threading.Lock()
        self._pending = Spent()
        self._refused = _Reservation(0, 0.0)

    def account(self, price: Price | None) -> Account:
        """Return the budget for an engine with this price."""
        return Account(self, price)

    def total(self) -> Spent:
        """Return the usage of the run so far, except settlements that are not yet written."""
        with self._store.reading() as connection:
            return _read(connection, self._run)

    def write(self, connection: sqlite3.Connection) -> None:
        """Write the pending settlements, in an open transaction of the store."""
        with self._lock:
            pending, self._pending = self._pending, Spent()
        if any(pending):
            _add(connection, self._run, pending)

    def flush(self) -> None:
        """Write the pending settlements, if there are any."""
        if any(self._pending):
            with self._store.writing() as connection:
                self.write(connection)

    def reserve(self, most: _Reservation) -> _Reservation:
        """Reserve the most that a request may use; raises `BudgetError` if that exceeds a cap."""
        if not self.caps:
            self._settle_later(Spent(requests=1))
            return _Reservation(0, 0.0)
        with self._store.writing() as connection:
            self.write(connection)
            spent = _read(connection, self._run)
            problem = self._exceeded(spent, most)
            if problem is None:
                reserved = Spent(1, reserved_tokens=most.tokens, reserved_cost=most.cost)
                _add(connection, self._run, reserved)
                return most
        self._refused = most
        raise BudgetError(problem)

    def settle(self, receipt: _Reservation, used: Spent) -> None:
        """Replace a reservation by the actual usage, with the next write."""
        self._settle_later(
            used._replace(reserved_tokens=-receipt.tokens, reserved_cost=-receipt.cost)
        )

    def count_lost(self) -> None:
        """Count reservations of killed processes as used; call it while no process is running."""
        with self._store.writing() as connection:
            lost = _read(connection, self._run)
            _add(
                connection,
                self._run,
                Spent(
                    completion_tokens=lost.reserved_tokens,
                    cost_usd=lost.reserved_cost,
                    reserved_tokens=-lost.reserved_tokens,
                    reserved_cost=-lost.reserved_cost,
                ),
            )

    def has_room_again(self) -> bool:
        """Return whether the request that was refused last would be allowed now.

        If only the requests in flight of other processes prevent it, wait for them.
        """
        self.flush()
        before, deadline = None, 0.0
        while True:
            spent = self.total()
            if self._exceeded(spent, self._refused) is None:
                return True
            settled = spent._replace(reserved_tokens=0, reserved_cost=0.0)
            if self._exceeded(settled, self._refused) is not None:
                return False
            if spent != before:
                before, deadline = spent, time.monotonic() + _STALL_SECONDS
            elif time.monotonic() > deadline:
                return False
            time.sleep(0.1)

    def _settle_later(self, change: Spent) -> None:
        with self._lock:
            self._pending = _sum(self._pending, change)

    def _exceeded(self, spent: Spent, most: _Reservation) -> str | None:
        """Return an error message for the first cap that `most` could exceed, or None."""
        caps = self.caps
        if caps.requests is not None and spent.requests + 1 > caps.requests:
            return self._message(f"--max-requests {caps.requests:,}", f"{spent.requests:,} sent")
        tokens = spent.tokens + spent.reserved_tokens
        if caps.tokens is not None and tokens + most.tokens > caps.tokens:
            return self._message(
                f"--max-tokens {caps.tokens:,}",
                f"{tokens:,} used or reserved; the next request may use {most.tokens:,}",
            )
        cost = spent.cost_usd + spent.reserved_cost
        if caps.cost_usd is not None and cost + most.cost > caps.cost_usd * (1 + 1e-12):
            return self._message(
                f"--max-cost ${caps.cost_usd:,.2f}",
                f"${cost:,.4f} spent or reserved; the next request may cost ${most.cost:,.4f}",
            )
        return None

    def _message(self, cap: str, state: str) -> str:
        return f"run {self._run} reached {cap} ({state}). Raise the limit to resume."


class Account:
    """A `Spending`: the ledger at the price of one model."""

    def __init__(self, ledger: Ledger, price: Price | None) -> None:
        self._ledger = ledger
        self._price = price or Price()

    def reserve(self, prompt_tokens: int, completion_tokens: int) -> Any:
        """Reserve the most that one request may use; raises `BudgetError`."""
        cost = self._price.cost(prompt_tokens, completion_tokens)
        return self._ledger.reserve(_Reservation(prompt_tokens + completion_tokens, cost))

    def settle(self, receipt: Any, prompt_tokens: int, completion_tokens: int) -> None:
        """Replace a reservation by the actual usage."""
        counts = clipped_count(prompt_tokens), clipped_count(completion_tokens)
        self._ledger.settle(receipt, Spent(0, *counts, self._price.cost(*counts)))


def spent_so_far(file: Path, run: str) -> Spent:
    """Return the usage of a run so far, from an answer file that other processes write."""
    if not file.exists():
        return Spent()
    with contextlib.closing(AnswerStore(file, read_only=True)) as store:
        return Ledger(store, run).total()


def _sum(one: Spent, other: Spent) -> Spent:
    return Spent._make(a + b for a, b in zip(one, other, strict=True))


def _read(connection: sqlite3.Connection, run: str) -> Spent:
    row = connection.execute(_SELECT, (run,)).fetchone()
    if row is None:
        return Spent()
    *spent, stored = row
    if stored != spent_digest(run, spent):
        raise DamageError(f"usage of run {run!r}: digest mismatch")
    return Spent(*spent)


def _add(connection: sqlite3.Connection, run: str, change: Spent) -> None:
    """Add to the usage of a run, in an open transaction."""
    sums = _sum(_read(connection, run), change)
    spent = Spent(
        min(sums.requests, _MAX_SUM),
        min(sums.prompt_tokens, _MAX_SUM),
        min(sums.completion_tokens, _MAX_SUM),
        float(sums.cost_usd),
        min(sums.reserved_tokens, _MAX_SUM),
        float(sums.reserved_cost),
    )
    connection.execute(_UPSERT, (run, *spent, spent_digest(run, spent)))


_COLUMNS = (*Spent._fields, "digest")
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM spending WHERE run = ?"
_UPSERT = (
    f"INSERT INTO spending (run, {', '.join(_COLUMNS)}) VALUES (?{', ?' * len(_COLUMNS)}) "
    "ON CONFLICT (run) DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)
)
