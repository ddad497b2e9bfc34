"""Diagnose: what the baseline makes of synthetic inputs, and what they would do to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fgbench.data import Predictions
from fgbench.loop import splitting
from fgbench.stages import base
from fgbench.stages.base import stored_samples
from fgbench.stages.train import load_model
from fgbench.store import Product

if TYPE_CHECKING:
    from fgbench.parts.classifier import Classifier
    from fgbench.stages.base import StageContext
    from fgbench.store import Artifact

_PROBABILITIES, _SENSITIVITY, _INFLUENCES = (
    "probabilities.npz",
    "sensitivity.npz",
    "influences.npz",
)


class Fidelity(base.Stage):
    """Synthetic inputs → the class probabilities that the baseline classifier gives them."""

    name = "fidelity"
    roles = {"classifier": "classifier"}
    inputs = ("samples", "model", "dataset")

    def run(self, ctx: StageContext) -> Product:
        import numpy as np

        classifier = _baseline(ctx)
        dataset = ctx.dataset()
        samples = stored_samples(ctx.input("samples"))
        usable = [row for row, sample in enumerate(samples) if sample.has_input]
        probabilities = np.full((len(samples), dataset.n_classes), np.nan)
        if usable:
            values: Any = [samples[row].input for row in usable]
            if not dataset.is_text:
                values = np.array(values, dtype=np.float64)
            logits = classifier.predict(values, frozenset()).logits
            labels = np.zeros(len(usable), dtype=np.int64)
            probabilities[usable] = Predictions(logits, labels).probabilities()
        return Product(files={_PROBABILITIES: base.npz_bytes({"probabilities": probabilities})})


class Sensitivity(base.Stage):
    """Baseline classifier → how the loss of its selection rows depends on its training rows."""

    name = "sensitivity"
    roles = {"classifier": "classifier"}
    inputs = ("model", "dataset")

    class Params(base.Params):
        """Which validation rows are selection rows."""

        protocol: str
        seed: int

    def run(self, ctx: StageContext) -> Product:
        from fgbench.loop.influence import inverse_hessian_gradients

        params: Sensitivity.Params = ctx.params
        classifier = _baseline(ctx)
        splits = ctx.dataset().splits
        validation = splits["validation"]
        rows = splitting.selection_rows(validation.labels, params.protocol, params.seed)
        facts, arrays = inverse_hessian_gradients(
            classifier, splits["train"], validation, rows, seed=params.seed
        )
        return Product(facts, {_SENSITIVITY: base.npz_bytes(arrays)})


class Influence(base.Stage):
    """Synthetic inputs → by how much each would change the loss of the selection rows."""

    name = "influence"
    roles = {"classifier": "classifier"}
    inputs = ("samples", "model", "sensitivity", "dataset")

    def run(self, ctx: StageContext) -> Product:
        from fgbench.loop.influence import sample_influences

        classifier = _baseline(ctx)
        arrays = sample_influences(
            classifier,
            stored_samples(ctx.input("samples")),
            base.stored_arrays(ctx.input("sensitivity"), _SENSITIVITY),
            ctx.dataset().is_text,
        )
        return Product(ctx.input("sensitivity").value, {_INFLUENCES: base.npz_bytes(arrays)})


def stored_probabilities(artifact: Artifact) -> Any:
    """Return the baseline's probabilities (n, K) of n samples; NaN rows for unusable ones."""
    return base.stored_arrays(artifact, _PROBABILITIES)["probabilities"]


def stored_influences(artifact: Artifact) -> dict[str, Any]:
    """Return "influence" and "source_influence" (n,) of n samples; NaN where there is none."""
    return base.stored_arrays(artifact, _INFLUENCES)


def _baseline(ctx: StageContext) -> Classifier:
    classifier: Classifier = ctx.part("classifier")
    load_model(classifier, ctx.input("model"))
    return classifier
