"""Run the nodes of a graph of stages with an executor, in dependency order.

Each node is resolved once: from the store if its key is stored, otherwise by a worker. Nodes with
equal keys share one execution. If a node fails, only the nodes that depend on it also fail. An
artifact that is missing or corrupt when it is used is rebuilt, but only once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any

from fgbench.engine.queue import StageQueue
from fgbench.engine.task import Outcome, StageTask
from fgbench.errors import CorruptArtifactError, StoreError

if TYPE_CHECKING:
    from fgbench.parts.executor import Executor
    from fgbench.plan.graph import Graph, Node
    from fgbench.store import Artifact, Store


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
        """Whether there is an artifact."""
        return self.status != "failed"


Notify = Callable[[str, "Node", NodeResult | None], None]
"""Called with "started", "ended" or "rebuilt", the node, and its result, if there is one."""


class Scheduler:
    """Runs the nodes of one graph; `results` maps node ids to results.

    `source` returns the artifact of a source node, storing it if necessary. `stored` holds the
    artifacts that the planner found, by node id; they are not looked up again.
    """

    def __init__(
        self,
        graph: Graph,
        store: Store,
        executor: Executor,
        source: Callable[[Node], Artifact],
        notify: Notify,
        stored: Mapping[str, Artifact] | None = None,
    ) -> None:
        self.results: dict[str, NodeResult] = {}
        self.outdated = False
        """Whether a rebuild led to another content, so that results do not follow from it."""
        self._graph = graph
        self._store = store
        self._executor = executor
        self._source = source
        self._notify = notify
        self._stored = dict(stored or {})
        self._order = TopologicalSorter(
            {node.id: sorted(set(node.inputs.values())) for node in graph.nodes.values()}
        )
        self._order.prepare()
        self._ready = deque(self._order.get_ready())
        self._nodes_of: dict[str, list[Node]] = {}
        """The nodes of each key that is queued, running or lost; the first one is executed."""
        self._queue = StageQueue()
        self._running: dict[Future[str], str] = {}
        self._lost: deque[str] = deque()
        self._alone: str | None = None
        self._by_key: dict[str, NodeResult] = {}
        self._rebuilt: set[str] = set()
        self._retried: set[str] = set()
        self._blocked: dict[str, list[str]] = {}
        """The nodes that wait for each node that is being rebuilt, by node id."""

    def run(self) -> dict[str, NodeResult]:
        """Resolve every node; raises `StoreError` if the store cannot be written."""
        while self._ready or self._nodes_of:
            while self._ready:
                self._resolve(self._graph.nodes[self._ready.popleft()])
            if self._lost:
                self._retry_alone()
            else:
                self._fill_slots()
            if self._running:
                done, _ = wait(self._running, return_when=FIRST_COMPLETED)
                for future in done:
                    self._finish(future)
        return self.results

    def rebuild(self, key: str) -> None:
        """Rerun the stage of a lost artifact, once.

        If that fails, everything that depends on the artifact fails. Raises `StoreError` for a key
        that no stage of this graph has.
        """
        producer = self._producer(key)
        if producer is None:
            raise StoreError(f"artifact {key[:12]} is missing or corrupt.")
        error: str | None = f"artifact {key[:12]} was lost twice; rerun to rebuild it."
        if self._start_rebuild(key, ()):
            self.run()
            outcome = self._by_key.get(key)
            error = None if outcome is None or outcome.ok else outcome.error
        if error is not None:
            self._fail(producer, error)

    def _resolve(self, node: Node) -> None:
        """End a node whose inputs are ready, or queue it if it must be run."""
        failed = next(
            (source for source in node.inputs.values() if not self.results[source].ok), None
        )
        if failed is not None:
            first = self.results[failed]
            cause = first.cause or failed
            self._end(node, NodeResult("failed", error=first.error, cause=cause))
            return
        if node.source:
            self._end_cached(node, self._source(node))
            return
        stored = self._stored.get(node.id)
        if stored is not None and is_usable(stored):
            self._end_cached(node, stored)
            return
        digests = {source: self.results[source].digest or "" for source in node.inputs.values()}
        key = node.key(digests)
        if key in self._by_key:
            self._share(node, self._by_key[key])
        elif key in self._nodes_of:
            self._nodes_of[key].append(node)
        elif (artifact := self._store.find(key)) is not None and is_usable(artifact):
            self._end_cached(node, artifact)
        else:
            self._nodes_of[key] = [node]
            self._queue.add(key, node.affinity)

    def _end_cached(self, node: Node, artifact: Artifact) -> None:
        shared = artifact.key in self._by_key
        result = NodeResult(
            "shared" if shared else "cached",
            artifact.key,
            artifact.digest,
            artifact.value,
            artifact.seconds,
        )
        self._by_key.setdefault(artifact.key, result)
        self._end(node, result)

    def _fill_slots(self) -> None:
        while len(self._running) < self._executor.slots:
            key = self._queue.take(taken=self._host_is_taken())
            if key is None:
                return
            self._notify("started", self._nodes_of[key][0], None)
            self._submit(key)

    def _host_is_taken(self) -> bool:
        return any(self._nodes_of[key][0].resources.whole_host for key in self._running.values())

    def _retry_alone(self) -> None:
        """Rerun a stage that was lost with a worker, without any other stage running.

        If a worker dies, the pool loses the stages of all its workers; running them one by one
        shows which stage is the cause.
        """
        if not self._running:
            self._alone = self._lost.popleft()
            self._submit(self._alone)

    def _submit(self, key: str) -> None:
        self._running[self._executor.submit(self._task(key).to_json())] = key

    def _task(self, key: str) -> StageTask:
        node = self._nodes_of[key][0]
        return StageTask(
            key=key,
            stage=node.stage,
            label=node.label,
            parts={
                role: dict(part.identity) | {"parameters": dict(part.parameters)}
                for role, part in node.parts.items()
            },
            params=dict(node.parameters),
            inputs={role: str(self.results[source].key) for role, source in node.inputs.items()},
            affinity=node.affinity,
        )

    def _finish(self, future: Future[str]) -> None:
        key = self._running.pop(future)
        try:
            outcome = Outcome.from_json(future.result())
        except BrokenExecutor:
            if key != self._alone:
                self._lost.append(key)
                return
            outcome = Outcome("failed", error="the worker process was killed (out of memory?)")
        if outcome.fatal:
            raise StoreError(str(outcome.error))
        nodes = self._nodes_of.pop(key)
        if outcome.lost_input and self._start_rebuild(outcome.lost_input, nodes):
            return
        result = NodeResult(
            outcome.status,
            key,
            outcome.digest,
            outcome.value,
            outcome.seconds,
            outcome.error,
            outcome.traceback,
        )
        self._by_key[key] = result
        first, *others = nodes
        self._end(first, result)
        for node in others:
            self._share(node, result)

    def _start_rebuild(self, key: str, blocked: list[Node] | tuple[()]) -> bool:
        """Schedule the node that produces `key`, and the `blocked` nodes after it.

        Return False if there is no such node, or if `key` was lost again after it was rebuilt.
        """
        producer = self._producer(key)
        if producer is None:
            return False
        waiting = self._blocked.get(producer)
        if waiting is None:
            if key in self._rebuilt:
                # A stage that started before the rebuild may have missed it: it tries once more.
                late = [node.id for node in blocked if node.id not in self._retried]
                self._retried.update(late)
                self._ready.extend(late)
                return bool(late)
            self._rebuilt.add(key)
            self._by_key.pop(key, None)
            self._stored.pop(producer, None)
            waiting = self._blocked[producer] = []
            self._ready.append(producer)
        waiting += [node.id for node in blocked]
        return True

    def _producer(self, key: str) -> str | None:
        """Return the id of a node that makes `key`."""
        return next((node for node, result in self.results.items() if result.key == key), None)

    def _share(self, node: Node, result: NodeResult) -> None:
        """End a node with the result of another node with the same key."""
        if not result.ok:
            self._end(node, result)
            return
        self._end(
            node, NodeResult("shared", result.key, result.digest, result.value, result.seconds)
        )

    def _end(self, node: Node, result: NodeResult) -> None:
        if node.id in self.results:
            self._end_rebuild(node, result)
            return
        self.results[node.id] = result
        self._notify("ended", node, result)
        self._order.done(node.id)
        self._ready.extend(self._order.get_ready())

    def _end_rebuild(self, node: Node, result: NodeResult) -> None:
        """Replace the lost artifact of a node, for the nodes that share it, too.

        If the rebuild failed, the nodes that wait for it fail with it; others keep their results.
        """
        lost, previous_digest = self.results[node.id].key, self.results[node.id].digest
        self._notify("rebuilt", node, result)
        if result.ok:
            self.outdated |= result.digest != previous_digest
            for sharer, previous in self.results.items():
                if previous.key == lost:
                    self.results[sharer] = result
            self._ready.extend(self._blocked.pop(node.id, ()))
            return
        for waiting in self._blocked.pop(node.id, ()):
            failure = NodeResult("failed", error=result.error, cause=node.id)
            self._end(self._graph.nodes[waiting], failure)

    def _fail(self, producer: str, error: str) -> None:
        """Fail a node that had ended, and everything that depends on it."""
        failed = {producer}
        for node in self._graph.nodes.values():
            if node.id == producer or not failed.isdisjoint(node.inputs.values()):
                failed.add(node.id)
                cause = None if node.id == producer else producer
                result = NodeResult("failed", error=error, cause=cause)
                self.results[node.id] = result
                self._notify("ended", node, result)


def is_usable(artifact: Artifact) -> bool:
    """Return whether the value of an artifact is intact; reading a corrupt artifact removes it."""
    try:
        artifact.value  # noqa: B018 - verified on use
    except CorruptArtifactError:
        return False
    return True
