"""The stage graph of a matrix: every stage once, however many cells depend on it.

A node's `id` is the digest of its recipe and known before any work. A stage's key is known when its
inputs are: it includes the digests of their contents, so two recipes that lead to the same training
set train once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fgbench.coordinates import dose_text
from fgbench.digests import digest
from fgbench.loop.arms import DESIGNS, MATCHED_DESIGNS
from fgbench.parts.calibrator import MEMBERS
from fgbench.parts.classifier import CAPABILITY_OUTPUTS
from fgbench.stages import STAGES, Resources
from fgbench.stages.calibrate import member_role
from fgbench.stages.dataset import DATASET_ROLE

if TYPE_CHECKING:
    from fgbench.plan.cells import Cell
    from fgbench.plan.resolve import ResolvedDataset, ResolvedPart, ResolvedSuite
    from fgbench.plan.suite import Suite
    from fgbench.samples import Design
    from fgbench.store import Artifact

BOOTSTRAP_SEED = 0
"""All seeds of an entry share one test split, so they are resampled alike. Resampling each seed by
itself would average out the uncertainty that comes from the test points."""


@dataclass(frozen=True)
class Node:
    """One stage: what it is made of, and the nodes whose artifacts it reads.

    `parts` are known by their identities; what they are made from may hold paths of this machine.
    `parameters` are JSON values. A `source` node has a known key and nothing to run: it represents
    a data set, and its id is the digest of that.
    """

    id: str
    stage: str
    label: str
    parts: Mapping[str, ResolvedPart] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    source: bool = False

    @cached_property
    def resources(self) -> Resources:
        """What the stage takes while it runs."""
        return STAGES[self.stage].resources(self.parts)

    @cached_property
    def affinity(self) -> str | None:
        """Digest of the exclusive parts: stages that share it can share what these load.

        None for a stage without such a part.
        """
        exclusive = {role: part for role, part in self.parts.items() if part.exclusive}
        return digest(_identities(exclusive)) if exclusive else None

    def key(self, digests: Mapping[str, str]) -> str:
        """Return the stage key, given the content digest of each input node (by node id)."""
        if self.source:
            return self.id
        recipe = _recipe(self.stage, self.parts, self.parameters, self.inputs)
        recipe["version"] = STAGES[self.stage].version
        recipe["inputs"] = {role: digests[node] for role, node in recipe["inputs"].items()}
        return digest(recipe, is_json=True)


@dataclass(frozen=True, kw_only=True)
class TrainingNodes:
    """The nodes that lead to one trained classifier, and what is known of its synthetic inputs."""

    train: str
    targets: str | None = None
    samples: str | None = None
    fidelity: str | None = None
    """What the baseline classifier makes of the samples, if it saves its weights."""
    influence: str | None = None
    """What each sample would do to the baseline, if that also exposes its linear head."""


@dataclass(frozen=True, kw_only=True)
class CellNodes(TrainingNodes):
    """The nodes of one cell."""

    cell: Cell
    calibrate: str
    evaluate: str


@dataclass
class Graph:
    """All nodes, inputs before users, and the nodes of each cell in the order of the matrix."""

    nodes: dict[str, Node] = field(default_factory=dict)
    cells: list[CellNodes] = field(default_factory=list)
    datasets: dict[str, ResolvedDataset] = field(default_factory=dict)
    """The data set of each source node."""

    @property
    def n_stages(self) -> int:
        """The number of stages, source nodes not counted."""
        return sum(not node.source for node in self.nodes.values())

    def add_dataset(self, dataset: ResolvedDataset) -> str:
        """Add the source node of a data set unless it exists, and return its id."""
        node_id = dataset.dataset.digest
        if node_id not in self.nodes:
            self.nodes[node_id] = Node(node_id, DATASET_ROLE, dataset.part.label, source=True)
            self.datasets[node_id] = dataset
        return node_id

    def add(
        self,
        stage: str,
        label: str,
        *,
        parts: Mapping[str, ResolvedPart] | None = None,
        parameters: Mapping[str, Any] | None = None,
        inputs: Mapping[str, str] | None = None,
    ) -> str:
        """Add a node unless it exists, and return its id.

        Raises if roles or parameters are not those that the stage declares.
        """
        declared = STAGES[stage]
        declared.check_roles(parts or {}, inputs or {})
        params = declared.Params.model_validate(parameters or {}).model_dump(
            mode="json", exclude_defaults=True
        )
        node_id = digest(_recipe(stage, parts or {}, params, inputs or {}), is_json=True)
        if node_id not in self.nodes:
            self.nodes[node_id] = Node(node_id, stage, label, parts or {}, params, inputs or {})
        return node_id

    def resolve(
        self, find: Callable[[str], Artifact | None]
    ) -> Iterator[tuple[Node, Artifact | None]]:
        """Yield every node with its stored artifact, inputs before users.

        `find` looks up a key. A node has None if its artifact is not stored, or if its key is not
        known yet because an input is not stored.
        """
        digests: dict[str, str] = {}
        for node in self.nodes.values():
            artifact = None
            if all(source in digests for source in node.inputs.values()):
                artifact = find(node.key(digests))
            if artifact is not None:
                digests[node.id] = artifact.digest
            elif node.source:
                digests[node.id] = node.id  # enters keys by its own key, stored or not
            yield node, artifact


def build_graph(resolved: ResolvedSuite, cells: list[Cell]) -> Graph:
    """Return the graph that the cells depend on."""
    graph = Graph()
    needed = frozenset().union(*(part.needs for part in resolved.calibrators))
    for cell in cells:
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
            inputs[member_role(seed)] = member.train
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
        inputs={"predictions": calibrated, DATASET_ROLE: graph.add_dataset(cell.dataset)},
    )
    return CellNodes(cell=cell, calibrate=calibrated, evaluate=evaluated, **vars(training))


class _Training:
    """Adds what leads to one trained classifier: the baseline, or an arm with its generation."""

    def __init__(self, graph: Graph, suite: Suite, cell: Cell, needed: frozenset[str]) -> None:
        self._graph = graph
        self._suite = suite
        self._cell = cell
        self._data = {DATASET_ROLE: graph.add_dataset(cell.dataset)}
        self._where = f"{cell.dataset.label} · {cell.classifier.label}"
        self._split = {"protocol": cell.protocol, "seed": cell.seed}
        requested = needed & cell.classifier.provides
        self._outputs = [
            out for name, out in sorted(CAPABILITY_OUTPUTS.items()) if name in requested
        ]

    def add(self) -> TrainingNodes:
        """Add the nodes that do not exist yet."""
        cell = self._cell
        if cell.generator is None or cell.bins is None:
            return TrainingNodes(train=self._train(cell.arm, {}))
        baseline = self._train("baseline", {})
        design = DESIGNS[cell.arm]
        label = f"{self._where} · {cell.bins} bins{dose_text(cell.dose)} · seed {cell.seed}"
        targets = self._target(label, design, baseline)
        samples = self._synthesise(label, design, targets)
        label = self._graph.nodes[samples].label
        return TrainingNodes(
            train=self._train(cell.arm, {"targets": targets, "samples": samples}),
            targets=targets,
            samples=samples,
            fidelity=self._fidelity(label, samples, baseline),
            influence=self._influence(label, samples, baseline),
        )

    def _train(self, arm: str, inputs: Mapping[str, str]) -> str:
        label = f"{self._where} · {arm} · seed {self._cell.seed}"
        composition = self._graph.add(
            "compose",
            label,
            parameters={"arm": arm} | self._split,
            inputs=dict(inputs) | self._data,
        )
        return self._graph.add(
            "train",
            label,
            parts={"classifier": self._cell.classifier, "loss": self._cell.loss},
            parameters={"outputs": self._outputs, "seed": self._cell.seed},
            inputs={"composition": composition} | self._data,
        )

    def _target(self, label: str, design: Design, baseline: str) -> str:
        suite = self._suite
        parameters = {
            "design": "targeted",
            "bins": self._cell.bins,
            "selector": suite.selector,
            "threshold": suite.threshold,
            "alpha": suite.alpha if suite.selector == "significant" else None,
        } | self._split
        dose = {"dose": self._cell.dose}
        inputs = {"predictions": baseline}

        def add(name: str, parameters: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
            return self._graph.add("target", name, parameters=parameters, inputs=inputs)

        # Random bins mirror the points, whatever their dose.
        targeted = add(label, parameters | ({} if design == "random" else dose), inputs)
        if design == "targeted":
            return targeted
        inputs = inputs | {"targets": targeted}
        if design in MATCHED_DESIGNS:
            inputs |= {"samples": self._synthesise(label, "targeted", targeted)}
        return add(f"{label} · {design}", parameters | dose | {"design": design}, inputs)

    def _synthesise(self, label: str, design: Design, targets: str) -> str:
        cell, suite = self._cell, self._suite
        assert cell.generator is not None
        return self._graph.add(
            "synthesise",
            f"{label} · {cell.generator.label} · {design}",
            parts=_generating(cell.generator, cell.dataset.part),
            parameters={
                "examples_per_class": suite.examples_per_class,
                "retries": suite.retries,
                "drop_near_duplicates": suite.drop_near_duplicates,
                "by_class": design in MATCHED_DESIGNS,
                "dose": cell.dose,
            }
            | self._split,
            inputs={"targets": targets} | self._data,
        )

    def _fidelity(self, label: str, samples: str, baseline: str) -> str | None:
        if "weights" not in self._cell.classifier.provides:
            return None
        return self._graph.add(
            "fidelity",
            label,
            parts={"classifier": self._cell.classifier},
            inputs={"samples": samples, "model": baseline} | self._data,
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
            inputs={"model": baseline} | self._data,
        )
        return self._graph.add(
            "influence",
            label,
            parts=parts,
            inputs={"samples": samples, "model": baseline, "sensitivity": sensitivity} | self._data,
        )


def why_no_influence(cell: Cell) -> str | None:
    """Return why the influence of synthetic inputs is not available, or None."""
    name = cell.classifier.name
    if "weights" not in cell.classifier.provides:
        return f"classifier {name!r} keeps no weights"
    if "linear_head" not in cell.classifier.provides:
        return f"classifier {name!r} does not show its linear head"
    if "gradient" in cell.loss.needs:
        return f"loss {cell.loss.name!r} is not the cross-entropy, which influences are defined for"
    return None


def _generating(generator: ResolvedPart, loader: ResolvedPart) -> dict[str, ResolvedPart]:
    parts = {"generator": generator, "dataset": loader}
    return parts if generator.relabeler is None else parts | {"relabeler": generator.relabeler}


def _recipe(
    stage: str,
    parts: Mapping[str, ResolvedPart],
    parameters: Mapping[str, Any],
    inputs: Mapping[str, str],
) -> dict[str, Any]:
    """Return what identifies a stage before its inputs are known, as JSON values."""
    return {
        "stage": stage,
        "parts": _identities(parts),
        "parameters": dict(parameters),
        "inputs": {role: node for role, node in inputs.items() if role != DATASET_ROLE},
        "dataset": inputs.get(DATASET_ROLE),
    }


def _identities(parts: Mapping[str, ResolvedPart]) -> dict[str, Any]:
    return {role: dict(part.identity) for role, part in parts.items()}
