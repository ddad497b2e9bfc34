"""What a suite will do: its cells, its stages, and which of them are stored already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from fgbench.coordinates import AXES
from fgbench.digests import digest
from fgbench.plan.cells import Cell, Refusal, expand
from fgbench.plan.graph import Graph, build_graph
from fgbench.plan.resolve import ResolvedPart, ResolvedSuite, resolve
from fgbench.plan.suite import Suite
from fgbench.plugins.references import PartReference
from fgbench.stages import STAGES

if TYPE_CHECKING:
    from fgbench.cards import DataFolder
    from fgbench.plugins.registry import Registry
    from fgbench.store import Artifact, Store

_AXES = {axis.suite for axis in AXES.values() if axis.spans}
_YOUNGER = {"reserve", "primary"}
"""Settings that are younger than the first runs: their defaults are left out of the ids of runs."""


@dataclass(frozen=True)
class Plan:
    """A suite, checked and expanded, before any work."""

    run_id: str
    resolved: ResolvedSuite
    cells: list[Cell]
    refusals: list[Refusal]
    graph: Graph

    def test_rows(self) -> dict[str, tuple[int, int]]:
        """Return by data set the number of test rows, and of those with distinct inputs.

        Rows with equal inputs are one unit of inference (`Dataset.groups`).
        """
        return {
            item.part.label: (len(groups), int(groups.max(initial=-1)) + 1)
            for item in self.resolved.datasets
            for groups in [item.dataset.groups("test")]
        }

    def to_value(self) -> dict[str, Any]:
        """Return the plan as JSON values: what a run writes to `plan.json`."""
        return {
            "run": self.run_id,
            "cells": [cell.coordinates() for cell in self.cells],
            "refused": [{"cell": item.label, "reason": item.reason} for item in self.refusals],
            "test_rows": {
                name: {"rows": rows, "distinct": distinct}
                for name, (rows, distinct) in self.test_rows().items()
            },
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


def find_stored(plan: Plan, store: Store, *, mark: bool = True) -> dict[str, Artifact]:
    """Return the stored artifact of each node that has one, by node id.

    A stage whose inputs are not stored has no known key, so it counts as not stored. With `mark`,
    the artifacts count as used now.
    """
    return {
        node.id: artifact
        for node, artifact in plan.graph.resolve(partial(store.find, mark=mark))
        if artifact is not None
    }


def preflight(plan: Plan, stored: Mapping[str, Artifact], registry: Registry) -> None:
    """Let the parts of all stages that are not `stored` check this machine, before any work.

    Raises `ConfigurationError` or `PluginError`: see `Part.preflight`.
    """
    parts: dict[str, ResolvedPart] = {}
    for node in plan.graph.nodes.values():
        if node.id not in stored:
            parts |= {
                digest([part.kind, dict(part.identity)]): part for part in node.parts.values()
            }
    for part in parts.values():
        registry.create(part.kind, PartReference.parse(part.table())).preflight()


def _run_id(resolved: ResolvedSuite, cells: list[Cell]) -> str:
    """Return the id of a run: its name, and a digest of everything that affects its results."""
    suite = resolved.suite
    settings = {
        key: value
        for key, value in suite.model_dump(mode="json").items()
        if key not in _AXES
        and key not in ("name", "metrics", "incompatible")
        and not (key in _YOUNGER and value == Suite.model_fields[key].default)
    }
    identity = {
        "settings": settings,
        "cells": sorted(digest(cell.coordinates()) for cell in cells),
        "metrics": sorted(digest(dict(part.identity)) for part in resolved.metrics),
    }
    return f"{suite.name}-{digest(identity)[:10]}"
