"""Arms: what the model is retrained on (DESIGN.md "Arms"; FITG section 4.4).

A composition refers to rows instead of copying them: which validation rows join the training
split, which are duplicated, and which synthetic inputs are added. With T the training split, V the
selection rows, S1 the targeted points and S2 the synthetic ones:

    baseline      T
    real          T + V                       the same real data, no synthetic point
    synthesis     T + V − S1 + S2             FITG: S2 replaces S1
    synthesis+    T + V + S2                  FITG: S2 is added
    resample      T + V + duplicates          of the sources of S2, one per synthetic input
    random-bins   T + V + S2'                 S2' from random bins
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from fgbench.data import take_inputs
from fgbench.parts.classifier import TrainingSet

if TYPE_CHECKING:
    from fgbench.data import Dataset, IntArray
    from fgbench.samples import Sample

Arm = Literal["baseline", "real", "resample", "random-bins", "synthesis", "synthesis+"]

ARMS: tuple[Arm, ...] = get_args(Arm)
"""All arms in the order in which tables show them."""

GENERATING_ARMS = frozenset({"synthesis", "synthesis+", "resample", "random-bins"})
"""The arms that depend on targeted bins and a generator."""


def compose(
    arm: Arm,
    selection: IntArray,
    targeted: Sequence[int] = (),
    accepted: Sequence[Sample] = (),
) -> dict[str, Any]:
    """Return the composition of an arm as JSON values.

    `selection` and `targeted` are rows of the validation split; `synthesis` replaces the `targeted`
    rows, S1. `accepted` are the accepted samples of targeted or, for `random-bins`, random bins.

    With a shortage, `synthesis` replaces only as many rows as there are synthetic inputs, their
    sources first, so that |S2| = |S1| and no real row is lost without a replacement.
    """
    validation = [] if arm == "baseline" else selection.tolist()
    duplicates: list[int] = []
    synthetic: list[dict[str, Any]] = []
    if arm == "resample":
        duplicates = [sample.source.index for sample in accepted]
    elif arm in ("synthesis", "synthesis+", "random-bins"):
        synthetic = [
            {
                "input": sample.input,
                "label": sample.source.label,
                "soft": sample.asked_probabilities,
            }
            for sample in accepted
        ]
    if arm == "synthesis":
        replaced = _replaced(targeted, accepted)
        validation = [row for row in validation if row not in replaced]
    return {
        "validation": validation,
        "duplicates": sorted(duplicates),
        "synthetic": synthetic,
    }


def training_set(dataset: Dataset, composition: Mapping[str, Any]) -> TrainingSet:
    """Return the training set of a composition: training, validation, duplicate, synthetic rows."""
    import numpy as np

    train, validation = dataset.splits["train"], dataset.splits["validation"]
    rows = [*composition["validation"], *composition["duplicates"]]
    synthetic = composition["synthetic"]
    n_real = len(train) + len(rows)
    labels = np.concatenate(
        [
            train.labels,
            validation.labels[np.array(rows, dtype=np.int64)],
            np.array([item["label"] for item in synthetic], dtype=np.int64),
        ]
    )
    parts = [train.inputs, take_inputs(validation.inputs, rows)]
    synthetic_inputs = [item["input"] for item in synthetic]
    inputs: Any
    if dataset.is_text:
        inputs = [text for part in parts for text in part] + synthetic_inputs
    else:
        features = np.array(synthetic_inputs, dtype=np.float64)
        inputs = np.concatenate([*parts, features.reshape(-1, np.shape(train.inputs)[1])])
    soft = np.eye(dataset.n_classes)[labels]
    if synthetic:
        soft[n_real:] = [item["soft"] for item in synthetic]
    return TrainingSet(
        inputs=inputs,
        labels=labels,
        n_classes=dataset.n_classes,
        soft_labels=soft,
        synthetic=np.arange(len(labels)) >= n_real,
        task=dataset.task,
        label_names=dataset.label_names,
        label_descriptions=dataset.label_descriptions,
    )


def _replaced(targeted: Sequence[int], accepted: Sequence[Sample]) -> set[int]:
    """Return as many targeted rows as there are synthetic inputs, their sources first."""
    sources = {sample.source.index for sample in accepted}
    first = [row for row in targeted if row in sources]
    others = [row for row in targeted if row not in sources]
    return set((first + others)[: len(accepted)])
