"""From the outcomes of a run's stages to its folder: predictions, samples, board and report."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgbench.diagnostics.collect import (
    SAMPLE_INDEX,
    design,
    diagnose,
    sample_users,
    samples_file,
)
from fgbench.diagnostics.models import DIAGNOSTICS_FILE
from fgbench.digests import digest_bytes
from fgbench.errors import DamagedArtifactError
from fgbench.leaderboard.build import build_entry, finish_board
from fgbench.leaderboard.models import (
    Artifacts,
    DatasetRecord,
    Entry,
    EntryCoordinates,
    Leaderboard,
    PartRecord,
    PredictionsFile,
    Provenance,
    SyntheticRecord,
    UsageRecord,
    entry_id,
)
from fgbench.loop.stages import SAMPLES, read_evaluation
from fgbench.plan.graph import BOOTSTRAP_SEED, CellNodes
from fgbench.report import write_report
from fgbench.runs.provenance import provenance
from fgbench.samples import RunSample, Sample, load_samples, serialize_samples
from fgbench.store.atomic import write_atomically

if TYPE_CHECKING:
    from fgbench.calibration.statistics import Evaluation
    from fgbench.data import FloatArray
    from fgbench.engine.scheduler import NodeResult
    from fgbench.plan.plan import Plan
    from fgbench.store import Artifact, Store

Results = Mapping[str, "NodeResult"]

MODELS = "models.json"
"""In a run's folder: the key of the `train` artefact of each entry, by seed."""


def write_results(
    plan: Plan, results: Results, store: Store, folder: Path, started: str
) -> Leaderboard:
    """Write everything that a finished run leaves behind, and return its board.

    An entry is there only if all its seeds are: nothing is averaged over missing cells.
    """
    _write_samples(plan, results, store, folder)
    entries: list[Entry] = []
    evaluations: dict[str, list[Evaluation]] = {}
    facts = provenance(started)
    for cells in _groups(plan):
        if all(results[cell.evaluate].ok for cell in cells):
            seeds = [read_evaluation(_artifact(results, store, cell.evaluate)) for cell in cells]
            entry = _entry(plan, cells, seeds, results, store, folder, facts)
            entries.append(entry)
            evaluations[entry.id] = seeds
    _write_models(plan, results, folder)
    _write_sample_index(plan, results, folder)
    board = finish_board(plan.resolved.suite.name, started, entries, evaluations)
    write_atomically(folder / "leaderboard.json", board.to_json())
    _write_diagnostics(plan, results, store, folder)
    write_report(folder, folder / "report.html")
    return board


def _groups(plan: Plan) -> list[list[CellNodes]]:
    """Return the cells of each entry, ordered by seed."""
    groups: dict[str, list[CellNodes]] = {}
    for nodes in plan.graph.cells:
        groups.setdefault(nodes.cell.group, []).append(nodes)
    return [sorted(group, key=lambda nodes: nodes.cell.seed) for group in groups.values()]


def _entry(
    plan: Plan,
    cells: list[CellNodes],
    evaluations: list[Evaluation],
    results: Results,
    store: Store,
    folder: Path,
    facts: Provenance,
) -> Entry:
    coordinates = _coordinates(plan, cells)
    name = entry_id(coordinates)
    files = []
    for nodes in cells:
        content = _artifact(results, store, nodes.calibrate).path("test.npz").read_bytes()
        path = f"predictions/{name}-seed{nodes.cell.seed}.npz"
        _write_once(folder / path, content)
        files.append(PredictionsFile(seed=nodes.cell.seed, path=path, sha256=digest_bytes(content)))
    seconds = sum(results[node].seconds for node in _ancestors(plan, cells))
    synthetic = _synthetic(cells, results)
    return build_entry(
        coordinates,
        evaluations,
        metric_versions={
            part.label: str(part.identity["version"]) for part in plan.resolved.metrics
        },
        higher_is_better=plan.resolved.higher_is_better,
        bootstrap_seed=BOOTSTRAP_SEED,
        replicates=plan.resolved.suite.replicates,
        synthetic=synthetic,
        usage=_usage(cells, results),
        provenance=facts.model_copy(
            update={
                "wall_seconds": round(seconds, 3),
                "model_revision": results[cells[0].train].value["model_revision"],
                "notes": _classifier_notes(cells, results),
            }
        ),
        artifacts=Artifacts(predictions=files),
    )


def _coordinates(plan: Plan, cells: list[CellNodes]) -> EntryCoordinates:
    cell, suite = cells[0].cell, plan.resolved.suite
    generating = cell.generator is not None
    dataset = cell.dataset.dataset
    part = PartRecord.of(cell.dataset.part.identity)
    settings: dict[str, Any] = {}
    if suite.limit is not None:
        settings["limit"] = suite.limit
    if generating:
        settings |= {
            "examples_per_class": suite.examples_per_class,
            "retries": suite.retries,
            "drop_near_duplicates": suite.drop_near_duplicates,
        }
    return EntryCoordinates(
        dataset=DatasetRecord(
            **part.model_dump(),
            digest=dataset.digest,
            n_train=len(dataset.splits["train"]),
            n_validation=len(dataset.splits["validation"]),
            n_test=len(dataset.splits["test"]),
            label_names=list(dataset.label_names),
        ),
        classifier=PartRecord.of(cell.classifier.identity),
        loss=PartRecord.of(cell.loss.identity),
        generator=None if cell.generator is None else PartRecord.of(cell.generator.identity),
        calibrator=PartRecord.of(cell.calibrator.identity),
        arm=cell.arm,
        bins=cell.bins,
        threshold=suite.threshold if generating else None,
        selector=suite.selector if generating else None,
        alpha=suite.alpha if generating and suite.selector == "significant" else None,
        protocol=suite.protocol,
        seeds=[nodes.cell.seed for nodes in cells],
        settings=settings,
    )


def _synthetic(cells: list[CellNodes], results: Results) -> SyntheticRecord | None:
    """Sum the counts of an entry's generation stages."""
    summaries = [results[nodes.samples].value for nodes in cells if nodes.samples is not None]
    if not summaries:
        return None
    rejected: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    for summary in summaries:
        rejected.update(summary["rejected_by"])
        notes.update(summary["notes"])
    counts = SyntheticRecord.model_fields.keys() - {"rejected_by", "notes"}
    return SyntheticRecord(
        rejected_by=dict(sorted(rejected.items())),
        notes=dict(sorted(notes.items())),
        **{name: sum(summary[name] for summary in summaries) for name in counts},
    )


def _classifier_notes(cells: list[CellNodes], results: Results) -> list[str]:
    """Return what an entry's classifiers note, with the seed where they don't all note the same."""
    notes = {nodes.cell.seed: results[nodes.train].value["notes"] for nodes in cells}
    each = list(notes.values())
    if all(said == each[0] for said in each):
        return list(each[0])
    return [f"seed {seed}: {note}" for seed, said in notes.items() for note in said]


def _usage(cells: list[CellNodes], results: Results) -> UsageRecord:
    """Sum what generation cost, and classifying where a language model does; resumed or not."""
    stages = [node for nodes in cells for node in (nodes.samples, nodes.train) if node is not None]
    spent = [results[node].value["usage"] for node in stages if "usage" in results[node].value]
    return UsageRecord(
        **{name: sum(each[name] for each in spent) for name in UsageRecord.model_fields}
    )


def _ancestors(plan: Plan, cells: list[CellNodes]) -> set[str]:
    """Return all nodes that an entry stands on."""
    found: set[str] = set()
    waiting = [nodes.evaluate for nodes in cells]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += plan.graph.nodes[node].inputs.values()
    return found


def _write_models(plan: Plan, results: Results, folder: Path) -> None:
    """Write which stored stage holds the trained model of each entry and seed."""
    models = {
        entry_id(_coordinates(plan, cells)): {
            str(nodes.cell.seed): results[nodes.train].key for nodes in cells
        }
        for cells in _groups(plan)
        if all(results[nodes.evaluate].ok for nodes in cells)
        and "weights" in cells[0].cell.classifier.provides
    }
    write_atomically(folder / MODELS, json.dumps(models, indent=1, sort_keys=True) + "\n")


def _write_samples(plan: Plan, results: Results, store: Store, folder: Path) -> None:
    """Write the lineage of every synthetic sample, with the arms that it was used in."""
    for samples, cells in sample_users(plan.graph).items():
        if not results[samples].ok:
            continue
        cell = cells[0].cell
        assert cell.generator is not None
        arms = {each.cell.arm for each in cells} - {"resample"}
        assert cell.bins is not None
        used_in = tuple(sorted(arms))
        stored = load_samples(_artifact(results, store, samples).path(SAMPLES), Sample)
        judgments = _judgments(cells[0], results, store, len(stored))
        lines = [
            RunSample(
                **vars(sample),
                **judgment,
                dataset=cell.dataset.dataset.name,
                generator=cell.generator.name,
                seed=cell.seed,
                bins=cell.bins,
                design=design(cells[0]),
                used_in=used_in if sample.accepted else (),
            )
            for sample, judgment in zip(stored, judgments, strict=True)
        ]
        _write_once(folder / samples_file(samples, cells[0]), serialize_samples(lines))


def _write_sample_index(plan: Plan, results: Results, folder: Path) -> None:
    """Write which lineage files hold the samples that each entry was trained on."""
    users = sample_users(plan.graph)
    index: dict[str, list[str]] = {}
    for cells in _groups(plan):
        if cells[0].cell.arm == "resample" or not all(results[c.evaluate].ok for c in cells):
            continue
        files = {
            samples_file(nodes.samples, users[nodes.samples][0])
            for nodes in cells
            if nodes.samples is not None
        }
        if files:
            index[entry_id(_coordinates(plan, cells))] = sorted(files)
    if index:
        content = json.dumps(index, indent=1, sort_keys=True) + "\n"
        _write_once(folder / SAMPLE_INDEX, content.encode())


def _judgments(
    nodes: CellNodes, results: Results, store: Store, count: int
) -> Iterator[dict[str, Any]]:
    """Yield for each sample the fields of a `RunSample` that come from the baseline classifier.

    They are None where the classifier cannot be asked.
    """
    import numpy as np

    columns: dict[str, Iterable[Any]] = dict.fromkeys(
        ("baseline_probabilities", "influence", "source_influence"), [None] * count
    )
    for node, file, names in (
        (nodes.fidelity, "probabilities.npz", {"probabilities": "baseline_probabilities"}),
        (
            nodes.influence,
            "influences.npz",
            {"influence": "influence", "source_influence": "source_influence"},
        ),
    ):
        if node is not None and results[node].ok:
            with np.load(_artifact(results, store, node).path(file), allow_pickle=False) as stored:
                columns |= {name: _rows(stored[array]) for array, name in names.items()}
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


def _rows(array: FloatArray) -> list[float | tuple[float, ...] | None]:
    """Return the rows of a vector or matrix; None for a row with a NaN."""
    import numpy as np

    matrix = array[:, None] if array.ndim == 1 else array
    undefined: Any = np.isnan(matrix).any(axis=1)
    rows = [tuple(row) if isinstance(row, list) else row for row in array.tolist()]
    return [None if nan else row for row, nan in zip(rows, undefined.tolist(), strict=True)]


def _write_diagnostics(plan: Plan, results: Results, store: Store, folder: Path) -> None:
    def find(node: str) -> Artifact | None:
        return _artifact(results, store, node) if results[node].ok else None

    found = diagnose(plan.graph, find, folder)
    write_atomically(folder / DIAGNOSTICS_FILE, found.to_json())


def _artifact(results: Results, store: Store, node: str) -> Artifact:
    artifact = store.get(str(results[node].key))
    if artifact is None:
        raise DamagedArtifactError(
            f"{store.root}: an artefact of this run is gone or damaged: run the same command again."
        )
    return artifact


def _write_once(path: Path, content: bytes) -> None:
    """Write a file unless it has this content already."""
    try:
        if path.read_bytes() == content:
            return
    except FileNotFoundError:
        pass
    write_atomically(path, content)
