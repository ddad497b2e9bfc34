"""The folder of a finished run: predictions, samples, models, board, diagnostics and report."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgbench.coordinates import Coordinates, entry_id
from fgbench.data import Predictions, test_groups
from fgbench.diagnostics.added import AddedOf, selection_of
from fgbench.diagnostics.collect import (
    SAMPLE_INDEX,
    diagnose,
    sample_users,
    samples_file,
)
from fgbench.diagnostics.models import DIAGNOSTICS_FILE
from fgbench.digests import digest_bytes
from fgbench.errors import CorruptArtifactError
from fgbench.leaderboard.build import assemble, build_entry
from fgbench.leaderboard.models import (
    AddedRecord,
    Artifacts,
    Entry,
    Leaderboard,
    PredictionsFile,
    SyntheticRecord,
)
from fgbench.loop.arms import DESIGNS, WITHOUT_TEXTS, added_samples
from fgbench.plan.graph import BOOTSTRAP_SEED, CellNodes
from fgbench.report import write_report
from fgbench.samples import RunSample, serialize_samples
from fgbench.stages.base import predictions_bytes, stored_samples
from fgbench.stages.calibrate import calibrated_file
from fgbench.stages.diagnose import stored_influences, stored_probabilities
from fgbench.stages.evaluate import stored_evaluation
from fgbench.stages.target import stored_targets
from fgbench.store.atomic import write_atomically
from fgbench.usage import Usage

if TYPE_CHECKING:
    from fgbench.data import FloatArray
    from fgbench.engine.scheduler import NodeResult
    from fgbench.inference import Evaluation
    from fgbench.leaderboard.models import Provenance
    from fgbench.plan.plan import Plan
    from fgbench.samples import Sample
    from fgbench.store import Artifact, Store

MODELS = "models.json"
"""In a run's folder: the key of the `train` artifact of each entry, by seed."""


class FinishedRun:
    """A plan and the results of its stages, to be written to the run's folder.

    An entry exists only if all its seeds do: nothing is averaged over missing cells. `facts` is
    the provenance of everything that this run computes.
    """

    def __init__(
        self,
        plan: Plan,
        results: Mapping[str, NodeResult],
        store: Store,
        folder: Path,
        facts: Provenance,
    ) -> None:
        self._plan = plan
        self._suite = plan.resolved.suite
        self._results = results
        self._store = store
        self._folder = folder
        self._facts = facts
        self._added = AddedOf(plan.graph, self._find)

    def write(self) -> Leaderboard:
        """Write everything that a finished run leaves behind, and return its board.

        Raises `CorruptArtifactError` for an artifact that is missing or corrupt, with its key.
        """
        self._write_samples()
        entries: list[Entry] = []
        evaluations: dict[str, list[Evaluation]] = {}
        for name, cells in self._entries.items():
            seeds = [stored_evaluation(self._artifact(cell.evaluate)) for cell in cells]
            entries.append(self._entry(name, cells, seeds))
            evaluations[name] = seeds
        self._write_models()
        self._write_sample_index()
        board = assemble(
            self._suite.name,
            str(self._facts.started),
            entries,
            lambda entry: evaluations[entry.id],
            self._plan.resolved.primary,
            self._plan.resolved.shown,
        )
        write_atomically(self._folder / "leaderboard.json", board.to_json())
        diagnostics = diagnose(self._plan.graph, self._find, self._folder, self._added)
        write_atomically(self._folder / DIAGNOSTICS_FILE, diagnostics.to_json())
        write_report(self._folder, self._folder / "report.html")
        return board

    @cached_property
    def _entries(self) -> dict[str, list[CellNodes]]:
        """The cells of each entry whose seeds are all there, by entry id, ordered by seed."""
        groups: dict[str, list[CellNodes]] = {}
        for nodes in self._plan.graph.cells:
            groups.setdefault(nodes.cell.group, []).append(nodes)
        return {
            entry_id(self._coordinates(cells)): sorted(cells, key=lambda nodes: nodes.cell.seed)
            for cells in groups.values()
            if all(self._results[nodes.evaluate].ok for nodes in cells)
        }

    def _entry(
        self,
        name: str,
        cells: list[CellNodes],
        evaluations: list[Evaluation],
    ) -> Entry:
        files = []
        for nodes in cells:
            content = self._predictions(nodes)
            path = f"predictions/{name}-seed{nodes.cell.seed}.npz"
            _write_once(self._folder / path, content)
            files.append(
                PredictionsFile(seed=nodes.cell.seed, path=path, sha256=digest_bytes(content))
            )
        seconds = sum(self._results[node].seconds for node in self._ancestors(cells))
        return build_entry(
            self._coordinates(cells),
            evaluations,
            metric_versions={
                part.label: str(part.identity["version"]) for part in self._plan.resolved.metrics
            },
            higher_is_better=self._plan.resolved.higher_is_better,
            neutral=cells[0].cell.neutral,
            margins=self._plan.resolved.margins,
            bootstrap_seed=BOOTSTRAP_SEED,
            replicates=self._suite.replicates,
            synthetic=self._synthetic(cells),
            usage=self._usage(cells),
            provenance=self._facts.model_copy(
                update={
                    "wall_seconds": round(seconds, 3),
                    "model_revision": self._value(cells[0].train)["model_revision"],
                    "notes": self._classifier_notes(cells),
                }
            ),
            artifacts=Artifacts(predictions=files),
        )

    def _predictions(self, nodes: CellNodes) -> bytes:
        """Return the test predictions of a cell as a file, with the groups of equal inputs."""
        path = calibrated_file(self._artifact(nodes.calibrate))
        groups = test_groups(nodes.cell.dataset.dataset)
        if groups is None:
            return path.read_bytes()
        return predictions_bytes(replace(Predictions.load(path), groups=groups))

    def _coordinates(self, cells: list[CellNodes]) -> Coordinates:
        return cells[0].cell.entry(self._suite, sorted(nodes.cell.seed for nodes in cells))

    def _synthetic(self, cells: list[CellNodes]) -> SyntheticRecord | None:
        """Sum the counts of an entry's generation stages."""
        summaries = [self._value(nodes.samples) for nodes in cells if nodes.samples is not None]
        if not summaries:
            return None
        rejected: Counter[str] = Counter()
        notes: Counter[str] = Counter()
        for summary in summaries:
            rejected.update(summary["rejected_by"])
            notes.update(summary["notes"])
        counts = SyntheticRecord.model_fields.keys() - {"rejected_by", "notes", "added"}
        added = [self._added.of(nodes) for nodes in cells]
        return SyntheticRecord(
            added=[AddedRecord.of(item) for item in added if item is not None],
            rejected_by=dict(sorted(rejected.items())),
            notes=dict(sorted(notes.items())),
            **{name: sum(summary[name] for summary in summaries) for name in counts},
        )

    def _classifier_notes(self, cells: list[CellNodes]) -> list[str]:
        """Return the notes of an entry's classifiers, by seed where they differ."""
        notes_of = {nodes.cell.seed: self._value(nodes.train)["notes"] for nodes in cells}
        first, *others = notes_of.values()
        if all(notes == first for notes in others):
            return list(first)
        return [f"seed {seed}: {note}" for seed, notes in notes_of.items() for note in notes]

    def _usage(self, cells: list[CellNodes]) -> Usage:
        """Sum the cost of generation, and of classification by language models; resumed or not."""
        stages = [
            node for nodes in cells for node in (nodes.samples, nodes.train) if node is not None
        ]
        usages = [self._value(node)["usage"] for node in stages if "usage" in self._value(node)]
        return sum((Usage(**usage) for usage in usages), Usage())

    def _ancestors(self, cells: list[CellNodes]) -> set[str]:
        """Return all stages that an entry depends on."""
        ancestors: set[str] = set()
        waiting = [nodes.evaluate for nodes in cells]
        while waiting:
            node = self._plan.graph.nodes[waiting.pop()]
            if node.id not in ancestors and not node.source:
                ancestors.add(node.id)
                waiting += node.inputs.values()
        return ancestors

    def _write_models(self) -> None:
        """Write which stored stage holds the trained model of each entry and seed."""
        models = {
            name: {str(nodes.cell.seed): self._results[nodes.train].key for nodes in cells}
            for name, cells in self._entries.items()
            if "weights" in cells[0].cell.classifier.provides
        }
        write_atomically(self._folder / MODELS, json.dumps(models, indent=1, sort_keys=True) + "\n")

    def _write_samples(self) -> None:
        """Write the lineage of every synthetic sample, with the arms that used it."""
        for samples, cells in sample_users(self._plan.graph).items():
            if not self._results[samples].ok:
                continue
            cell = cells[0].cell
            assert cell.generator is not None
            assert cell.bins is not None
            assert cell.dose is not None
            stored = stored_samples(self._artifact(samples))
            used_in = self._used_in(cells, stored)
            judgments = self._judgments(cells[0], len(stored))
            records = [
                RunSample(
                    **vars(sample),
                    **judgment,
                    dataset=cell.dataset.dataset.name,
                    generator=cell.generator.name,
                    seed=cell.seed,
                    bins=cell.bins,
                    dose=cell.dose,
                    design=DESIGNS[cell.arm],
                    used_in=tuple(sorted(arms)),
                )
                for sample, judgment, arms in zip(stored, judgments, used_in, strict=True)
            ]
            path = self._folder / samples_file(samples, cells[0])
            _write_once(path, serialize_samples(records))

    def _used_in(self, cells: list[CellNodes], samples: list[Sample]) -> list[set[str]]:
        """Return the arms that were trained on each sample of a generation stage."""
        used_in: list[set[str]] = [set() for _ in samples]
        of_arms = {nodes.cell.arm: nodes for nodes in cells if nodes.cell.arm not in WITHOUT_TEXTS}
        for arm, nodes in of_arms.items():
            assert nodes.targets is not None
            sources = stored_targets(self._artifact(nodes.targets)).sources
            rows = selection_of(nodes.cell)
            targeted = [int(rows[source.row]) for source in sources]
            for index in added_samples(arm, targeted, samples):
                used_in[index].add(arm)
        return used_in

    def _write_sample_index(self) -> None:
        """Write which lineage files hold the samples that each entry was trained on."""
        users = sample_users(self._plan.graph)
        index: dict[str, list[str]] = {}
        for name, cells in self._entries.items():
            if cells[0].cell.arm in WITHOUT_TEXTS:
                continue
            files = {
                samples_file(nodes.samples, users[nodes.samples][0])
                for nodes in cells
                if nodes.samples is not None
            }
            if files:
                index[name] = sorted(files)
        if index:
            content = json.dumps(index, indent=1, sort_keys=True) + "\n"
            _write_once(self._folder / SAMPLE_INDEX, content.encode())

    def _judgments(self, nodes: CellNodes, count: int) -> Iterator[dict[str, Any]]:
        """Yield for each sample the fields of a `RunSample` that the baseline classifier gives.

        Values are None where they are not available.
        """
        columns: dict[str, Sequence[Any]] = dict.fromkeys(
            ("baseline_probabilities", "influence", "source_influence"), [None] * count
        )
        fidelity = None if nodes.fidelity is None else self._find(nodes.fidelity)
        if fidelity is not None:
            columns["baseline_probabilities"] = _rows(stored_probabilities(fidelity))
        influence = None if nodes.influence is None else self._find(nodes.influence)
        if influence is not None:
            arrays = stored_influences(influence)
            columns |= {name: _rows(array) for name, array in arrays.items()}
        for values in zip(*columns.values(), strict=True):
            yield dict(zip(columns, values, strict=True))

    def _value(self, node: str) -> Any:
        return self._results[node].value

    def _find(self, node: str) -> Artifact | None:
        """Return the artifact of a node, None if the node failed."""
        return self._artifact(node) if self._results[node].ok else None

    def _artifact(self, node: str) -> Artifact:
        key = str(self._results[node].key)
        artifact = self._store.find(key)
        if artifact is None:
            raise CorruptArtifactError(
                f"{self._store.root}: artifact {key[:12]} of this run is missing or corrupt; rerun "
                "to rebuild it.",
                key,
            )
        return artifact


def _rows(array: FloatArray) -> list[float | tuple[float, ...] | None]:
    """Return the rows of a vector or matrix; None for a row with a NaN."""
    import numpy as np

    matrix = array[:, None] if array.ndim == 1 else array
    undefined: Any = np.isnan(matrix).any(axis=1)
    rows = [tuple(row) if isinstance(row, list) else row for row in array.tolist()]
    return [None if nan else row for row, nan in zip(rows, undefined.tolist(), strict=True)]


def _write_once(path: Path, content: bytes) -> None:
    """Write a file unless it already has this content."""
    try:
        if path.is_file() and path.read_bytes() == content:
            return
    except OSError:
        pass
    write_atomically(path, content)
