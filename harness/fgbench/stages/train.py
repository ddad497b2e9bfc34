"""Train: a classifier on an arm's training set."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fgbench.data import Predictions
from fgbench.digests import seed_for
from fgbench.errors import PluginError
from fgbench.loop import arms
from fgbench.stages import base
from fgbench.store import Product

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fgbench.data import Dataset, Split
    from fgbench.parts.classifier import Classifier, TrainingSet
    from fgbench.parts.loss import Loss
    from fgbench.stages.base import Cost, PlanContext, StageContext
    from fgbench.store import Artifact

_MODEL_FOLDER = "model"


class Train(base.Stage):
    """Composition → predictions of the validation and test split, and the model's weights."""

    name = "train"
    roles = {"classifier": "classifier", "loss": "loss"}
    inputs = ("composition", "dataset")

    class Params(base.Params):
        """What to predict in addition to logits, and the seed of the training."""

        outputs: tuple[str, ...]
        seed: int

    def run(self, ctx: StageContext) -> Product:
        params: Train.Params = ctx.params
        classifier: Classifier = ctx.part("classifier")
        dataset = ctx.dataset()
        predictions = train_and_predict(
            classifier,
            ctx.part("loss"),
            arms.training_set(dataset, ctx.input("composition").value),
            dataset,
            outputs=frozenset(params.outputs),
            seed=params.seed,
        )
        files: dict[str, bytes | Path] = {
            f"{name}.npz": base.predictions_bytes(item) for name, item in predictions.items()
        }
        if "weights" in classifier.provides:
            classifier.save(ctx.scratch)
            files |= {
                f"{_MODEL_FOLDER}/{path.name}": path for path in sorted(ctx.scratch.iterdir())
            }
        facts: dict[str, Any] = {
            "model_revision": classifier.model_revision,
            "notes": list(classifier.notes),
        }
        if classifier.usage.requests:
            facts["usage"] = asdict(classifier.usage)
        return Product(facts, files)

    def facts(self, value: Any) -> Mapping[str, Any]:
        return {name: value.get(name) for name in ("notes", "usage")}

    def cost(self, ctx: PlanContext) -> Cost | None:
        from fgbench.loop.estimates import expected_classifying

        classifier: Classifier = ctx.part("classifier")
        if classifier.learns:
            return None
        usage = expected_classifying(classifier, ctx.dataset, seed=ctx.params.seed)
        return base.Cost("classifier", usage)


def load_model(classifier: Classifier, artifact: Artifact) -> None:
    """Give a classifier the weights that a `train` artifact holds."""
    classifier.load(artifact.open_folder(_MODEL_FOLDER))


def train_and_predict(
    classifier: Classifier,
    loss: Loss,
    training: TrainingSet,
    dataset: Dataset,
    *,
    outputs: frozenset[str],
    seed: int,
) -> dict[str, Predictions]:
    """Return the predictions of the validation and the test split.

    Every arm starts from the same seed, and so from the same initial weights (METHODS §2).
    """
    classifier.fit(training, loss=loss, seed=seed_for("training", seed) % 2**32)
    return {
        name: _predict(classifier, dataset.splits[name], dataset.n_classes, outputs)
        for name in ("validation", "test")
    }


def _predict(
    classifier: Classifier, split: Split, n_classes: int, outputs: frozenset[str]
) -> Predictions:
    answer = classifier.predict(split.inputs, outputs)
    expected = (len(split), n_classes)
    if answer.logits.shape != expected:
        raise PluginError(
            f"classifier {type(classifier).__name__}: predict returned logits of shape "
            f"{answer.logits.shape}, not {expected}."
        )
    for name in sorted(outputs):
        if getattr(answer, name) is None:
            raise PluginError(
                f"classifier {type(classifier).__name__}: predict returned no {name}, which the "
                "classifier claims to provide."
            )
    return Predictions(
        logits=answer.logits,
        labels=split.labels,
        features=answer.features if "features" in outputs else None,
        stochastic_logits=answer.stochastic_logits if "stochastic_logits" in outputs else None,
        posterior=split.posterior,
        head=answer.head if "features" in outputs else None,
    )
