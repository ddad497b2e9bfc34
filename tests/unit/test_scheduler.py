"""The scheduler: whose fault a worker's death is."""

import json
import threading
from concurrent.futures import BrokenExecutor, Future

import pytest

from fgbench.execution.scheduler import Scheduler
from fgbench.matrix.graph import Graph
from fgbench.store import Store


class Fragile:
    """Three workers in one pool: the stage called "killer" takes all that runs along."""

    slots = 3

    def __init__(self):
        self.running, self.submitted = [], []
        self.lock = threading.Lock()

    def submit(self, stage):
        future, name = Future(), json.loads(stage)["parameters"]["name"]
        self.submitted.append(name)
        with self.lock:
            self.running.append(future)
        killing = name == "killer"
        threading.Timer(0.02 if killing else 0.2, self.end, [future, killing]).start()
        return future

    def end(self, future, killing):
        with self.lock:
            for each in self.running if killing else [future]:
                if each.done():
                    continue
                if killing:
                    each.set_exception(BrokenExecutor())
                else:
                    answer = {"status": "finished", "digest": "d", "value": None, "seconds": 0.1}
                    each.set_result(json.dumps(answer))
            self.running = [each for each in self.running if not each.done()]


@pytest.mark.parametrize("killers", [1, 2])
def test_only_the_stage_that_kills_its_worker_fails(tmp_path, killers):
    graph = Graph()
    names = ["a", "killer", "b", "c", "d"] if killers == 1 else ["killer", "a", "b", "killer", "c"]
    nodes = [
        graph.add("compose", name, parameters={"name": name, "at": at})
        for at, name in enumerate(names)
    ]
    executor = Fragile()
    results = Scheduler(graph, Store(tmp_path), executor, {}, lambda *event: None).run()
    failed = [name for name, node in zip(names, nodes, strict=True) if not results[node].ok]
    assert failed == ["killer"] * killers
    assert max(executor.submitted.count(name) for name in "abc") <= 1 + killers
    assert "worker process died" in results[nodes[names.index("killer")]].error
