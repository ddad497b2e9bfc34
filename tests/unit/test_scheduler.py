"""The scheduler: worker deaths, exclusive stages and affinity."""

import json
import threading
from collections import Counter
from concurrent.futures import BrokenExecutor, Future

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fgbench.engine.queue import StageQueue
from fgbench.engine.scheduler import Scheduler
from fgbench.engine.task import Outcome
from fgbench.errors import StoreError
from fgbench.plan.graph import Graph
from fgbench.plan.resolve import ResolvedPart
from fgbench.store import Store


def schedule(graph, folder, executor):
    """Return a scheduler for a graph without source nodes that reports to nobody."""
    return Scheduler(graph, Store(folder), executor, None, lambda *event: None)


class Fragile:
    """Three workers in one pool: the stage called "killer" takes all that runs along."""

    slots = 3

    def __init__(self):
        self.running, self.submitted = [], []
        self.lock = threading.Lock()

    def submit(self, stage):
        future, name = Future(), json.loads(stage)["label"]
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
                    each.set_result(Outcome("finished", digest="d", seconds=0.1).to_json())
            self.running = [each for each in self.running if not each.done()]


@pytest.mark.parametrize("killers", [1, 2])
def test_worker_death_fails_only_its_stage(tmp_path, killers):
    graph = Graph()
    names = ["a", "killer", "b", "c", "d"] if killers == 1 else ["killer", "a", "b", "killer", "c"]
    nodes = [
        graph.add("compose", name, parameters={"arm": "real", "protocol": "strict", "seed": at})
        for at, name in enumerate(names)
    ]
    executor = Fragile()
    results = schedule(graph, tmp_path, executor).run()
    failed = [name for name, node in zip(names, nodes, strict=True) if not results[node].ok]
    assert failed == ["killer"] * killers
    assert max(executor.submitted.count(name) for name in "abc") <= 1 + killers
    assert "the worker process was killed" in results[nodes[names.index("killer")]].error


class Recorder:
    """Ends stages one by one, whichever was submitted last first; notes which ran together."""

    def __init__(self, slots):
        self.slots = slots
        self.order, self.together = [], []
        self.running = {}
        self.worker = threading.Thread(target=self.work, daemon=True)
        self.changed = threading.Condition()
        self.worker.start()

    def submit(self, stage):
        future, name = Future(), json.loads(stage)["label"]
        with self.changed:
            self.order.append(name)
            self.running[future] = name
            self.together.append(sorted(self.running.values()))
            self.changed.notify()
        return future

    def work(self):
        while True:
            with self.changed:
                # A moment, so that the scheduler can fill its slots before the next one ends.
                self.changed.wait(timeout=0.01)
                if not self.running:
                    continue
                future, name = self.running.popitem()
            future.set_result(Outcome("finished", digest=name, seconds=0.1).to_json())


def part(name, *, exclusive):
    none = frozenset()
    return ResolvedPart("classifier", name, {"name": name}, {}, none, none, exclusive=exclusive)


def trains(graph, names):
    """Add a stage for each name, "A1" with the exclusive part A, "a1" with a part that is not."""
    for name in names:
        classifier = part(name[0], exclusive=name[0].isupper())
        seed = len(graph.nodes)
        parameters = {"outputs": [], "seed": seed}
        graph.add("train", name, parts={"classifier": classifier}, parameters=parameters)


@pytest.mark.parametrize("slots", [1, 2, 4])
def test_one_exclusive_stage_runs_beside_others(tmp_path, slots):
    graph, executor = Graph(), Recorder(slots)
    trains(graph, ["A1", "B1", "a1", "A2", "a2", "B2", "a3", "a4", "a5"])
    results = schedule(graph, tmp_path, executor).run()
    assert len(results) == 9 and all(result.ok for result in results.values())
    assert Counter(executor.order) == Counter(node.label for node in graph.nodes.values())
    for names in executor.together:
        assert sum(name[0].isupper() for name in names) <= 1
    assert max(map(len, executor.together)) == slots


def test_exclusive_stages_of_same_parts_run_consecutively(tmp_path):
    graph, executor = Graph(), Recorder(1)
    trains(graph, ["A1", "B1", "C1", "A2", "b1", "B2", "A3", "C2"])
    schedule(graph, tmp_path, executor).run()
    assert executor.order == ["A1", "A2", "A3", "B1", "B2", "C1", "b1", "C2"]


def test_exclusive_not_in_stage_key():
    keys = []
    for exclusive in (True, False):
        graph = Graph()
        classifier = part("a", exclusive=exclusive)
        parameters = {"outputs": [], "seed": 0}
        node = graph.add("train", "", parts={"classifier": classifier}, parameters=parameters)
        keys.append((node, graph.nodes[node].key({})))
        assert (graph.nodes[node].affinity is not None) is exclusive
        assert graph.nodes[node].resources.whole_host is exclusive
    assert keys[0] == keys[1]


@given(st.lists(st.sampled_from(["add A", "add B", "add", "take", "take beside"]), max_size=40))
def test_queued_stages_are_taken_once(steps):
    queue, waiting, last = StageQueue(), [], "none yet"
    for at, step in enumerate([*steps, *["take"] * len(steps)]):
        if step.startswith("add"):
            affinity = step[4:] or None
            queue.add(str(at), affinity)
            waiting.append((str(at), affinity))
            continue
        taken = step == "take beside"
        key = queue.take(taken=taken)
        allowed = [item for item in waiting if item[1] is None or not taken]
        if not allowed:
            assert key is None
            continue
        affinity = dict(waiting)[key]
        # First come, but for the affinity that was taken last.
        turn = allowed[0][1]
        assert (affinity is None) is (turn is None)
        if affinity is not None:
            assert affinity == (last if last in dict(waiting).values() else turn)
            last = affinity
        assert key == next(name for name, each in waiting if each == affinity)
        waiting.remove((key, affinity))
    assert not waiting


def test_undeclared_roles_and_parameters_are_refused():
    graph = Graph()
    parameters = {"arm": "real", "protocol": "strict", "seed": 0}
    with pytest.raises(TypeError, match="stage 'compose' has no input 'models'"):
        graph.add("compose", "", parameters=parameters, inputs={"models": "0"})
    with pytest.raises(TypeError, match="stage 'compose' has no part 'classifier'"):
        graph.add(
            "compose", "", parts={"classifier": part("a", exclusive=False)}, parameters=parameters
        )
    with pytest.raises(ValidationError, match="bins"):
        graph.add("compose", "", parameters=parameters | {"bins": 3})


class Scripted:
    """Ends each stage with the next outcome of its label; "lost" loses the artifact it read."""

    slots = 2

    def __init__(self, **outcomes):
        self.outcomes = {label: list(script) for label, script in outcomes.items()}
        self.order = []

    def submit(self, text):
        task = json.loads(text)
        self.order.append(task["label"])
        script = self.outcomes.get(task["label"], [])
        outcome = script.pop(0) if script else Outcome("finished", digest=task["label"])
        if outcome == "lost":
            outcome = Outcome("failed", error="lost", lost_input=task["inputs"]["composition"])
        future = Future()
        future.set_result(outcome.to_json())
        return future


def chain(graph, *users):
    """Add the stage "first", and stages that read its artifact."""
    parameters = {"arm": "real", "protocol": "strict", "seed": 0}
    first = graph.add("compose", "first", parameters=parameters)
    for seed, label in enumerate(users):
        graph.add(
            "train",
            label,
            parts={"classifier": part("a", exclusive=False)},
            parameters={"outputs": [], "seed": seed},
            inputs={"composition": first},
        )
    return first


def by_label(graph, results):
    return {graph.nodes[node].label: result for node, result in results.items()}


def test_lost_input_is_rebuilt_once_for_all_stages_that_read_it(tmp_path):
    graph, executor = Graph(), Scripted(a=["lost"], b=["lost"])
    chain(graph, "a", "b")
    results = by_label(graph, schedule(graph, tmp_path, executor).run())
    assert all(result.ok for result in results.values())
    assert Counter(executor.order) == {"first": 2, "a": 2, "b": 2}


def test_failed_rebuild_fails_waiting_stages_with_its_error(tmp_path):
    failure = Outcome("failed", error="boom")
    graph = Graph()
    executor = Scripted(first=[Outcome("finished", digest="1"), failure], a=["lost"])
    first = chain(graph, "a", "b")
    results = by_label(graph, schedule(graph, tmp_path, executor).run())
    assert (results["a"].error, results["a"].cause) == ("boom", first)
    assert executor.order.count("a") == 1
    assert results["first"].ok and results["b"].ok  # b had read the artifact before it was lost


def test_input_that_is_lost_again_after_its_rebuild_fails_the_stage(tmp_path):
    graph, executor = Graph(), Scripted(a=["lost"] * 9)
    chain(graph, "a")
    results = by_label(graph, schedule(graph, tmp_path, executor).run())
    assert results["a"].error == "lost"
    assert executor.order.count("first") == 2


def test_artifact_lost_after_the_run_is_rebuilt_once(tmp_path):
    graph, executor = Graph(), Scripted()
    first = chain(graph, "a")
    scheduler = schedule(graph, tmp_path, executor)
    key = scheduler.run()[first].key
    scheduler.rebuild(key)
    assert executor.order == ["first", "a", "first"]
    assert all(result.ok for result in scheduler.results.values())
    assert not scheduler.outdated
    scheduler.rebuild(key)
    assert executor.order == ["first", "a", "first"]
    assert [result.error is None for result in scheduler.results.values()] == [False, False]
    with pytest.raises(StoreError, match="is missing or corrupt"):
        scheduler.rebuild("0" * 64)


def test_failed_rebuild_after_the_run_fails_dependent_stages(tmp_path):
    outcomes = [Outcome("finished", digest="1"), Outcome("failed", error="boom")]
    graph, executor = Graph(), Scripted(first=outcomes)
    first = chain(graph, "a")
    scheduler = schedule(graph, tmp_path, executor)
    scheduler.rebuild(scheduler.run()[first].key)
    results = by_label(graph, scheduler.results)
    assert results["first"].error == results["a"].error == "boom"
    assert results["a"].cause == first


def test_rebuild_with_other_content_marks_results_as_outdated(tmp_path):
    outcomes = [Outcome("finished", digest="1"), Outcome("finished", digest="2")]
    graph, executor = Graph(), Scripted(first=outcomes, a=["lost"])
    chain(graph, "a")
    scheduler = schedule(graph, tmp_path, executor)
    scheduler.run()
    assert scheduler.outdated
