"""Compute the diagnostics of a run from its stored stages and samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fgbench.coordinates import GENERATION, TREATMENT
from fgbench.data import Predictions
from fgbench.diagnostics.diversity import diversity
from fgbench.diagnostics.fidelity import fidelity
from fgbench.diagnostics.models import (
    SAMPLE_PARTS,
    BinLabelsRecord,
    BinShiftRecord,
    Diagnostics,
    DiversityRecord,
    InfluenceRecord,
    InfluencesRecord,
    SetRecord,
)
from fgbench.diagnostics.relabeling import relabeling_agreement
from fgbench.diagnostics.shifts import bin_shifts
from fgbench.loop.arms import DESIGNS
from fgbench.loop.relabeling import OTHER_LABEL
from fgbench.plan.graph import why_no_influence
from fgbench.samples import RunSample, load_samples
from fgbench.stages.base import stored_predictions
from fgbench.stages.target import stored_targets

if TYPE_CHECKING:
    from pathlib import Path

    from fgbench.diagnostics.added import AddedOf
    from fgbench.loop.additions import Additions
    from fgbench.plan.cells import Cell
    from fgbench.plan.graph import CellNodes, Graph
    from fgbench.store import Artifact

Find = Callable[[str], "Artifact | None"]
"""Returns the artifact of a node by its id; None if the node failed."""

CONTROLS = ("real",)
"""Arms without targeted bins, whose shifts are measured in the bins of the other arms."""

SAMPLES_FOLDER = "samples"
SAMPLE_INDEX = "samples.json"
"""In a run's folder: the files of samples, and which of them each entry was trained on, by id."""


def sample_users(graph: Graph) -> dict[str, list[CellNodes]]:
    """Return the cells that use each generation stage, by the stage's node."""
    users: dict[str, list[CellNodes]] = {}
    for nodes in graph.cells:
        if nodes.samples is not None:
            users.setdefault(nodes.samples, []).append(nodes)
    return users


def samples_file(node: str, nodes: CellNodes) -> str:
    """Return the path of a generation stage's samples, relative to the run's folder."""
    cell = nodes.cell
    assert cell.generator is not None
    name = f"{cell.dataset.part.name}-{cell.generator.name}-{cell.bins}bins-{DESIGNS[cell.arm]}"
    return f"{SAMPLES_FOLDER}/{name}-seed{cell.seed}-{node[:8]}.jsonl"


def diagnose(graph: Graph, find: Find, folder: Path, added: AddedOf) -> Diagnostics:
    """Return the diagnostics of a finished run whose samples are in `folder`.

    `added` knows what its arms added.
    """
    predictions = _PredictionsOf(find)
    controls: dict[str, CellNodes] = {
        _setting(nodes.cell): nodes for nodes in graph.cells if nodes.cell.arm in CONTROLS
    }
    sets = []
    for node, users in sample_users(graph).items():
        path = folder / samples_file(node, users[0])
        if find(node) is None or not path.is_file():
            continue
        control = controls.get(_setting(users[0].cell))
        retrained: dict[str, str] = {
            nodes.cell.arm: nodes.train for nodes in (*users, control) if nodes
        }
        record = _diagnose_set(graph, find, predictions, node, users[0], retrained, path)
        sets.append(record.model_copy(update={"labels": _labels(users, added)}))
    return Diagnostics(sets=sorted(sets, key=lambda item: item.order))


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
    assert cell.dose is not None
    assert nodes.targets is not None
    samples = load_samples(path, RunSample)
    skipped: dict[str, str] = {}
    diversity_record = _diversity(samples, cell.dataset.dataset.is_text, cell.seed, skipped)
    targets = find(nodes.targets)
    assert targets is not None  # the samples depend on it
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
    labels: dict[str, Any] = {name: getattr(cell, name).label for name in SAMPLE_PARTS}
    return SetRecord(
        **labels,
        bins=cell.bins,
        dose=cell.dose,
        design=DESIGNS[cell.arm],
        seed=cell.seed,
        samples=f"{path.parent.name}/{path.name}",
        fidelity=fidelity(samples),
        relabeling=relabeling_agreement(samples),
        diversity=diversity_record,
        shifts=shifts,
        influence=_influence(nodes, find, samples, skipped),
        skipped=skipped,
    )


def _labels(users: Sequence[CellNodes], added: AddedOf) -> dict[str, list[BinLabelsRecord]]:
    """Return the labels of what each arm added, by bin; nothing for arms whose bins are unknown."""
    of_arms: dict[str, Additions | None] = {nodes.cell.arm: added.of(nodes) for nodes in users}
    return {
        arm: [BinLabelsRecord(**vars(item)) for item in of_arm.bins]
        for arm, of_arm in sorted(of_arms.items())
        if of_arm is not None and of_arm.bins
    }


def _diversity(
    samples: Sequence[RunSample], is_text: bool, seed: int, skipped: dict[str, str]
) -> DiversityRecord | None:
    if not is_text:
        skipped["diversity"] = "the inputs are numbers"
        return None
    accepted = [sample for sample in samples if sample.accepted]
    if not accepted:
        skipped["diversity"] = "no text was accepted"
        return None
    return diversity(
        [str(sample.input) for sample in accepted],
        [str(sample.source.input) for sample in accepted],
        [sample.source.label for sample in accepted],
        seed=seed,
    )


def _influence(
    nodes: CellNodes, find: Find, samples: Sequence[RunSample], skipped: dict[str, str]
) -> InfluenceRecord | None:
    artifact = None if nodes.influence is None else find(nodes.influence)
    if artifact is None:
        skipped["influence"] = why_no_influence(nodes.cell) or "its computation failed"
        return None
    accepted = [sample for sample in samples if sample.accepted]
    return InfluenceRecord(
        accepted=summarize_influences(sample.influence for sample in accepted),
        sources=summarize_influences(sample.source_influence for sample in accepted),
        other_label=summarize_influences(
            sample.influence for sample in samples if sample.reason == OTHER_LABEL
        ),
        exact=artifact.value["exact"],
        residual=artifact.value["residual"],
    )


def summarize_influences(values: Iterable[float | None]) -> InfluencesRecord:
    """Return the summary of the influences that are defined."""
    influences = np.array([value for value in values if value is not None], dtype=np.float64)
    if not len(influences):
        return InfluencesRecord(n=0)
    low, median, high = np.quantile(influences, (0.05, 0.5, 0.95)).tolist()
    return InfluencesRecord(
        n=len(influences),
        mean=float(influences.mean()),
        total=float(influences.sum()),
        helpful=float((influences < 0).mean()),
        quantiles=(low, median, high),
    )


class _PredictionsOf:
    """Uncalibrated test predictions of training stages; each file is read once."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._cache: dict[str, Predictions | None] = {}

    def of(self, node: str) -> Predictions | None:
        if node not in self._cache:
            artifact = self._find(node)
            self._cache[node] = None
            if artifact is not None:
                stored = stored_predictions(artifact, "test")
                # Features and stochastic passes may be large and are not needed.
                self._cache[node] = Predictions(stored.logits, stored.labels)
        return self._cache[node]


def _setting(cell: Cell) -> str:
    """Return a key that is equal for a cell and its controls of the same seed."""
    return cell.without(*GENERATION, *TREATMENT)
