"""What a suite will do: its cells, its stages, which of them are stored already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fgbench.digests import digest
from fgbench.loop.stages import STAGES
from fgbench.matrix.cells import Cell, Refusal, expand
from fgbench.matrix.graph import Graph, build_graph
from fgbench.matrix.resolve import ResolvedSuite, resolve

if TYPE_CHECKING:
    from fgbench.cards import DataFolder
    from fgbench.config import Suite
    from fgbench.registry import Registry
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


@dataclass
class Forecast:
    """What of a plan is stored, and what generation it will ask for."""

    stages: dict[str, StageCount]
    requests_known: int = 0
    requests_at_most: int = 0
    """Generation requests of the first round where the targets are not known yet: one for every
    selection point."""
    generators: dict[str, int] = field(default_factory=dict)


def forecast(plan: Plan, store: Store) -> Forecast:
    """Look up which stages are stored. A stage whose inputs are not stored yet counts as not."""
    found: dict[str, Artifact] = {}
    totals: dict[str, int] = dict.fromkeys(STAGES, 0)
    cached: dict[str, int] = dict.fromkeys(STAGES, 0)
    outcome = Forecast({})
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
            if targets is not None:
                requests = len(targets.value["sources"])
                outcome.requests_known += requests
            else:
                requests = _selection_size(plan, node.dataset, node.parameters)
                outcome.requests_at_most += requests
            name = node.parts["generator"].name
            outcome.generators[name] = outcome.generators.get(name, 0) + requests
    outcome.stages = {stage: StageCount(totals[stage], cached[stage]) for stage in STAGES}
    return outcome


def _selection_size(plan: Plan, dataset: str | None, parameters: Mapping[str, Any]) -> int:
    from fgbench.loop.splitting import selection_rows

    labels = plan.graph.datasets[str(dataset)].dataset.splits["validation"].labels
    return len(selection_rows(labels, parameters["protocol"], parameters["seed"]))


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
