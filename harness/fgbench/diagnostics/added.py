"""What the arms of a finished run added to their training sets, from its stored stages."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fgbench.loop.additions import Additions, Design, additions
from fgbench.loop.splitting import selection_rows
from fgbench.stages.base import stored_samples
from fgbench.stages.target import stored_targets

if TYPE_CHECKING:
    from fgbench.data import IntArray
    from fgbench.plan.cells import Cell
    from fgbench.plan.graph import CellNodes, Graph
    from fgbench.store import Artifact


class AddedOf:
    """Computes what arms added, once for cells that differ in the calibrator alone.

    `find` returns the artifact of a node by its id, None if the node failed.
    """

    def __init__(self, graph: Graph, find: Callable[[str], Artifact | None]) -> None:
        self._graph = graph
        self._find = find
        self._cache: dict[str, Additions | None] = {}
        self._designs: dict[tuple[str, str], Design | None] = {}

    def of(self, nodes: CellNodes) -> Additions | None:
        """Return what the arm of a cell added; None without a generator or after a failure."""
        if nodes.train not in self._cache:
            self._cache[nodes.train] = self._of(nodes)
        return self._cache[nodes.train]

    def _of(self, nodes: CellNodes) -> Additions | None:
        if nodes.targets is None or nodes.samples is None:
            return None
        # An arm is matched with its own design, unless its targets were made from another one.
        roles = self._graph.nodes[nodes.targets].inputs
        own = self._design(nodes.targets, nodes.samples)
        targeted = self._design(
            roles.get("targets", nodes.targets), roles.get("samples", nodes.samples)
        )
        composition = self._find(self._graph.nodes[nodes.train].inputs["composition"])
        if own is None or targeted is None or composition is None:
            return None
        cell = nodes.cell
        dataset = cell.dataset.dataset
        return additions(cell.arm, dataset, selection_of(cell), own, targeted, composition.value)

    def _design(self, targets: str, samples: str) -> Design | None:
        key = targets, samples
        if key not in self._designs:
            found = self._find(targets), self._find(samples)
            self._designs[key] = None
            if found[0] is not None and found[1] is not None:
                self._designs[key] = Design(stored_targets(found[0]), stored_samples(found[1]))
        return self._designs[key]


def selection_of(cell: Cell) -> IntArray:
    """Return the validation rows that the rows of a cell's targets refer to."""
    labels = cell.dataset.dataset.splits["validation"].labels
    return selection_rows(labels, cell.protocol, cell.seed)
