"""From the stored stages of a run to its diagnostics."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fgbench.data import Predictions
from fgbench.diagnostics.diversity import diversity
from fgbench.diagnostics.fidelity import fidelity
from fgbench.diagnostics.models import (
    BinShiftRecord,
    Diagnostics,
    DiversityRecord,
    InfluenceRecord,
    InfluencesRecord,
    SetRecord,
)
from fgbench.diagnostics.relabelling import relabelling
from fgbench.diagnostics.shifts import bin_shifts
from fgbench.plan.graph import why_no_influence
from fgbench.stages.base import stored_predictions
from fgbench.stages.target import stored_targets

if TYPE_CHECKING:
    from pathlib import Path

    from fgbench.plan.graph import CellNodes, Graph
    from fgbench.store import Artifact

Find = Callable[[str], "Artifact | None"]
"""The artefact of a node by its id; None where the node failed."""

CONTROLS = ("real",)
"""Arms without bins of their own, which are looked at in the bins of the others."""

SAMPLES_FOLDER = "samples"
SAMPLE_INDEX = "samples.json"
"""In a run's folder: the lineage files, and which of them each entry was trained on, by its id."""


def sample_users(graph: Graph) -> dict[str, list[CellNodes]]:
    """Return the cells of each generation stage, by the stage's node."""
    users: dict[str, list[CellNodes]] = {}
    for nodes in graph.cells:
        if nodes.samples is not None:
            users.setdefault(nodes.samples, []).append(nodes)
    return users


def samples_file(node: str, nodes: CellNodes) -> str:
    """Return where the lineage of a generation stage's samples is, in a run's folder."""
    cell = nodes.cell
    assert cell.generator is not None
    name = f"{cell.dataset.part.name}-{cell.generator.name}-{cell.bins}bins-{design(nodes)}"
    return f"{SAMPLES_FOLDER}/{name}-seed{cell.seed}-{node[:8]}.jsonl"


def design(nodes: CellNodes) -> str:
    """Return whether an arm's inputs are of targeted or of random bins."""
    return "random" if nodes.cell.arm == "random-bins" else "targeted"


def diagnose(graph: Graph, find: Find, folder: Path) -> Diagnostics:
    """Return the diagnostics of a finished run whose samples are written already."""
    predictions = _PredictionsOf(find)
    controls: dict[Any, CellNodes] = {
        _setting(nodes): nodes for nodes in graph.cells if nodes.cell.arm in CONTROLS
    }
    sets = []
    for node, users in sample_users(graph).items():
        path = folder / samples_file(node, users[0])
        if find(node) is None or not path.is_file():
            continue
        control = controls.get(_setting(users[0]))
        retrained: dict[str, str] = {
            nodes.cell.arm: nodes.train for nodes in (*users, control) if nodes
        }
        sets.append(_diagnose_set(graph, find, predictions, node, users[0], retrained, path))
    return Diagnostics(sets=sorted(sets, key=_order))


def _diagnose_set(
    graph: Graph,
    find: Find,
    predictions: _PredictionsOf,
    node: str,
    nodes: CellNodes,
    retrained: Mapping[str, str],
    path: Path,
) -> SetRecord:
    cell = nodes.cell
    assert cell.generator is not None
    assert cell.bins is not None
    assert nodes.targets is not None
    samples = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    skipped: dict[str, str] = {}
    described = _diversity(samples, cell.dataset.dataset.is_text, cell.seed, skipped)
    targets = find(nodes.targets)
    assert targets is not None  # the samples stand on it
    baseline = predictions.of(graph.nodes[nodes.targets].inputs["predictions"])
    assert baseline is not None
    shifts: dict[str, list[BinShiftRecord]] = {}
    for arm, train in sorted(retrained.items()):
        after = predictions.of(train)
        if after is None:
            skipped[f"shifts of {arm}"] = "its training failed"
        else:
            where = stored_targets(targets)
            shifts[arm] = bin_shifts(where, cell.bins, baseline, after)
    return SetRecord(
        dataset=cell.dataset.part.label,
        classifier=cell.classifier.label,
        loss=cell.loss.label,
        generator=cell.generator.label,
        bins=cell.bins,
        design="random" if design(nodes) == "random" else "targeted",
        seed=cell.seed,
        samples=f"{path.parent.name}/{path.name}",
        fidelity=fidelity(samples),
        relabelling=relabelling(samples),
        diversity=described,
        shifts=shifts,
        influence=_influence(nodes, find, samples, skipped),
        skipped=skipped,
    )


def _diversity(
    samples: list[dict[str, Any]], is_text: bool, seed: int, skipped: dict[str, str]
) -> DiversityRecord | None:
    accepted = [sample for sample in samples if sample["verdict"] == "accepted"]
    if not is_text:
        skipped["diversity"] = "the inputs are numbers"
    elif not accepted:
        skipped["diversity"] = "no text was accepted"
    else:
        return diversity(
            [sample["input"] for sample in accepted],
            [sample["source"]["input"] for sample in accepted],
            [sample["source"]["label"] for sample in accepted],
            seed=seed,
        )
    return None


def _influence(
    nodes: CellNodes, find: Find, samples: list[dict[str, Any]], skipped: dict[str, str]
) -> InfluenceRecord | None:
    artifact = None if nodes.influence is None else find(nodes.influence)
    if artifact is None:
        skipped["influence"] = why_no_influence(nodes.cell) or "its computation failed"
        return None
    accepted = [sample for sample in samples if sample["verdict"] == "accepted"]
    return InfluenceRecord(
        accepted=summarise_influences(sample["influence"] for sample in accepted),
        sources=summarise_influences(sample["source_influence"] for sample in accepted),
        other_label=summarise_influences(
            sample["influence"] for sample in samples if sample["reason"] == "other label"
        ),
        exact=artifact.value["exact"],
        residual=artifact.value["residual"],
    )


def summarise_influences(values: Iterable[float | None]) -> InfluencesRecord:
    """Return the summary of those influences that are known."""
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    if not len(known):
        return InfluencesRecord(n=0)
    low, middle, high = np.quantile(known, (0.05, 0.5, 0.95)).tolist()
    return InfluencesRecord(
        n=len(known),
        mean=float(known.mean()),
        total=float(known.sum()),
        helpful=float((known < 0).mean()),
        quantiles=(low, middle, high),
    )


class _PredictionsOf:
    """Test predictions of training stages, before any calibrator, each read once."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._known: dict[str, Predictions | None] = {}

    def of(self, node: str) -> Predictions | None:
        if node not in self._known:
            artifact = self._find(node)
            self._known[node] = None
            if artifact is not None:
                stored = stored_predictions(artifact, "test")
                # Features and passes may be large, and play no part here.
                self._known[node] = Predictions(stored.logits, stored.labels)
        return self._known[node]


def _setting(nodes: CellNodes) -> tuple[Any, ...]:
    cell = nodes.cell
    return (
        cell.dataset.dataset.digest,
        cell.dataset.part.label,
        cell.classifier.label,
        cell.loss.label,
        cell.protocol,
        cell.seed,
    )


def _order(item: SetRecord) -> tuple[Any, ...]:
    targeted = item.design != "targeted"
    return item.dataset, item.classifier, item.loss, item.generator, targeted, item.bins, item.seed
