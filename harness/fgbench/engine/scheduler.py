"""Walk a graph of stages through an executor, in any order its arrows allow.

Each node is resolved once: from the store if its key is there, else by one worker. Nodes whose
keys turn out equal share one execution. A failed node takes the nodes that read it along, and
nothing else.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fgbench.engine.queue import StageQueue
from fgbench.errors import StoreError

if TYPE_CHECKING:
    from fgbench.parts.executor import Executor
    from fgbench.plan.graph import Graph, Node
    from fgbench.store import Store


@dataclass(frozen=True)
class NodeResult:
    """How a node ended: `status` is finished, cached, shared or failed."""

    status: str
    key: str | None = None
    digest: str | None = None
    value: Any = None
    seconds: float = 0.0
    error: str | None = None
    traceback: str | None = None
    cause: str | None = None
    """For a node that failed because of an input: the id of the node that failed first."""

    @property
    def ok(self) -> bool:
        """Whether there is an artefact."""
        return self.status != "failed"


Notify = Callable[[str, "Node", NodeResult | None], None]
"""Called with "started" or "ended", the node, and its result when it ended."""


class Scheduler:
    """Runs the nodes of one graph; `results` has the outcome of each by node id."""

    def __init__(
        self,
        graph: Graph,
        store: Store,
        executor: Executor,
        dataset_keys: Mapping[str, str],
        notify: Notify,
    ) -> None:
        self.results: dict[str, NodeResult] = {}
        self._graph = graph
        self._store = store
        self._executor = executor
        self._dataset_keys = dataset_keys
        self._notify = notify
        self._waiting: dict[str, int] = {}
        self._users: dict[str, list[str]] = {node: [] for node in graph.nodes}
        self._ready: deque[Node] = deque()
        self._nodes_of: dict[str, list[Node]] = {}
        """By key, what is queued, running or lost: the nodes that share it, first come first."""
        self._queue = StageQueue()
        self._running: dict[Future[str], str] = {}
        self._lost: deque[str] = deque()
        self._alone: str | None = None
        self._by_key: dict[str, NodeResult] = {}
        for node in graph.nodes.values():
            inputs = set(node.inputs.values())
            self._waiting[node.id] = len(inputs)
            for source in sorted(inputs):
                self._users[source].append(node.id)
            if not inputs:
                self._ready.append(node)

    def run(self) -> dict[str, NodeResult]:
        """Resolve every node. Raises `StoreError` when the store cannot be written."""
        while self._ready or self._nodes_of:
            while self._ready:
                self._resolve(self._ready.popleft())
            if self._lost:
                self._retry_alone()
            else:
                self._fill_slots()
            if self._running:
                done, _ = wait(self._running, return_when=FIRST_COMPLETED)
                for future in done:
                    self._finish(future)
        return self.results

    def _resolve(self, node: Node) -> None:
        """End a node whose inputs are there, or queue it if it takes work."""
        failed = next(
            (source for source in node.inputs.values() if not self.results[source].ok), None
        )
        if failed is not None:
            first = self.results[failed]
            cause = first.cause or failed
            self._end(node, NodeResult("failed", error=first.error, cause=cause))
            return
        digests = {source: self.results[source].digest or "" for source in node.inputs.values()}
        key = node.key(digests)
        if key in self._by_key:
            self._share(node, self._by_key[key])
        elif key in self._nodes_of:
            self._nodes_of[key].append(node)
        elif (present := self._store.get(key)) is not None:
            result = NodeResult("cached", key, present.digest, present.value, present.seconds)
            self._by_key[key] = result
            self._end(node, result)
        else:
            self._nodes_of[key] = [node]
            self._queue.add(key, node.occupant)

    def _fill_slots(self) -> None:
        while len(self._running) < self._executor.slots:
            key = self._queue.take(taken=self._machine_is_taken())
            if key is None:
                return
            self._notify("started", self._nodes_of[key][0], None)
            self._submit(key)

    def _machine_is_taken(self) -> bool:
        return any(self._nodes_of[key][0].occupant is not None for key in self._running.values())

    def _retry_alone(self) -> None:
        """Run a stage that was lost with a worker once more, with no other beside it.

        A worker's death loses what all of them were doing; whose fault it was shows like this.
        """
        if not self._running:
            self._alone = self._lost.popleft()
            self._submit(self._alone)

    def _submit(self, key: str) -> None:
        self._running[self._executor.submit(self._task(key))] = key

    def _task(self, key: str) -> str:
        """Return what a worker needs to know of a stage."""
        node = self._nodes_of[key][0]
        inputs = {role: self.results[source].key for role, source in node.inputs.items()}
        if node.dataset is not None:
            inputs["dataset"] = self._dataset_keys[node.dataset]
        task = {
            "stage": node.stage,
            "key": key,
            "occupant": node.occupant,
            "parts": {
                role: dict(part.identity) | {"parameters": dict(part.parameters)}
                for role, part in node.parts.items()
            },
            "parameters": dict(node.parameters),
            "inputs": inputs,
        }
        return json.dumps(task)

    def _finish(self, future: Future[str]) -> None:
        key = self._running.pop(future)
        try:
            outcome = json.loads(future.result())
        except BrokenExecutor:
            if key != self._alone:
                self._lost.append(key)
                return
            outcome = {
                "status": "failed",
                "error": "the worker process died; was it out of memory?",
                "traceback": None,
                "fatal": False,
            }
        if outcome["status"] == "failed":
            if outcome["fatal"]:
                raise StoreError(outcome["error"])
            result = NodeResult(
                "failed", key, error=outcome["error"], traceback=outcome["traceback"]
            )
        else:
            result = NodeResult(
                outcome["status"], key, outcome["digest"], outcome["value"], outcome["seconds"]
            )
        self._by_key[key] = result
        first, *others = self._nodes_of.pop(key)
        self._end(first, result)
        for node in others:
            self._share(node, result)

    def _share(self, node: Node, result: NodeResult) -> None:
        """Give a node the result of another one with the same key."""
        if not result.ok:
            self._end(node, result)
            return
        self._end(
            node, NodeResult("shared", result.key, result.digest, result.value, result.seconds)
        )

    def _end(self, node: Node, result: NodeResult) -> None:
        self.results[node.id] = result
        self._notify("ended", node, result)
        for user in self._users[node.id]:
            self._waiting[user] -= 1
            if not self._waiting[user]:
                self._ready.append(self._graph.nodes[user])
