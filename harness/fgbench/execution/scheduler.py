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

from fgbench.errors import StoreError

if TYPE_CHECKING:
    from fgbench.matrix.graph import Graph, Node
    from fgbench.parts.interfaces import Executor
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
        self._ready: deque[str] = deque()
        self._by_key: dict[str, NodeResult] = {}
        self._running: dict[Future[str], list[str]] = {}
        self._future_of: dict[str, Future[str]] = {}
        self._tasks: dict[str, str] = {}
        self._lost: dict[str, list[str]] = {}
        self._alone: str | None = None
        for node in graph.nodes.values():
            inputs = set(node.inputs.values())
            self._waiting[node.id] = len(inputs)
            for source in sorted(inputs):
                self._users[source].append(node.id)
            if not inputs:
                self._ready.append(node.id)

    def run(self) -> dict[str, NodeResult]:
        """Resolve every node. Raises `StoreError` when the store cannot be written."""
        while self._ready or self._running or self._lost:
            if self._lost:
                self._retry_alone()
            else:
                while self._ready and len(self._running) < self._executor.slots:
                    self._start(self._graph.nodes[self._ready.popleft()])
            if self._running:
                done, _ = wait(self._running, return_when=FIRST_COMPLETED)
                for future in done:
                    self._finish(future)
        return self.results

    def _retry_alone(self) -> None:
        """Run a stage that was lost with a worker once more, with no other beside it.

        A worker's death loses what all of them were doing; whose fault it was shows like this.
        """
        if not self._running:
            self._alone = next(iter(self._lost))
            self._submit(self._alone, self._lost.pop(self._alone))

    def _start(self, node: Node) -> None:
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
        elif key in self._future_of:
            self._running[self._future_of[key]].append(node.id)
        else:
            self._resolve(node, key)

    def _resolve(self, node: Node, key: str) -> None:
        present = self._store.get(key)
        if present is not None:
            result = NodeResult("cached", key, present.digest, present.value, present.seconds)
            self._by_key[key] = result
            self._end(node, result)
            return
        inputs = {role: self.results[source].key for role, source in node.inputs.items()}
        if node.dataset is not None:
            inputs["dataset"] = self._dataset_keys[node.dataset]
        task = {
            "stage": node.stage,
            "key": key,
            "parts": {
                role: dict(part.identity) | {"parameters": dict(part.parameters)}
                for role, part in node.parts.items()
            },
            "parameters": dict(node.parameters),
            "inputs": inputs,
        }
        self._notify("started", node, None)
        self._tasks[key] = json.dumps(task)
        self._submit(key, [node.id])

    def _submit(self, key: str, nodes: list[str]) -> None:
        future = self._executor.submit(self._tasks[key])
        self._running[future] = nodes
        self._future_of[key] = future

    def _finish(self, future: Future[str]) -> None:
        node_ids = self._running.pop(future)
        nodes = [self._graph.nodes[node_id] for node_id in node_ids]
        key = next(key for key, running in self._future_of.items() if running is future)
        del self._future_of[key]
        try:
            outcome = json.loads(future.result())
        except BrokenExecutor:
            if key != self._alone:
                self._lost[key] = node_ids
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
        del self._tasks[key]
        self._by_key[key] = result
        self._end(nodes[0], result)
        for node in nodes[1:]:
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
                self._ready.append(user)
