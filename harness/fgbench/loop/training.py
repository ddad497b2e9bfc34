"""Train a classifier on a composition and predict what the later stages need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fgbench.data import Predictions
from fgbench.digests import seed_for
from fgbench.errors import PluginError

if TYPE_CHECKING:
    from fgbench.data import Dataset, Split
    from fgbench.parts.classifier import Classifier, TrainingSet
    from fgbench.parts.loss import Loss


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
            f"classifier {type(classifier).__name__}: predict gave logits of shape "
            f"{answer.logits.shape}, not {expected}."
        )
    for name in sorted(outputs):
        if getattr(answer, name) is None:
            raise PluginError(
                f"classifier {type(classifier).__name__}: predict left out the {name} that it "
                "says it provides."
            )
    return Predictions(
        logits=answer.logits,
        labels=split.labels,
        features=answer.features if "features" in outputs else None,
        stochastic_logits=answer.stochastic_logits if "stochastic_logits" in outputs else None,
        posterior=split.posterior,
        head=answer.head if "features" in outputs else None,
    )
