"""The contract of a classifier."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from fgbench.data import take_inputs
from fgbench.parts.classifier import CAPABILITY_OUTPUTS, Classifier, Outputs, TrainingSet
from fgbench.parts.loss import Loss
from fgbench.testing.common import check_part, fail, global_state, near, twin

_TOLERANCE = 1e-3
"""Logits may differ as much as float32 sums do when a batch is cut in another way."""


class _OwnLoss(Loss):
    """The loss that a probabilistic classifier minimises by itself."""


def check_classifier(classifier: Classifier, *, loss: Loss | None = None) -> None:
    """Check that a classifier trains reproducibly and predicts row by row.

    It is trained on a few dozen made-up rows, of texts if it needs "text", of numbers if it needs
    "numeric", else of both; of two and of three classes unless it needs "binary" or "multiclass".
    Checked are: finite logits (n, K), also for a class without a training row; the outputs that
    `provides` names; the same logits for the same seed, from a new classifier and from one that
    was trained on something else before; rows that do not depend on their order or company; a
    training set that is left as it was; the same logits from saved weights and by the features of
    a linear head, if it has them.
    `loss` is what it trains with, by default one that needs nothing. Raises `PluginError`.
    """
    check_part(classifier, Classifier)
    wanted = [kind for kind in ("text", "numeric") if kind in classifier.needs]
    for kind in wanted or ["text", "numeric"]:
        for n_classes in class_counts(classifier.needs):
            _check(classifier, loss or _OwnLoss(), _training(kind, n_classes))


def class_counts(needs: frozenset[str]) -> list[int]:
    """Return with how many classes a part is checked."""
    return [k for k in (2, 3) if not ({"binary", "multiclass"} & needs) or _kind(k) in needs]


def _kind(n_classes: int) -> str:
    return "binary" if n_classes == 2 else "multiclass"


def _check(classifier: Classifier, loss: Loss, training: TrainingSet) -> None:
    outputs = frozenset(
        output for need, output in CAPABILITY_OUTPUTS.items() if need in classifier.provides
    )
    before = _copy(training)
    first = twin(classifier)
    with global_state(1):
        first.fit(training, loss=loss, seed=7)
        answer = first.predict(training.inputs, outputs)
    _check_outputs(classifier, answer, outputs, len(training), training.n_classes)
    if not _same_set(training, before):
        fail(classifier, "fit or predict changes the training set that it is given")
    _check_rows(classifier, first, training, answer)
    if "weights" in classifier.provides:
        _check_weights(classifier, first, training, answer)
    if "linear_head" in classifier.provides:
        _check_head(classifier, first, training, answer)

    second = twin(classifier)
    some = _rows(training, np.arange(len(training) // 2))
    with global_state(2):
        second.fit(some, loss=loss, seed=8)
        second.fit(training, loss=loss, seed=7)
        again = second.predict(training.inputs, outputs)
    if not near(answer.logits, again.logits, _TOLERANCE):
        fail(
            classifier,
            "the same seed and training set give other logits; fit must start from scratch and "
            "draw from its seed alone",
        )
    if training.n_classes > 2:
        last = training.n_classes - 1
        without = _rows(training, np.flatnonzero(np.asarray(training.labels) != last))
        first.fit(without, loss=loss, seed=7)
        answer = first.predict(training.inputs, outputs)
        _check_outputs(classifier, answer, outputs, len(training), training.n_classes)


def _check_weights(
    classifier: Classifier, fitted: Classifier, training: TrainingSet, answer: Outputs
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        fitted.save(folder)
        if not any(folder.iterdir()):
            fail(classifier, "save writes no file, though it says that it provides weights")
        loaded = twin(classifier)
        loaded.load(folder)
        again = loaded.predict(training.inputs, frozenset())
    if not near(answer.logits, again.logits, _TOLERANCE):
        fail(classifier, "a classifier that was saved and loaded gives other logits")


def _check_head(
    classifier: Classifier, fitted: Classifier, training: TrainingSet, answer: Outputs
) -> None:
    head = fitted.head(training.inputs)
    if not near(answer.logits, head.logits, _TOLERANCE):
        fail(classifier, "head gives other logits than predict")
    sparse = hasattr(head.features, "toarray")
    features = np.asarray(head.features.toarray() if sparse else head.features, dtype=np.float64)
    if features.ndim != 2 or len(features) != len(training):
        fail(classifier, f"head gave features of the shape {features.shape}, not (n, d)")
    # A softmax does not tell what all logits of a row have in common.
    logits = np.asarray(head.logits, dtype=np.float64)
    logits = logits - logits.mean(axis=1, keepdims=True)
    design = np.column_stack([features, np.ones(len(features))])
    left = logits - design @ np.linalg.lstsq(design, logits, rcond=None)[0]
    if np.abs(left).max() > 0.01 * max(float(np.abs(logits).max()), 1.0):
        fail(classifier, "the logits that head gives are not linear in its features")


def _check_outputs(
    classifier: Classifier, answer: Outputs, outputs: frozenset[str], n: int, n_classes: int
) -> None:
    logits = np.asarray(answer.logits)
    if logits.shape != (n, n_classes):
        fail(
            classifier,
            f"predict gave logits of the shape {logits.shape}, not {(n, n_classes)}: one column "
            "for each of n_classes, also for a class without a training row",
        )
    if np.isnan(logits).any() or np.isposinf(logits).any():
        fail(classifier, "predict gave logits that are NaN or +infinity")
    for name in sorted(outputs):
        value = getattr(answer, name)
        if value is None:
            fail(classifier, f"predict left out the {name} that it says it provides")
        shape = np.asarray(value).shape
        right = shape[0] == n if name == "features" else shape[1:] == (n, n_classes)
        if len(shape) != (2 if name == "features" else 3) or not right:
            expected = "(n, d)" if name == "features" else "(s, n, K)"
            fail(classifier, f"predict gave {name} of the shape {shape}, not {expected}")


def _check_rows(
    classifier: Classifier, fitted: Classifier, training: TrainingSet, answer: Outputs
) -> None:
    backwards = np.arange(len(training))[::-1]
    turned = fitted.predict(take_inputs(training.inputs, backwards), frozenset())
    if not near(np.asarray(turned.logits)[::-1], answer.logits, _TOLERANCE):
        fail(classifier, "predict gives a row other logits when the rows stand in another order")
    single = fitted.predict(take_inputs(training.inputs, [3]), frozenset())
    if not near(single.logits, np.asarray(answer.logits)[3:4], _TOLERANCE):
        fail(classifier, "predict gives a row other logits when it stands alone")


def _training(kind: str, n_classes: int) -> TrainingSet:
    rng = np.random.default_rng(n_classes)
    n = 24 * n_classes
    labels = np.arange(n) % n_classes
    inputs: Any
    if kind == "numeric":
        inputs = rng.normal(size=(n, 2)) + labels[:, None]
    else:
        words = np.array(["rain", "sun", "wind", "cloud", "storm", "calm", "mist", "frost"])
        centre = rng.permuted(np.tile(np.linspace(1, 8, 8), (n_classes, 1)), axis=1)
        shares = centre / centre.sum(axis=1, keepdims=True)
        inputs = [" ".join(rng.choice(words, size=5, p=shares[label])) for label in labels]
    soft = np.eye(n_classes)[labels]
    return TrainingSet(inputs, labels, n_classes, soft, np.zeros(n, dtype=bool))


def _rows(training: TrainingSet, rows: Any) -> TrainingSet:
    return replace(
        training,
        inputs=take_inputs(training.inputs, rows),
        labels=training.labels[rows],
        soft_labels=training.soft_labels[rows],
        synthetic=training.synthetic[rows],
    )


def _copy(training: TrainingSet) -> TrainingSet:
    return _rows(training, np.arange(len(training)))


def _same_set(first: TrainingSet, second: TrainingSet) -> bool:
    return len(first.inputs) == len(second.inputs) and all(
        np.array_equal(getattr(first, name), getattr(second, name))
        for name in ("inputs", "labels", "soft_labels", "synthetic")
    )
