"""What a suite will do: its cells, its stages, which of them are stored already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fgbench.digests import digest
from fgbench.loop.splitting import selection_rows
from fgbench.loop.stages import STAGES
from fgbench.loop.targeting import Targets
from fgbench.plan.cells import Cell, Refusal, expand
from fgbench.plan.estimates import expected_classifying, expected_usage, scaled
from fgbench.plan.graph import Graph, build_graph
from fgbench.plan.resolve import ResolvedPart, ResolvedSuite, resolve
from fgbench.plugins.references import PartReference
from fgbench.usage import Usage

if TYPE_CHECKING:
    from fgbench.cards import DataFolder
    from fgbench.loop.targeting import Source
    from fgbench.plan.graph import Node
    from fgbench.plan.suite import Suite
    from fgbench.plugins.registry import Registry
    from fgbench.store import Artifact, Store

_AXES = {"datasets", "classifiers", "losses", "generators", "calibrators", "arms", "bins", "seeds"}


@dataclass(frozen=True)
class StageCount:
    """The stages of one kind: how many there are, and how many are stored."""

    total: int
    cached: int


@dataclass(frozen=True)
class Plan:
    """A suite, checked and expanded, before any work."""

    run_id: str
    resolved: ResolvedSuite
    cells: list[Cell]
    refusals: list[Refusal]
    graph: Graph

    def to_value(self) -> dict[str, Any]:
        """Return the plan as JSON values: what a run writes to `plan.json`."""
        return {
            "run": self.run_id,
            "cells": [cell.coordinates() for cell in self.cells],
            "refused": [{"cell": item.label, "reason": item.reason} for item in self.refusals],
            "stages": {
                stage: sum(node.stage == stage for node in self.graph.nodes.values())
                for stage in STAGES
            },
        }


def make_plan(suite: Suite, registry: Registry, folder: DataFolder) -> Plan:
    """Resolve and expand a suite; every error of configuration or data is raised here."""
    resolved = resolve(suite, registry, folder)
    cells, refusals = expand(resolved)
    graph = build_graph(resolved, cells)
    return Plan(_run_id(resolved, cells), resolved, cells, refusals, graph)


def preflight(plan: Plan, store: Store, registry: Registry) -> None:
    """Let the parts of all stages that are not stored check this machine, before any work.

    Raises `ConfigurationError` or `PluginError`: see `Part.preflight`.
    """
    found: dict[str, str] = {}
    asked: dict[str, ResolvedPart] = {}
    for node in plan.graph.nodes.values():
        artifact = None
        if all(source in found for source in node.inputs.values()):
            artifact = store.get(
                node.key({source: found[source] for source in node.inputs.values()})
            )
        if artifact is not None:
            found[node.id] = artifact.digest
        else:
            asked |= {
                digest([part.kind, dict(part.identity)]): part for part in node.parts.values()
            }
    for part in asked.values():
        registry.create(part.kind, PartReference.parse(part.table())).preflight()


@dataclass
class Forecast:
    """What of a plan is stored, and what generation it will ask for."""

    stages: dict[str, StageCount]
    requests_known: int = 0
    requests_at_most: int = 0
    """Generation requests of the first round where the targets are not known yet: one for every
    selection point."""
    generators: dict[str, int] = field(default_factory=dict)
    """By generator, the requests of the first round."""
    usage: dict[str, Usage] = field(default_factory=dict)
    """By generator, about what these take, relabelling included."""
    classifying: dict[str, Usage] = field(default_factory=dict)
    """By classifier that asks a language model, about what its predictions take."""
    rounds: int = 1
    """How many rounds there can be at most, none larger than the first."""

    def usage_at_most(self, generator: str) -> Usage:
        """Return about what a generator takes if every round is as large as the first."""
        return scaled(self.usage[generator], self.rounds)


def forecast(plan: Plan, store: Store, registry: Registry) -> Forecast:
    """Look up which stages are stored, and estimate what generation the others ask for.

    A stage whose inputs are not stored yet counts as not stored; answers of language models that
    are stored already are not taken off.
    """
    found: dict[str, Artifact] = {}
    totals: dict[str, int] = dict.fromkeys(STAGES, 0)
    cached: dict[str, int] = dict.fromkeys(STAGES, 0)
    outcome = Forecast({}, rounds=2 * (plan.resolved.suite.retries + 1))
    estimate = _Estimate(plan, registry)
    for node in plan.graph.nodes.values():
        totals[node.stage] += 1
        artifact = None
        if all(source in found for source in node.inputs.values()):
            digests = {source: found[source].digest for source in node.inputs.values()}
            artifact = store.get(node.key(digests))
        if artifact is not None:
            found[node.id] = artifact
            cached[node.stage] += 1
        elif node.stage == "synthesise":
            targets = found.get(node.inputs["targets"])
            requests, usage = estimate.of(node, targets)
            if targets is not None:
                outcome.requests_known += requests
            else:
                outcome.requests_at_most += requests
            name = node.parts["generator"].label
            outcome.generators[name] = outcome.generators.get(name, 0) + requests
            outcome.usage[name] = outcome.usage.get(name, Usage()) + usage
        elif node.stage == "train" and not node.parts["classifier"].learns:
            name = node.parts["classifier"].label
            usage = outcome.classifying.get(name, Usage()) + estimate.of_classifying(node)
            outcome.classifying[name] = usage
    outcome.stages = {stage: StageCount(totals[stage], cached[stage]) for stage in STAGES}
    return outcome


class _Estimate:
    """What `synthesise` nodes will ask for; of targets that are not known yet, once a seed."""

    def __init__(self, plan: Plan, registry: Registry) -> None:
        self._plan = plan
        self._registry = registry
        self._known: dict[tuple[Any, ...], tuple[int, Usage]] = {}

    def of(self, node: Node, targets: Artifact | None) -> tuple[int, Usage]:
        """Return the number of requests of the first round, and about what they take."""
        if targets is not None:
            return self._of(node, Targets.from_value(targets.value).sources)
        case = (digest([dict(part.identity) for part in node.parts.values()]), node.dataset,
                digest(dict(node.parameters)))  # fmt: skip
        if case not in self._known:
            self._known[case] = self._of(node, None)
        return self._known[case]

    def _of(self, node: Node, sources: Sequence[Source] | None) -> tuple[int, Usage]:
        given = node.parameters
        dataset = self._plan.graph.datasets[str(node.dataset)].dataset
        labels = dataset.splits["validation"].labels
        selection = selection_rows(labels, given["protocol"], given["seed"])
        generators = {
            role: self._registry.create("generator", PartReference(part.name, part.parameters))
            for role, part in node.parts.items()
            if role in ("generator", "relabeler")
        }
        usage = expected_usage(
            generators["generator"],
            generators.get("relabeler"),
            dataset,
            self._registry.create("dataset", PartReference.parse(node.parts["dataset"].table())),
            sources,
            selection,
            seed=given["seed"],
            examples_per_class=given["examples_per_class"],
        )
        return len(selection if sources is None else sources), usage

    def of_classifying(self, node: Node) -> Usage:
        """Return about what a `train` node will ask for whose classifier is not trained."""
        part = node.parts["classifier"]
        classifier = self._registry.create("classifier", PartReference(part.name, part.parameters))
        dataset = self._plan.graph.datasets[str(node.dataset)].dataset
        return expected_classifying(classifier, dataset, seed=node.parameters["seed"])


def _run_id(resolved: ResolvedSuite, cells: list[Cell]) -> str:
    """Name a run by what decides its results, whatever order the suite says it in."""
    suite = resolved.suite
    settings = {
        key: value
        for key, value in suite.model_dump(mode="json").items()
        if key not in _AXES and key not in ("name", "metrics", "incompatible")
    }
    identity = {
        "settings": settings,
        "cells": sorted(digest(cell.coordinates()) for cell in cells),
        "metrics": sorted(digest(dict(part.identity)) for part in resolved.metrics),
    }
    return f"{suite.name}-{digest(identity)[:10]}"
