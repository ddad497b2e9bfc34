"""Run a suite: walk its stage graph, write the run folder, build its leaderboard."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgbench.engine.events import Event, EventLog, Listener, emit, now
from fgbench.engine.scheduler import NodeResult, Scheduler, is_usable
from fgbench.errors import ConfigurationError, CorruptArtifactError, StoreError
from fgbench.leaderboard.files import BOARD_FILE, read_board
from fgbench.llm.answers import ANSWERS_FILE, AnswerStore
from fgbench.llm.budget import Ledger
from fgbench.llm.files import as_database
from fgbench.parts.executor import WorkerSetup
from fgbench.plan.plan import find_stored, preflight
from fgbench.runs.provenance import provenance
from fgbench.runs.receipt import is_current, write_receipt
from fgbench.stages import STAGES
from fgbench.stages.dataset import DATASET_ROLE, dataset_product
from fgbench.store.atomic import cannot_write, remove_leftovers, write_atomically
from fgbench.store.claims import PRIVATE_FILE, PRIVATE_FOLDER

if TYPE_CHECKING:
    from fgbench.leaderboard.models import Leaderboard
    from fgbench.plan.graph import CellNodes, Node
    from fgbench.plan.plan import Plan
    from fgbench.plugins.registry import Registry
    from fgbench.runs.execution import Execution
    from fgbench.store import Artifact, Store

_HOOKS = {
    "run_started": ("fgbench_run_started", "run"),
    "stage_finished": ("fgbench_stage_finished", "stage"),
    "stage_cached": ("fgbench_stage_finished", "stage"),
    "stage_shared": ("fgbench_stage_finished", "stage"),
    "stage_failed": ("fgbench_stage_finished", "stage"),
    "cell_finished": ("fgbench_cell_finished", "cell"),
    "cell_failed": ("fgbench_cell_finished", "cell"),
    "run_finished": ("fgbench_run_finished", "run"),
}
"""By event: the lifecycle hook that receives its fields, and the name of the hook's argument."""

_MAX_WALKS = 3


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
    execution: Execution,
    observers: Sequence[Listener] = (),
) -> RunOutcome:
    """Run a plan into `out/<run id>` and return its outcome.

    Stored stages are reused, so the same call resumes an interrupted run. When a stage fails, the
    cells that depend on it fail with it, and no others. Raises `StoreError` when the store or the
    folder cannot be written, `ConfigurationError` when another process is writing the same run, or
    a part cannot work on this machine.
    """
    with store.lease(plan.run_id):
        n_corrupt = len(store.corrupt)
        stored = find_stored(plan, store)
        if execution.replay is None:
            preflight(plan, stored, registry)
        folder = out / plan.run_id
        stage_executor = execution.create_executor(registry)
        with _run_folder(folder):
            write_atomically(folder / "suite.toml", plan.resolved.suite.to_toml())
            write_atomically(folder / "plan.json", json.dumps(plan.to_value(), indent=1) + "\n")
            with contextlib.closing(EventLog(folder / "events.jsonl")) as log:
                listeners: tuple[Listener, ...] = (log, *observers, _Hooks(registry))
                session = _Session(plan, store, folder, listeners, n_corrupt)
                with _answer_settings(plan.run_id, store, execution) as answers:
                    setup = WorkerSetup(str(store.root), registry.local_plugins, answers=answers)
                    return session.run(stage_executor, setup, stored)


class _Hooks:
    """The listener that passes events to the lifecycle hooks of plugins."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def __call__(self, event: Event) -> None:
        hook, argument = _HOOKS.get(event.name, (None, ""))
        if hook is not None:
            self._registry.notify(hook, **{argument: event.fields})


class _Session:
    """One attempt at a run."""

    def __init__(
        self,
        plan: Plan,
        store: Store,
        folder: Path,
        listeners: Sequence[Listener],
        n_corrupt: int,
    ) -> None:
        self._plan = plan
        self._store = store
        self._folder = folder
        self._listeners = listeners
        self._n_corrupt = n_corrupt  # found before this attempt
        self._started = now()
        self._cells_of: dict[str, list[CellNodes]] = {}
        for cell in plan.graph.cells:
            self._cells_of.setdefault(cell.evaluate, []).append(cell)
        self._failures: list[FailedCell] = []

    def run(self, executor: Any, setup: WorkerSetup, stored: Mapping[str, Artifact]) -> RunOutcome:
        """Walk the graph, then write the results."""
        plan = self._plan
        run = {"id": plan.run_id, "folder": str(self._folder)}
        self._emit(
            "run_started",
            **run,
            suite=plan.resolved.suite.model_dump(mode="json"),
            cells=len(plan.cells),
            stages=plan.graph.n_stages,
            datasets=list(plan.graph.datasets),
            process=os.getpid(),
        )
        executor.open(setup)
        finished = False
        try:
            leaderboard = self._walk(executor, stored)
            finished = True
        finally:
            executor.close(cancel=not finished)
            for key in self._store.corrupt[self._n_corrupt :]:
                self._emit("artifact_corrupt", key=key)
            if not finished:
                self._emit("run_interrupted", **run)
        status = "failed" if self._failures else "finished"
        board = str(self._folder / "leaderboard.json")
        self._emit("run_finished", **run, status=status, leaderboard=board)
        return RunOutcome(plan.run_id, self._folder, leaderboard, self._failures)

    def _walk(self, executor: Any, stored: Mapping[str, Artifact]) -> Leaderboard:
        """Run all stages and write the results.

        Starts over if an artifact that was rebuilt has another content than before: the part that
        made it is nondeterministic, and what depends on it follows from the lost one.
        """
        for _ in range(_MAX_WALKS):
            self._failures.clear()
            scheduler = Scheduler(
                self._plan.graph, self._store, executor, self._source, self._notify, stored
            )
            scheduler.run()
            board = None if scheduler.outdated else self._write_results(scheduler)
            if board is not None:
                return board
            stored = {}
        raise StoreError(
            f"{self._store.root}: artifacts are lost again and again, and what is rebuilt differs "
            "each time. Check the disk, and whether parts are deterministic."
        )

    def _write_results(self, scheduler: Scheduler) -> Leaderboard | None:
        """Write the run folder unless it is up to date, and return the board.

        An artifact that turns out to be corrupt is rebuilt, once; None if that made the results
        outdated.
        """
        facts = provenance(self._started)
        if is_current(self._folder, scheduler.results, facts):
            return read_board(self._folder / BOARD_FILE)
        from fgbench.runs.folder import FinishedRun

        while True:
            run = FinishedRun(self._plan, scheduler.results, self._store, self._folder, facts)
            try:
                board = run.write()
            except CorruptArtifactError as error:
                if error.key is None:
                    raise
                scheduler.rebuild(error.key)
                if scheduler.outdated:
                    return None
            else:
                write_receipt(self._folder, scheduler.results, facts)
                return board

    def _source(self, node: Node) -> Artifact:
        """Return the artifact of a data set, storing it where workers find it."""
        artifact = self._store.find(node.id)
        if artifact is not None and is_usable(artifact):
            return artifact
        started = time.perf_counter()
        product = dataset_product(self._plan.graph.datasets[node.id].dataset)
        seconds = time.perf_counter() - started
        return self._store.put(node.id, product, stage=DATASET_ROLE, seconds=seconds)

    def _notify(self, moment: str, node: Node, result: NodeResult | None) -> None:
        """Report a node's start or end, and the end of the cells that were waiting for it."""
        if node.source:
            return
        fields: dict[str, Any] = {"stage": node.stage, "label": node.label, "node": node.id[:12]}
        if result is None:
            self._emit("stage_started", **fields)
            return
        fields |= {
            "key": result.key,
            "seconds": result.seconds,
            "status": result.status,
            "error": result.error,
        }
        if result.ok:
            facts = STAGES[node.stage].facts(result.value)
            fields |= {name: fact for name, fact in facts.items() if fact not in (None, [], {})}
        else:
            fields |= {"traceback": result.traceback, "cause": result.cause and result.cause[:12]}
        if moment == "rebuilt":
            self._emit("stage_rebuilt", **fields)
            return
        self._emit(f"stage_{result.status}", **fields)
        for cell in self._cells_of.get(node.id, ()):
            self._end_cell(cell, result)

    def _end_cell(self, nodes: CellNodes, result: NodeResult) -> None:
        cell = nodes.cell
        status = "finished" if result.ok else "failed"
        fields = cell.coordinates() | {"cell": cell.label, "group": cell.group[:16]}
        if result.ok:
            fields["metrics"] = result.value
        else:
            fields["error"] = result.error
            self._failures.append(FailedCell(cell.label, str(result.error)))
        self._emit(f"cell_{status}", status=status, **fields)

    def _emit(self, name: str, **fields: Any) -> None:
        emit(self._listeners, name, **fields)


@contextlib.contextmanager
def _answer_settings(run: str, store: Store, execution: Execution) -> Iterator[dict[str, Any]]:
    """Yield the settings of the workers' `Answers`; a replay is checked and unpacked first."""
    replay, caps = execution.replay, execution.caps
    if replay is not None:
        with store.scratch() as scratch, as_database(replay, scratch) as file:
            yield {"file": str(file.resolve()), "replay": str(replay)}
        return
    file, account = store.root / ANSWERS_FILE, execution.account or run
    if caps and file.exists():
        with contextlib.closing(AnswerStore(file)) as answers:
            Ledger(answers, account).count_lost()
    yield {"file": str(file.resolve()), "run": account, "caps": asdict(caps)}


@contextlib.contextmanager
def _run_folder(folder: Path) -> Iterator[None]:
    """Create the folder, readable by its owner only, and hold it for this process alone."""
    from filelock import FileLock, Timeout

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        parts = (folder, folder / "samples", folder / "predictions")
        for part in parts:
            part.mkdir(PRIVATE_FOLDER, exist_ok=True)
        lock = FileLock(folder / ".lock", mode=PRIVATE_FILE)
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigurationError(
            f"{folder}: another fgbench run is writing here. Wait for it, or choose another --out."
        ) from None
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        for part in parts:
            remove_leftovers(part)
        yield
    finally:
        lock.release()
