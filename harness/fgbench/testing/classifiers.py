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
"""Logits may differ as much as float32 sums do when a batch is split differently."""


class _OwnLoss(Loss):
    """The loss that a probabilistic classifier minimizes by itself."""


def check_classifier(classifier: Classifier, *, loss: Loss | None = None) -> None:
    """Check that a classifier trains reproducibly and predicts row by row.

    It is trained on a few dozen synthetic rows: texts if it needs "text", numbers if it needs
    "numeric", else both; of two and of three classes unless it needs "binary" or "multiclass". The
    checks: finite logits (n, K), also for a class without training rows; the outputs that
    `provides` names; the same logits for the same seed from a new classifier and from one trained
    on other rows before; no effect of the order of rows or of other rows in the batch; an unchanged
    training set; the same logits from saved weights and from the features of a linear head, if it
    has them. `loss` is the training loss, by default one that needs nothing. Raises `PluginError`.
    """
    check_part(classifier, Classifier)
    kinds = [kind for kind in ("text", "numeric") if kind in classifier.needs]
    for kind in kinds or ["text", "numeric"]:
        for n_classes in class_counts(classifier.needs):
            _check(classifier, loss or _OwnLoss(), _training(kind, n_classes))


def class_counts(needs: frozenset[str]) -> list[int]:
    """Return the numbers of classes with which a part is checked."""
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
        fail(classifier, "fit or predict changes the training set")
    _check_rows(classifier, first, training, answer)
    if "weights" in classifier.provides:
        _check_weights(classifier, first, training, answer)
    if "linear_head" in classifier.provides:
        _check_head(classifier, first, training, answer)

    second = twin(classifier)
    half = _rows(training, np.arange(len(training) // 2))
    with global_state(2):
        second.fit(half, loss=loss, seed=8)
        second.fit(training, loss=loss, seed=7)
        repeated = second.predict(training.inputs, outputs)
    if not near(answer.logits, repeated.logits, _TOLERANCE):
        fail(
            classifier,
            "the same seed and training set give other logits; fit must start from scratch and "
            "draw from its seed only",
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
            fail(classifier, "save writes no file, but the classifier provides weights")
        loaded = twin(classifier)
        loaded.load(folder)
        reloaded = loaded.predict(training.inputs, frozenset())
    if not near(answer.logits, reloaded.logits, _TOLERANCE):
        fail(classifier, "after saving and loading, it returns other logits")


def _check_head(
    classifier: Classifier, fitted: Classifier, training: TrainingSet, answer: Outputs
) -> None:
    head = fitted.head(training.inputs)
    if not near(answer.logits, head.logits, _TOLERANCE):
        fail(classifier, "head returns other logits than predict")
    sparse = hasattr(head.features, "toarray")
    features = np.asarray(head.features.toarray() if sparse else head.features, dtype=np.float64)
    if features.ndim != 2 or len(features) != len(training):
        fail(classifier, f"head returned features of shape {features.shape}, not (n, d)")
    # The softmax does not depend on a constant added to all logits of a row.
    logits = np.asarray(head.logits, dtype=np.float64)
    logits = logits - logits.mean(axis=1, keepdims=True)
    design = np.column_stack([features, np.ones(len(features))])
    error = logits - design @ np.linalg.lstsq(design, logits, rcond=None)[0]
    if np.abs(error).max() > 0.01 * max(float(np.abs(logits).max()), 1.0):
        fail(classifier, "the logits of head are not linear in its features")


def _check_outputs(
    classifier: Classifier, answer: Outputs, outputs: frozenset[str], n: int, n_classes: int
) -> None:
    logits = np.asarray(answer.logits)
    if logits.shape != (n, n_classes):
        fail(
            classifier,
            f"predict returned logits of shape {logits.shape}, not {(n, n_classes)}: one column "
            "per class, also for a class without training rows",
        )
    if np.isnan(logits).any() or np.isposinf(logits).any():
        fail(classifier, "predict returned logits that are NaN or +infinity")
    for name in sorted(outputs):
        value = getattr(answer, name)
        if value is None:
            fail(classifier, f"predict returned no {name}, but the classifier provides them")
        shape = np.asarray(value).shape
        valid = shape[0] == n if name == "features" else shape[1:] == (n, n_classes)
        if len(shape) != (2 if name == "features" else 3) or not valid:
            expected = "(n, d)" if name == "features" else "(s, n, K)"
            fail(classifier, f"predict returned {name} of shape {shape}, not {expected}")


def _check_rows(
    classifier: Classifier, fitted: Classifier, training: TrainingSet, answer: Outputs
) -> None:
    order = np.arange(len(training))[::-1]
    reverse = fitted.predict(take_inputs(training.inputs, order), frozenset())
    if not near(np.asarray(reverse.logits)[::-1], answer.logits, _TOLERANCE):
        fail(classifier, "the logits of a row depend on the order of the rows")
    single = fitted.predict(take_inputs(training.inputs, [3]), frozenset())
    if not near(single.logits, np.asarray(answer.logits)[3:4], _TOLERANCE):
        fail(classifier, "the logits of a row depend on the other rows of the batch")


def _training(kind: str, n_classes: int) -> TrainingSet:
    rng = np.random.default_rng(n_classes)
    n = 24 * n_classes
    labels = np.arange(n) % n_classes
    inputs: Any
    if kind == "numeric":
        inputs = rng.normal(size=(n, 2)) + labels[:, None]
    else:
        words = np.array(["rain", "sun", "wind", "cloud", "storm", "calm", "mist", "frost"])
        weights = rng.permuted(np.tile(np.linspace(1, 8, 8), (n_classes, 1)), axis=1)
        shares = weights / weights.sum(axis=1, keepdims=True)
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
