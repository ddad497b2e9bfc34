"""Progress of a run: bars on a terminal, a few plain lines elsewhere, on standard error."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from fgbench.cli.console import console
from fgbench.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from fgbench.engine.events import Event, Listener
    from fgbench.llm.budget import Spent
    from fgbench.plan.plan import Plan

_PLAIN_EVERY = 5.0
_SPENDING_EVERY, _PLAIN_SPENDING_EVERY = 0.5, 30.0
_ENDED = frozenset({"stage_finished", "stage_cached", "stage_shared", "stage_failed"})


@contextlib.contextmanager
def progress(
    plan: Plan, answers: Path, *, quiet: bool, account: str | None = None
) -> Iterator[Listener]:
    """Yield an observer that shows how far a run is, and what it has spent.

    `answers` is the file of answers, `account` whose spending there is shown: the run's by default.
    """
    if quiet:
        yield lambda event: None
    elif sys.stderr.isatty():
        with _bars(plan, answers, account or plan.run_id) as observer:
            yield observer
    else:
        plain = _Plain(plan)
        with _watched(answers, account or plan.run_id, _PLAIN_SPENDING_EVERY, plain.spent):
            yield plain


class _Tally:
    """What has ended so far, and what generation cost."""

    def __init__(self) -> None:
        self.ended = self.cached = self.failed = self.accepted = self.tokens = 0
        self.cost = 0.0
        self.spent: Spent | None = None

    def add(self, event: Event) -> None:
        self.ended += 1
        self.cached += event.name != "stage_finished" and event.name != "stage_failed"
        self.failed += event.name == "stage_failed"
        if event.name != "stage_shared" and "usage" in event.fields:
            usage = event.fields["usage"]
            self.accepted += event.fields.get("accepted", 0)
            self.tokens += usage["prompt_tokens"] + usage["completion_tokens"]
            self.cost += usage["cost_usd"]

    def __str__(self) -> str:
        parts = [f"{self.cached} stored"] if self.cached else []
        if self.accepted:
            parts.append(f"{self.accepted:,} synthetic")
        if self.spent is not None:
            parts.append(_spending(self.spent))
        elif self.tokens:
            parts.append(f"{self.tokens:,} tokens, ${self.cost:.2f}")
        if self.failed:
            parts.append(f"{self.failed} failed")
        return " · ".join(parts)


@contextlib.contextmanager
def _bars(plan: Plan, answers: Path, account: str) -> Iterator[Listener]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Column

    tally = _Tally()
    with Progress(
        TextColumn("{task.description}", table_column=Column(no_wrap=True)),
        BarColumn(bar_width=12),
        TextColumn("{task.fields[count]}", table_column=Column(no_wrap=True)),
        TimeElapsedColumn(),
        TextColumn(
            "{task.fields[note]}",
            markup=False,
            table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
        ),
        console=console(stderr=True),
        expand=True,
        transient=True,
    ) as bars:
        total = plan.graph.n_stages
        whole = bars.add_task("stages", total=total, count=f"0/{total}", note="")
        running: dict[str, Any] = {}

        def observe(event: Event) -> None:
            if event.name == "stage_started":
                running[event.fields["node"]] = bars.add_task(
                    event.fields["stage"], total=None, count="", note=event.fields["label"]
                )
            elif event.name in _ENDED:
                tally.add(event)
                task = running.pop(event.fields["node"], None)
                if task is not None:
                    bars.remove_task(task)
                bars.update(
                    whole,
                    completed=tally.ended,
                    count=f"{tally.ended}/{total}",
                    note=str(tally),
                )

        def spend(spent: Spent) -> None:
            tally.spent = spent
            bars.update(whole, note=str(tally))

        with _watched(answers, account, _SPENDING_EVERY, spend):
            yield observe


@contextlib.contextmanager
def _watched(
    answers: Path, account: str, every: float, show: Callable[[Spent], None]
) -> Iterator[None]:
    """Show what a run has spent on language models, whenever that has changed."""
    from fgbench.llm.budget import spent_so_far

    ended = threading.Event()

    def watch() -> None:
        last = None
        while True:
            with contextlib.suppress(StoreError):  # the stage that asks will report it
                spent = spent_so_far(answers, account)
                if last is not None and spent != last:
                    show(spent)
                last = spent
            if ended.wait(every):
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


class _Plain:
    """A line at the start, every few seconds, and at the end."""

    def __init__(self, plan: Plan) -> None:
        self._total = plan.graph.n_stages
        self._tally = _Tally()
        self._last = time.monotonic()
        self._plan = plan

    def __call__(self, event: Event) -> None:
        if event.name == "run_started":
            cells = event.fields["cells"]
            self._say(f"run {event.fields['id']}: {cells} cells, {self._total} stages")
        elif event.name in _ENDED:
            self._tally.add(event)
            if time.monotonic() - self._last >= _PLAIN_EVERY:
                self._progress()
        elif event.name == "run_finished":
            self._progress()

    def spent(self, spent: Spent) -> None:
        """Say what language models have cost so far."""
        self._tally.spent = spent
        self._progress()

    def _progress(self) -> None:
        self._last = time.monotonic()
        note = f" ({self._tally})" if str(self._tally) else ""
        self._say(f"{self._tally.ended}/{self._total} stages{note}")

    def _say(self, text: str) -> None:
        click.echo(text, err=True)


def _spending(spent: Spent) -> str:
    return f"{spent.requests:,} requests, {spent.tokens:,} tokens, ${spent.cost_usd:.2f}"
