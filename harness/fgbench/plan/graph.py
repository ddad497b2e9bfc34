"""The stage graph of a matrix: every stage once, however many cells stand on it.

A node's `id` is its recipe; it is known before any work. A stage's key is known when its inputs
are there: it holds the digests of their contents, so that two recipes that lead to the same
training set, say, train once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fgbench.digests import digest
from fgbench.loop.stages import MEMBER, VERSIONS
from fgbench.parts.calibrator import MEMBERS
from fgbench.parts.classifier import CAPABILITY_OUTPUTS

if TYPE_CHECKING:
    from fgbench.plan.cells import Cell
    from fgbench.plan.resolve import ResolvedDataset, ResolvedPart, ResolvedSuite
    from fgbench.plan.suite import Suite

BOOTSTRAP_SEED = 0
"""All seeds of an entry share one test split, so they are resampled alike: were each resampled by
itself, averaging over seeds would hide the uncertainty that the test points bring."""


@dataclass(frozen=True)
class Node:
    """One stage: what it is made of, and the nodes whose artefacts it reads.

    `parts` are known by their identities; what they are made from may have paths of this machine.
    `parameters` are JSON values. `dataset` is the digest of the data set it reads
    itself, if it does.
    """

    id: str
    stage: str
    label: str
    parts: Mapping[str, ResolvedPart]
    parameters: Mapping[str, Any]
    inputs: Mapping[str, str]
    dataset: str | None

    @cached_property
    def occupant(self) -> str | None:
        """Who has the machine while the stage runs: a digest of its exclusive parts' identities.

        None without such a part. Stages with an occupant take turns, those with the same one gladly
        behind each other.
        """
        exclusive = {role: part for role, part in self.parts.items() if part.exclusive}
        return digest(_identities(exclusive)) if exclusive else None

    def key(self, digests: Mapping[str, str]) -> str:
        """Return the stage key, given the content digest of each input node (by node id)."""
        return digest(
            {
                "stage": self.stage,
                "version": VERSIONS[self.stage],
                "parts": _identities(self.parts),
                "parameters": dict(self.parameters),
                "inputs": {role: digests[node] for role, node in self.inputs.items()},
                "dataset": self.dataset,
            }
        )


@dataclass
class CellNodes:
    """The nodes that one cell ends in."""

    cell: Cell
    train: str
    calibrate: str
    evaluate: str
    targets: str | None = None
    samples: str | None = None
    fidelity: str | None = None
    """What the baseline classifier says of the samples, for classifiers that save their weights."""
    influence: str | None = None
    """What each sample would do to the baseline, for those that show their linear head as well."""


@dataclass
class Graph:
    """All nodes, inputs before users, and the nodes of each cell in the matrix's order."""

    nodes: dict[str, Node] = field(default_factory=dict)
    cells: list[CellNodes] = field(default_factory=list)
    datasets: dict[str, ResolvedDataset] = field(default_factory=dict)

    def add(
        self,
        stage: str,
        label: str,
        *,
        parts: Mapping[str, ResolvedPart] | None = None,
        parameters: Mapping[str, Any] | None = None,
        inputs: Mapping[str, str] | None = None,
        dataset: str | None = None,
    ) -> str:
        """Add a node unless it is there, and return its id."""
        recipe = {
            "stage": stage,
            "parts": _identities(parts or {}),
            "parameters": dict(parameters or {}),
            "inputs": dict(inputs or {}),
            "dataset": dataset,
        }
        node_id = digest(recipe)
        if node_id not in self.nodes:
            self.nodes[node_id] = Node(
                node_id, stage, label, parts or {}, parameters or {}, inputs or {}, dataset
            )
        return node_id


def build_graph(resolved: ResolvedSuite, cells: list[Cell]) -> Graph:
    """Return the graph that the cells stand on."""
    graph = Graph()
    needed = frozenset().union(*(part.needs for part in resolved.calibrators))
    for cell in cells:
        graph.datasets[cell.dataset.dataset.digest] = cell.dataset
        graph.cells.append(_add_cell(graph, resolved, cell, needed))
    return graph


def _add_cell(
    graph: Graph, resolved: ResolvedSuite, cell: Cell, needed: frozenset[str]
) -> CellNodes:
    suite = resolved.suite
    training = _Training(graph, suite, cell, needed).add()
    inputs = {"predictions": training.train}
    if MEMBERS in cell.calibrator.needs:
        for seed in suite.seeds:
            member = _Training(graph, suite, replace(cell, seed=seed), needed).add()
            inputs[f"{MEMBER}{seed}"] = member.train
    calibrated = graph.add(
        "calibrate",
        cell.label,
        parts={"calibrator": cell.calibrator},
        parameters={"protocol": cell.protocol, "seed": cell.seed},
        inputs=inputs,
    )
    evaluated = graph.add(
        "evaluate",
        cell.label,
        parts={part.label: part for part in resolved.metrics},
        parameters={"replicates": suite.replicates, "seed": BOOTSTRAP_SEED},
        inputs={"predictions": calibrated},
    )
    return CellNodes(cell, calibrate=calibrated, evaluate=evaluated, **asdict(training))


@dataclass
class TrainingNodes:
    """The nodes that a cell's training ends in, and what it stands on."""

    train: str
    targets: str | None = None
    samples: str | None = None
    fidelity: str | None = None
    influence: str | None = None


class _Training:
    """What leads to one trained classifier: the baseline, or an arm with its synthetic inputs."""

    def __init__(self, graph: Graph, suite: Suite, cell: Cell, needed: frozenset[str]) -> None:
        self._graph = graph
        self._suite = suite
        self._cell = cell
        self._data = cell.dataset.dataset.digest
        self._where = f"{cell.dataset.part.label} · {cell.classifier.label}"
        self._split = {"protocol": cell.protocol, "seed": cell.seed}
        wanted = needed & cell.classifier.provides
        self._outputs = [out for name, out in sorted(CAPABILITY_OUTPUTS.items()) if name in wanted]

    def add(self) -> TrainingNodes:
        """Add all nodes that are not there yet."""
        cell = self._cell
        if cell.generator is None or cell.bins is None:
            return TrainingNodes(self._train(cell.arm, {}))
        baseline = self._train("baseline", {})
        design = "random" if cell.arm == "random-bins" else "targeted"
        label = f"{self._where} · {cell.bins} bins · seed {cell.seed}"
        targets = self._target(label, design, baseline)
        label = f"{label} · {cell.generator.label} · {design}"
        samples = self._graph.add(
            "synthesise",
            label,
            parts=_generating(cell.generator, cell.dataset.part),
            parameters={
                "examples_per_class": self._suite.examples_per_class,
                "retries": self._suite.retries,
                "drop_near_duplicates": self._suite.drop_near_duplicates,
            }
            | self._split,
            inputs={"targets": targets},
            dataset=self._data,
        )
        return TrainingNodes(
            self._train(cell.arm, {"targets": targets, "samples": samples}),
            targets,
            samples,
            self._fidelity(label, samples, baseline),
            self._influence(label, samples, baseline),
        )

    def _train(self, arm: str, inputs: Mapping[str, str]) -> str:
        label = f"{self._where} · {arm} · seed {self._cell.seed}"
        composition = self._graph.add(
            "compose",
            label,
            parameters={"arm": arm} | self._split,
            inputs=inputs,
            dataset=self._data,
        )
        return self._graph.add(
            "train",
            label,
            parts={"classifier": self._cell.classifier, "loss": self._cell.loss},
            parameters={"outputs": self._outputs, "seed": self._cell.seed},
            inputs={"composition": composition},
            dataset=self._data,
        )

    def _target(self, label: str, design: str, baseline: str) -> str:
        suite = self._suite
        parameters = {
            "design": "targeted",
            "bins": self._cell.bins,
            "selector": suite.selector,
            "threshold": suite.threshold,
            "alpha": suite.alpha if suite.selector == "significant" else None,
        } | self._split
        inputs = {"predictions": baseline}
        targets = self._graph.add("target", label, parameters=parameters, inputs=inputs)
        if design == "targeted":
            return targets
        return self._graph.add(
            "target",
            f"{label} · {design}",
            parameters=parameters | {"design": design},
            inputs=inputs | {"targets": targets},
        )

    def _fidelity(self, label: str, samples: str, baseline: str) -> str | None:
        if "weights" not in self._cell.classifier.provides:
            return None
        return self._graph.add(
            "fidelity",
            label,
            parts={"classifier": self._cell.classifier},
            inputs={"samples": samples, "model": baseline},
            dataset=self._data,
        )

    def _influence(self, label: str, samples: str, baseline: str) -> str | None:
        if why_no_influence(self._cell) is not None:
            return None
        parts = {"classifier": self._cell.classifier}
        sensitivity = self._graph.add(
            "sensitivity",
            f"{self._where} · seed {self._cell.seed}",
            parts=parts,
            parameters=self._split,
            inputs={"model": baseline},
            dataset=self._data,
        )
        return self._graph.add(
            "influence",
            label,
            parts=parts,
            inputs={"samples": samples, "model": baseline, "sensitivity": sensitivity},
            dataset=self._data,
        )


def why_no_influence(cell: Cell) -> str | None:
    """Return why the influence of synthetic inputs cannot be had, or None."""
    name = cell.classifier.name
    if "weights" not in cell.classifier.provides:
        return f"classifier {name!r} keeps no weights"
    if "linear_head" not in cell.classifier.provides:
        return f"classifier {name!r} does not show its linear head"
    if "gradient" in cell.loss.needs:
        return f"loss {cell.loss.name!r} is not the cross-entropy that influences are of"
    return None


def _generating(generator: ResolvedPart, loader: ResolvedPart) -> dict[str, ResolvedPart]:
    parts = {"generator": generator, "dataset": loader}
    return parts if generator.relabeler is None else parts | {"relabeler": generator.relabeler}


def _identities(parts: Mapping[str, ResolvedPart]) -> dict[str, Any]:
    return {role: dict(part.identity) for role, part in parts.items()}
