"""Run a suite: walk its stage graph, write the run folder, build its leaderboard."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgbench.engine.events import EventLog, now
from fgbench.engine.scheduler import NodeResult, Scheduler
from fgbench.errors import ConfigurationError
from fgbench.llm.answers import ANSWERS_FILE, AnswerStore
from fgbench.llm.budget import Caps, Ledger
from fgbench.llm.files import as_database
from fgbench.loop.stages import dataset_product
from fgbench.parts.executor import WorkerSetup
from fgbench.plan.plan import preflight
from fgbench.runs.folder import write_results
from fgbench.store.atomic import cannot_write, write_atomically

if TYPE_CHECKING:
    from fgbench.leaderboard.models import Leaderboard
    from fgbench.plan.graph import CellNodes, Node
    from fgbench.plan.plan import Plan
    from fgbench.plugins.references import PartReference
    from fgbench.plugins.registry import Registry
    from fgbench.store import Store

Observer = Callable[[str, Mapping[str, Any]], None]
"""Called with an event's name and fields, as they stand in `events.jsonl`."""


@dataclass(frozen=True)
class FailedCell:
    """A cell without a result, and why."""

    label: str
    error: str


@dataclass
class RunOutcome:
    """A finished run: its folder, its leaderboard, and the cells that failed."""

    run_id: str
    folder: Path
    leaderboard: Leaderboard
    failures: list[FailedCell] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every cell has a result."""
        return not self.failures


def run_plan(
    plan: Plan,
    registry: Registry,
    *,
    out: Path,
    store: Store,
    executor: PartReference,
    observers: Sequence[Observer] = (),
    caps: Caps | None = None,
    replay: Path | None = None,
) -> RunOutcome:
    """Run a plan into `out/<run id>` and return its outcome.

    Finished stages are taken from the store, so that an interrupted run goes on by the same call.
    `caps` hold for all that the run asks of language models, earlier attempts included; with
    `replay`, a file of answers, it asks nothing and takes all answers from there.
    A failed stage takes along the cells that stand on it and no others. Raises `StoreError` when
    the store or the folder cannot be written, `ConfigurationError` when another process is
    writing the same run, or a part cannot work on this machine.
    """
    if replay is None:
        preflight(plan, store, registry)
    folder = out / plan.run_id
    runs_stages = registry.create("executor", executor)
    with _run_folder(folder):
        write_atomically(folder / "suite.toml", plan.resolved.suite.to_toml())
        write_atomically(folder / "plan.json", json.dumps(plan.to_value(), indent=1) + "\n")
        log = EventLog(folder / "events.jsonl")
        try:
            session = _Session(plan, registry, store, folder, log, observers)
            with _answer_settings(plan.run_id, store, caps or Caps(), replay) as settings:
                return session.run(runs_stages, settings)
        finally:
            log.close()


class _Session:
    """One attempt at a run."""

    def __init__(
        self,
        plan: Plan,
        registry: Registry,
        store: Store,
        folder: Path,
        log: EventLog,
        observers: Sequence[Observer],
    ) -> None:
        self._plan = plan
        self._registry = registry
        self._store = store
        self._folder = folder
        self._log = log
        self._observers = observers
        self._started = now()
        self._cells_of: dict[str, list[CellNodes]] = {}
        for cell in plan.graph.cells:
            self._cells_of.setdefault(cell.evaluate, []).append(cell)
        self._failures: list[FailedCell] = []

    def run(self, executor: Any, answers: Mapping[str, Any]) -> RunOutcome:
        """Walk the graph, then write the results."""
        plan = self._plan
        self._emit(
            "run_started",
            run=plan.run_id,
            cells=len(plan.cells),
            stages=len(plan.graph.nodes),
            process=os.getpid(),
        )
        self._registry.notify(
            "fgbench_run_started",
            run={
                "id": plan.run_id,
                "folder": str(self._folder),
                "suite": plan.resolved.suite.model_dump(mode="json"),
                "cells": len(plan.cells),
                "stages": len(plan.graph.nodes),
            },
        )
        dataset_keys = {
            digest: self._store_dataset(digest) for digest in sorted(plan.graph.datasets)
        }
        scheduler = Scheduler(plan.graph, self._store, executor, dataset_keys, self._notify)
        executor.open(
            WorkerSetup(str(self._store.root), self._registry.local_plugins, answers=answers)
        )
        finished = False
        try:
            results = scheduler.run()
            finished = True
        finally:
            executor.close(cancel=not finished)
            if not finished:
                self._emit("run_interrupted", run=plan.run_id)
        for key in self._store.damaged:
            self._emit("artifact_damaged", key=key)
        leaderboard = write_results(plan, results, self._store, self._folder, self._started)
        status = "failed" if self._failures else "finished"
        self._emit("run_finished", run=plan.run_id, status=status)
        self._registry.notify(
            "fgbench_run_finished",
            run={
                "id": plan.run_id,
                "folder": str(self._folder),
                "status": status,
                "leaderboard": str(self._folder / "leaderboard.json"),
            },
        )
        return RunOutcome(plan.run_id, self._folder, leaderboard, self._failures)

    def _store_dataset(self, digest: str) -> str:
        """Put a data set where the workers find it, and return its key."""
        if self._store.get(digest) is None:
            started = time.perf_counter()
            product = dataset_product(self._plan.graph.datasets[digest].dataset)
            self._store.put(digest, product, stage="dataset", seconds=time.perf_counter() - started)
        return digest

    def _notify(self, moment: str, node: Node, result: NodeResult | None) -> None:
        """Report a node's start or end, and the end of the cells that were waiting for it."""
        if result is None:
            self._emit("stage_started", stage=node.stage, label=node.label, node=node.id[:12])
            return
        fields: dict[str, Any] = {
            "stage": node.stage,
            "label": node.label,
            "node": node.id[:12],
            "key": result.key,
            "seconds": result.seconds,
        }
        if result.ok:
            self._emit(f"stage_{result.status}", **fields, **_facts(node, result))
        else:
            self._emit(
                "stage_failed",
                **fields,
                error=result.error,
                traceback=result.traceback,
                cause=result.cause and result.cause[:12],
            )
        self._registry.notify(
            "fgbench_stage_finished",
            stage=fields | {"status": result.status, "error": result.error},
        )
        for cell in self._cells_of.get(node.id, ()):
            self._end_cell(cell, result)

    def _end_cell(self, nodes: CellNodes, result: NodeResult) -> None:
        cell = nodes.cell
        fields: dict[str, Any] = {"cell": cell.label, "group": cell.group[:16], "seed": cell.seed}
        if result.ok:
            fields["metrics"] = result.value
            self._emit("cell_finished", **fields)
        else:
            fields["error"] = result.error
            self._failures.append(FailedCell(cell.label, str(result.error)))
            self._emit("cell_failed", **fields)
        status = "finished" if result.ok else "failed"
        self._registry.notify(
            "fgbench_cell_finished", cell=fields | cell.coordinates() | {"status": status}
        )

    def _emit(self, event: str, **fields: Any) -> None:
        self._log.write(event, **fields)
        for observer in self._observers:
            observer(event, fields)


def _facts(node: Node, result: NodeResult) -> dict[str, Any]:
    """Return what of a stage's value belongs in the log."""
    names = {"train": ("notes", "usage"), "synthesise": ("requested", "accepted", "usage", "notes")}
    told = {name: result.value.get(name) for name in names.get(node.stage, ())}
    return {name: value for name, value in told.items() if value not in (None, [], {})}


@contextlib.contextmanager
def _answer_settings(
    run: str, store: Store, caps: Caps, replay: Path | None
) -> Iterator[dict[str, Any]]:
    """Give the settings of the workers' `Answers`; a replay is checked and unpacked before."""
    if replay is not None:
        with store.scratch() as scratch, as_database(replay, scratch) as file:
            yield {"file": str(file.resolve()), "replay": str(replay)}
        return
    file = store.root / ANSWERS_FILE
    if caps and file.exists():
        with contextlib.closing(AnswerStore(file)) as answers:
            Ledger(answers, run).count_lost()
    yield {"file": str(file.resolve()), "run": run, "caps": asdict(caps)}


@contextlib.contextmanager
def _run_folder(folder: Path) -> Iterator[None]:
    """Make the folder and hold it for this process alone."""
    from filelock import FileLock, Timeout

    try:
        for part in (folder, folder / "samples", folder / "predictions"):
            part.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigurationError(
            f"{folder}: another fgbench run is writing here. Wait for it, or choose another --out."
        ) from None
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        yield
    finally:
        lock.release()
