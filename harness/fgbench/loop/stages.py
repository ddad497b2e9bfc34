"""The stages of the loop: pure functions from parts, parameters and artefacts to one product.

A stage sees only what its `StageInputs` hold, and all of that is in its key (`matrix.graph`).
Change a stage's entry in `VERSIONS` when its products change for the same inputs.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fgbench.data import Dataset, Predictions, read_dataset, write_dataset
from fgbench.loop import arms, splitting
from fgbench.samples import Sample, load_samples, serialize_samples
from fgbench.store import Artifact, Product

if TYPE_CHECKING:
    from pathlib import Path

    from fgbench.calibration.statistics import Evaluation
    from fgbench.parts.base import Part

VERSIONS = {
    "target": "1",
    "synthesise": "2",
    "compose": "1",
    "train": "1",
    "calibrate": "1",
    "evaluate": "2",
    "fidelity": "1",
    "sensitivity": "1",
    "influence": "1",
}

SAMPLES, MODEL_FOLDER = "samples.jsonl", "model"
MEMBER = "member "
"""Beginning of the roles in which the models of an ensemble are given to `calibrate`."""


@dataclass(frozen=True)
class StageInputs:
    """What a stage may use: its parts by role, its parameters, and its input artefacts by role."""

    parts: Mapping[str, Any]
    parameters: Mapping[str, Any]
    artifacts: Mapping[str, Artifact]
    scratch: Path
    """An empty folder for files that become part of the product."""

    def dataset(self) -> Dataset:
        """Return the data set (kept in memory between stages of one process)."""
        return _dataset(self.artifacts["dataset"].path("dataset.npz"))

    def predictions(self, role: str, split: str) -> Predictions:
        """Return the predictions of a split that the artefact of `role` holds."""
        return Predictions.load(self.artifacts[role].path(f"{split}.npz"))

    def samples(self) -> list[Sample]:
        """Return the samples of a `synthesise` artifact."""
        return load_samples(self.artifacts["samples"].path(SAMPLES), Sample)


def target(inputs: StageInputs) -> Product:
    """Predictions of the selection split → the bins to fill and their points."""
    from fgbench.loop.targeting import Targets, random_bins, target_bins

    given = inputs.parameters
    validation = inputs.predictions("predictions", "validation")
    rows = splitting.selection_rows(validation.labels, given["protocol"], given["seed"])
    selection = validation.take(rows)
    targets: Targets
    if given["design"] == "random":
        first = Targets.from_value(inputs.artifacts["targets"].value)
        targets = random_bins(selection, first, bins=given["bins"], seed=given["seed"])
    else:
        targets = target_bins(
            selection,
            bins=given["bins"],
            selector=given["selector"],
            threshold=given["threshold"],
            alpha=given["alpha"],
        )
    return Product(targets.to_value())


def synthesise(inputs: StageInputs) -> Product:
    """Targets → synthetic inputs with their lineage, relabelled and filtered."""
    from fgbench.loop.filling import GenerationSettings, synthesize
    from fgbench.loop.targeting import Targets

    given = inputs.parameters
    dataset = inputs.dataset()
    labels = dataset.splits["validation"].labels
    outcome = synthesize(
        inputs.parts["generator"],
        dataset,
        inputs.parts["dataset"],
        Targets.from_value(inputs.artifacts["targets"].value),
        splitting.selection_rows(labels, given["protocol"], given["seed"]),
        GenerationSettings(
            seed=given["seed"],
            examples_per_class=given["examples_per_class"],
            retries=given["retries"],
            drop_near_duplicates=given["drop_near_duplicates"],
        ),
        relabeler=inputs.parts.get("relabeler"),
    )
    return Product(outcome.summary(), {SAMPLES: serialize_samples(outcome.samples)})


def compose(inputs: StageInputs) -> Product:
    """Targets and synthetic inputs → what an arm is trained on, in references."""
    given = inputs.parameters
    labels = inputs.dataset().splits["validation"].labels
    selection = splitting.selection_rows(labels, given["protocol"], given["seed"])
    targeted: list[int] = []
    accepted: list[Sample] = []
    if "targets" in inputs.artifacts:
        sources = inputs.artifacts["targets"].value["sources"]
        targeted = [int(selection[source["row"]]) for source in sources]
    if "samples" in inputs.artifacts:
        accepted = [sample for sample in inputs.samples() if sample.accepted]
    return Product(arms.compose(given["arm"], selection, targeted, accepted))


def train(inputs: StageInputs) -> Product:
    """Composition → predictions of the validation and test split."""
    from fgbench.loop.training import train_and_predict

    dataset = inputs.dataset()
    predictions = train_and_predict(
        inputs.parts["classifier"],
        inputs.parts["loss"],
        arms.training_set(dataset, inputs.artifacts["composition"].value),
        dataset,
        outputs=frozenset(inputs.parameters["outputs"]),
        seed=inputs.parameters["seed"],
    )
    files: dict[str, bytes | Path] = {
        f"{name}.npz": _stored(item) for name, item in predictions.items()
    }
    if "weights" in inputs.parts["classifier"].provides:
        inputs.parts["classifier"].save(inputs.scratch)
        files |= {f"{MODEL_FOLDER}/{path.name}": path for path in sorted(inputs.scratch.iterdir())}
    classifier = inputs.parts["classifier"]
    facts = {"model_revision": classifier.model_revision, "notes": list(classifier.notes)}
    if classifier.usage.requests:
        facts["usage"] = asdict(classifier.usage)
    return Product(facts, files)


def fidelity(inputs: StageInputs) -> Product:
    """Synthetic inputs → the class probabilities that the baseline classifier gives them."""
    import numpy as np

    classifier = inputs.parts["classifier"]
    classifier.load(inputs.artifacts["model"].folder / MODEL_FOLDER)
    samples = inputs.samples()
    usable = [row for row, sample in enumerate(samples) if sample.has_input]
    probabilities = np.full((len(samples), inputs.dataset().n_classes), np.nan)
    if usable:
        values: Any = [samples[row].input for row in usable]
        if not inputs.dataset().is_text:
            values = np.array(values, dtype=np.float64)
        logits = classifier.predict(values, frozenset()).logits
        labels = np.zeros(len(usable), dtype=np.int64)
        probabilities[usable] = Predictions(logits, labels).probabilities()
    return Product(files={"probabilities.npz": _npz({"probabilities": probabilities})})


def sensitivity(inputs: StageInputs) -> Product:
    """Baseline classifier → how the loss of its selection rows hangs on what it is trained on."""
    from fgbench.loop.influence import inverse_hessian_gradients

    classifier, dataset, given = inputs.parts["classifier"], inputs.dataset(), inputs.parameters
    classifier.load(inputs.artifacts["model"].folder / MODEL_FOLDER)
    validation = dataset.splits["validation"]
    rows = splitting.selection_rows(validation.labels, given["protocol"], given["seed"])
    facts, arrays = inverse_hessian_gradients(
        classifier, dataset.splits["train"], validation, rows, seed=given["seed"]
    )
    return Product(facts, {"sensitivity.npz": _npz(arrays)})


def influence(inputs: StageInputs) -> Product:
    """Synthetic inputs → by how much each would change the loss of selection rows."""
    import numpy as np

    from fgbench.loop.influence import sample_influences

    classifier = inputs.parts["classifier"]
    classifier.load(inputs.artifacts["model"].folder / MODEL_FOLDER)
    path = inputs.artifacts["sensitivity"].path("sensitivity.npz")
    with np.load(path, allow_pickle=False) as stored:
        arrays = sample_influences(
            classifier, inputs.samples(), dict(stored), inputs.dataset().is_text
        )
    return Product(inputs.artifacts["sensitivity"].value, {"influences.npz": _npz(arrays)})


def calibrate(inputs: StageInputs) -> Product:
    """Predictions → calibrated predictions of the test split."""
    import numpy as np

    from fgbench.loop.calibrating import calibrate as apply

    given = inputs.parameters
    validation = inputs.predictions("predictions", "validation")
    rows = splitting.calibration_rows(validation.labels, given["protocol"], given["seed"])
    test = inputs.predictions("predictions", "test")
    members = [role for role in inputs.artifacts if role.startswith(MEMBER)]
    if members:
        logits = np.stack([inputs.predictions(role, "test").logits for role in members])
        test = replace(test, stochastic_logits=logits)
    calibrated = apply(inputs.parts["calibrator"], validation.take(rows), test)
    return Product(files={"test.npz": _stored(calibrated)})


def evaluate(inputs: StageInputs) -> Product:
    """Calibrated predictions → metrics and their bootstrap replicates."""
    from fgbench.loop.evaluation import evaluate_predictions

    given = inputs.parameters
    evaluation = evaluate_predictions(
        inputs.predictions("predictions", "test"),
        inputs.parts,
        replicates=given["replicates"],
        seed=given["seed"],
    )
    return Product(dict(evaluation.values), {"evaluation.npz": _npz(evaluation.to_arrays())})


STAGES: dict[str, Callable[[StageInputs], Product]] = {
    "target": target,
    "synthesise": synthesise,
    "compose": compose,
    "train": train,
    "calibrate": calibrate,
    "evaluate": evaluate,
    "fidelity": fidelity,
    "sensitivity": sensitivity,
    "influence": influence,
}


def dataset_product(dataset: Dataset) -> Product:
    """Return a data set as a product: what stages read it from."""
    stream = io.BytesIO()
    write_dataset(dataset, stream)
    content = stream.getvalue()
    return Product({"digest": dataset.digest}, {"dataset.npz": content})


def part_identity(part: Part, name: str, code: str | None) -> dict[str, Any]:
    """Return what a part adds to a stage key: name, version, parameters, digests of its files."""
    parameters = part.published_parameters()
    identity = {"name": name, "version": part.version, "parameters": parameters}
    if code is not None:
        identity["code"] = code
    content = part.content_digest()
    if content is not None:
        identity["content"] = content
    return identity


@lru_cache(maxsize=4)
def _dataset(path: Path) -> Dataset:
    return read_dataset(path)


def read_evaluation(artifact: Artifact) -> Evaluation:
    """Return what an `evaluate` artefact holds."""
    import numpy as np

    from fgbench.calibration.statistics import Evaluation

    with np.load(artifact.path("evaluation.npz"), allow_pickle=False) as stored:
        return Evaluation.from_arrays({name: stored[name] for name in stored.files})


def _stored(predictions: Predictions) -> bytes:
    stream = io.BytesIO()
    predictions.write(stream)
    return stream.getvalue()


def _npz(arrays: Mapping[str, Any]) -> bytes:
    import numpy as np

    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()
