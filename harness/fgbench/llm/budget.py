"""The ledger: what the requests of a run have used, and the caps that they may not pass.

It stands in the file of answers, a row for each run id, so that it holds across processes and
resumes. With caps, what a request may use at most is set aside in a transaction of its own before
it is sent, and replaced by what it did use when its answer is stored. What a killed process had set
aside stays counted: its requests may have been answered. Without caps, usage is only counted, in
the transaction that stores the answer.
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

_PATIENCE = 30.0
"""Seconds to wait for other processes' requests while none of them ends."""


@dataclass(frozen=True)
class Caps:
    """The most that one run may use, whatever its processes and resumes; None for no cap."""

    requests: int | None = None
    tokens: int | None = None
    cost_usd: float | None = None

    def __post_init__(self) -> None:
        for name, cap in asdict(self).items():
            if cap is not None and not 0 <= cap < math.inf:
                raise ConfigurationError(f"a cap on {name} must be a number from 0, not {cap}.")

    def __bool__(self) -> bool:
        return (self.requests, self.tokens, self.cost_usd) != (None, None, None)


class Spent(NamedTuple):
    """What a run has used, and what is set aside for requests under way."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    reserved_tokens: int = 0
    reserved_cost: float = 0.0

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens."""
        return self.prompt_tokens + self.completion_tokens


class _Receipt(NamedTuple):
    tokens: int
    cost: float


class Ledger:
    """The spending of one run; one object a process, used from any thread."""

    def __init__(self, store: AnswerStore, run: str = "", caps: Caps | None = None) -> None:
        self.caps = caps or Caps()
        self._store = store
        self._run = run
        self._lock = threading.Lock()
        self._pending = Spent()
        self._refused = _Receipt(0, 0.0)

    def account(self, price: Price | None) -> Account:
        """Return the budget as an engine with this price sees it."""
        return Account(self, price)

    def total(self) -> Spent:
        """Return what the run has used so far, but for what `write` has still to write."""
        with self._store.reading() as connection:
            return _read(connection, self._run)

    def write(self, connection: sqlite3.Connection) -> None:
        """Write what has been settled since, within a transaction of the store."""
        with self._lock:
            pending, self._pending = self._pending, Spent()
        if any(pending):
            _add(connection, self._run, pending)

    def flush(self) -> None:
        """Write what has been settled, if anything is left."""
        if any(self._pending):
            with self._store.writing() as connection:
                self.write(connection)

    def reserve(self, most: _Receipt) -> _Receipt:
        """Set aside what a request may use; raises `BudgetError` where a cap could be passed."""
        if not self.caps:
            self._settle_later(Spent(requests=1))
            return _Receipt(0, 0.0)
        with self._store.writing() as connection:
            self.write(connection)
            spent = _read(connection, self._run)
            full = self._full(spent, most)
            if full is None:
                aside = Spent(1, reserved_tokens=most.tokens, reserved_cost=most.cost)
                _add(connection, self._run, aside)
                return most
        self._refused = most
        raise BudgetError(full)

    def settle(self, receipt: _Receipt, used: Spent) -> None:
        """Replace what was set aside by what was used, with the next write."""
        self._settle_later(
            used._replace(reserved_tokens=-receipt.tokens, reserved_cost=-receipt.cost)
        )

    def count_lost(self) -> None:
        """Count as used what killed processes had set aside; to be called while none is at work."""
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
        """Return whether the request that was refused last would be let through now.

        Where only other processes' requests under way stand against it, wait for these.
        """
        self.flush()
        before, deadline = None, 0.0
        while True:
            spent = self.total()
            if self._full(spent, self._refused) is None:
                return True
            settled = spent._replace(reserved_tokens=0, reserved_cost=0.0)
            if self._full(settled, self._refused) is not None:
                return False
            if spent != before:
                before, deadline = spent, time.monotonic() + _PATIENCE
            elif time.monotonic() > deadline:
                return False
            time.sleep(0.1)

    def _settle_later(self, change: Spent) -> None:
        with self._lock:
            self._pending = _sum(self._pending, change)

    def _full(self, spent: Spent, most: _Receipt) -> str | None:
        """Return the sentence on the first cap that `most` more could pass, or None."""
        caps = self.caps
        if caps.requests is not None and spent.requests + 1 > caps.requests:
            return self._sentence(
                f"{caps.requests:,} requests (--max-requests)", f"{spent.requests:,} are sent"
            )
        tokens = spent.tokens + spent.reserved_tokens
        if caps.tokens is not None and tokens + most.tokens > caps.tokens:
            return self._sentence(
                f"{caps.tokens:,} tokens (--max-tokens)",
                f"{tokens:,} are used or set aside, and the next request may take {most.tokens:,}",
            )
        cost = spent.cost_usd + spent.reserved_cost
        if caps.cost_usd is not None and cost + most.cost > caps.cost_usd * (1 + 1e-12):
            return self._sentence(
                f"${caps.cost_usd:,.2f} (--max-cost)",
                f"${cost:,.4f} are spent or set aside, and the next request may cost "
                f"${most.cost:,.4f}",
            )
        return None

    def _sentence(self, cap: str, state: str) -> str:
        return (
            f"the budget of {cap} of run {self._run} is used up: {state}. The same command with a "
            "higher cap goes on where it stopped."
        )


class Account:
    """A `Spending`: the ledger at the price of one model."""

    def __init__(self, ledger: Ledger, price: Price | None) -> None:
        self._ledger = ledger
        self._price = price or Price()

    def reserve(self, prompt_tokens: int, completion_tokens: int) -> Any:
        """Set aside what one request may use at most; raises `BudgetError`."""
        cost = self._price.cost(prompt_tokens, completion_tokens)
        return self._ledger.reserve(_Receipt(prompt_tokens + completion_tokens, cost))

    def settle(self, receipt: Any, prompt_tokens: int, completion_tokens: int) -> None:
        """Replace what was set aside by what was used."""
        cost = self._price.cost(prompt_tokens, completion_tokens)
        self._ledger.settle(receipt, Spent(0, prompt_tokens, completion_tokens, cost))


def spent_so_far(file: Path, run: str) -> Spent:
    """Return what a run has used by now, from a file of answers that others write."""
    if not file.exists():
        return Spent()
    with contextlib.closing(AnswerStore(file, read_only=True)) as store:
        return Ledger(store, run).total()


def _sum(one: Spent, other: Spent) -> Spent:
    return Spent._make(a + b for a, b in zip(one, other, strict=True))


def _read(connection: sqlite3.Connection, run: str) -> Spent:
    row = connection.execute(
        f"SELECT {', '.join(Spent._fields)} FROM spending WHERE run = ?", (run,)
    ).fetchone()
    return Spent() if row is None else Spent(*row)


def _add(connection: sqlite3.Connection, run: str, change: Spent) -> None:
    names = Spent._fields
    connection.execute(
        f"INSERT INTO spending (run, {', '.join(names)}) VALUES (?{', ?' * len(names)}) "
        "ON CONFLICT (run) DO UPDATE SET "
        + ", ".join(f"{name} = {name} + excluded.{name}" for name in names),
        (run, *change),
    )
