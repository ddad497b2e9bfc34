"""Arms: what the model is retrained on (DESIGN.md "Arms"; FITG section 4.4).

A composition refers to rows instead of copying them: which validation rows join the training
split, which are duplicated, and which synthetic inputs are added. With T the training split, V the
selection rows, S1 the targeted points and S2 the synthetic ones:

    baseline      T
    real          T + V                       the same real data, no synthetic point
    synthesis     T + V − S1 + S2             FITG: S2 replaces S1
    synthesis+    T + V + S2                  FITG: S2 is added

Each control differs from `synthesis+` in one thing. It adds as many inputs as S2 has, of the same
classes. For each text of S2, that is

    resample      a duplicate of its source
    fresh-real    a real row that was set aside from T
    other-bins    a text made from a real point outside the targeted bins
    no-shift      a text made from its source, requested at the mean of the bin
    reversed      a text made from its source, requested to shift the other way
    unfiltered    the first text of a targeted point, of any class, with the label of relabeling

`random-bins` adds texts made from as many points of random bins as S1 has. These are mostly the
targeted points, so it is not a default. `fgbench.loop.additions` counts what does not match.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from fgbench.data import RESERVE
from fgbench.digests import seed_for
from fgbench.loop.relabeling import OTHER_LABEL
from fgbench.parts.classifier import TrainingSet
from fgbench.texts import normalize

if TYPE_CHECKING:
    from fgbench.data import Dataset, IntArray
    from fgbench.samples import Design, Sample

Arm = Literal[
    "baseline",
    "real",
    "resample",
    "fresh-real",
    "random-bins",
    "other-bins",
    "no-shift",
    "reversed",
    "unfiltered",
    "synthesis",
    "synthesis+",
]

ARMS: tuple[Arm, ...] = get_args(Arm)
"""All arms in the order in which tables show them."""

DEFAULT_ARMS: tuple[Arm, ...] = (
    "baseline",
    "real",
    "resample",
    "other-bins",
    "no-shift",
    "synthesis",
    "synthesis+",
)

DESIGNS: Mapping[Arm, Design] = {
    "resample": "targeted",
    "fresh-real": "targeted",
    "random-bins": "random",
    "other-bins": "other-bins",
    "no-shift": "no-shift",
    "reversed": "reversed",
    "unfiltered": "targeted",
    "synthesis": "targeted",
    "synthesis+": "targeted",
}
"""The arms that depend on targeted bins and a generator, and the design of their samples."""

MATCHED_DESIGNS: frozenset[Design] = frozenset({"other-bins", "no-shift", "reversed"})
"""The designs that request one text for each accepted text of the targeted design."""

MATCHED_ARMS = frozenset(DESIGNS) - {"random-bins", "synthesis", "synthesis+"}
"""The arms that add as many inputs as `synthesis+`."""

WITHOUT_TEXTS = frozenset({"resample", "fresh-real"})
"""The generating arms that add real rows: as many, and of the same classes, as there are texts."""


def compose(
    arm: Arm,
    selection: IntArray,
    targeted: Sequence[int] = (),
    samples: Sequence[Sample] = (),
    *,
    reserve: IntArray | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the composition of an arm as JSON values.

    `selection` and `targeted` are rows of the validation split. `targeted` has the source of each
    request; `synthesis` replaces these rows, S1. `samples` are all candidates of the arm's design.
    `reserve` has the labels of the rows that were set aside, from which `fresh-real` draws by
    `seed`.

    With a shortage, `synthesis` replaces only as many rows as there are synthetic inputs, their
    sources first, so that |S2| = |S1| and no real row is lost without a replacement.
    """
    validation = [] if arm == "baseline" else selection.tolist()
    added = [samples[index] for index in added_samples(arm, targeted, samples)]
    if arm == "synthesis":
        replaced = _replaced(targeted, added)
        validation = [row for row in validation if row not in replaced]
    composition: dict[str, Any] = {"validation": validation, "duplicates": [], "synthetic": []}
    if arm == "resample":
        composition["duplicates"] = sorted(sample.source.index for sample in added)
    elif arm == "fresh-real":
        wanted = Counter(sample.source.label for sample in added)
        composition["reserve"] = [] if reserve is None else _drawn(reserve, wanted, seed)
    else:
        composition["synthetic"] = [
            {
                "input": sample.input,
                "label": added_label(arm, sample),
                "soft": sample.asked_probabilities,
            }
            for sample in added
        ]
    return composition


def added_samples(arm: Arm, targeted: Sequence[int], samples: Sequence[Sample]) -> list[int]:
    """Return the positions of the samples that an arm adds, or that its real rows match.

    They are the accepted ones; without the label filter, the first of each targeted point with any
    label.
    """
    if arm not in DESIGNS:
        return []
    accepted = [index for index, sample in enumerate(samples) if sample.accepted]
    if arm == "unfiltered":
        return _unfiltered(targeted, samples, at_most=len(accepted))
    return accepted


def added_label(arm: Arm, sample: Sample) -> int:
    """Return the label with which an arm adds a sample."""
    if arm == "unfiltered":
        assert sample.relabeled is not None
        return sample.relabeled
    return sample.source.label


def training_set(dataset: Dataset, composition: Mapping[str, Any]) -> TrainingSet:
    """Return the training set of a composition: all real rows, then the synthetic ones."""
    import numpy as np

    splits = dataset.splits
    rows = {"validation": [*composition["validation"], *composition["duplicates"]]}
    if reserved := composition.get("reserve"):
        rows[RESERVE] = reserved
    real = [splits["train"], *(splits[name].take(chosen) for name, chosen in rows.items())]
    synthetic = composition["synthetic"]
    n_real = sum(map(len, real))
    labels = np.concatenate(
        [split.labels for split in real]
        + [np.array([item["label"] for item in synthetic], dtype=np.int64)]
    )
    parts = [split.inputs for split in real]
    synthetic_inputs = [item["input"] for item in synthetic]
    inputs: Any
    if dataset.is_text:
        inputs = [text for part in parts for text in part] + synthetic_inputs
    else:
        features = np.array(synthetic_inputs, dtype=np.float64)
        inputs = np.concatenate([*parts, features.reshape(-1, np.shape(parts[0])[1])])
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
    rows = dict.fromkeys(targeted)
    first = [row for row in rows if row in sources]
    others = [row for row in rows if row not in sources]
    return set((first + others)[: len(accepted)])


def _unfiltered(targeted: Sequence[int], samples: Sequence[Sample], at_most: int) -> list[int]:
    """Return the samples that training would use without the label filter, `at_most` many.

    Each request gets its source's first text with a label; another one of its bin fills in. If
    these are too many, as many are left out, evenly over the sources.
    """
    turns: Counter[tuple[int, int]] = Counter()
    candidates: list[tuple[int, int, int]] = []  # turn within its reply, draw, position
    for index, sample in enumerate(samples):
        if sample.relabeled is not None and sample.reason in (None, OTHER_LABEL):
            reply = sample.source.index, sample.draw
            candidates.append((turns[reply], sample.draw, index))
            turns[reply] += 1
    bins = {sample.source.index: sample.bin for sample in samples}
    due = Counter(targeted)
    due_in_bin = Counter(bins[row] for row in targeted if row in bins)
    used: set[str] = set()
    chosen: set[int] = set()
    for of_its_source in (True, False):
        for _, _, index in sorted(candidates):
            sample = samples[index]
            here = due[sample.source.index] if of_its_source else due_in_bin[sample.bin]
            if here > 0 and index not in chosen and not _repeats(sample, used):
                due[sample.source.index] -= 1
                due_in_bin[sample.bin] -= 1
                chosen.add(index)
    order = {row: place for place, row in enumerate(dict.fromkeys(targeted))}
    ranked = sorted(chosen, key=lambda index: (order[samples[index].source.index], index))
    n = min(at_most, len(ranked))
    return [ranked[place * len(ranked) // n] for place in range(n)]


def _repeats(sample: Sample, used: set[str]) -> bool:
    """Return whether a text was used before, and record it; numbers may repeat."""
    if not isinstance(sample.input, str):
        return False
    text = normalize(sample.input)
    repeats = text in used
    used.add(text)
    return repeats


def _drawn(labels: IntArray, wanted: Mapping[int, int], seed: int) -> list[int]:
    """Return rows with the `wanted` number of each class, or all that there are, sorted."""
    import numpy as np

    rng = np.random.default_rng(seed_for("fresh real rows", seed))
    rows: list[int] = []
    for label in range(int(labels.max(initial=-1)) + 1):
        members = rng.permutation(np.flatnonzero(labels == label))
        rows += members[: wanted.get(label, 0)].tolist()
    return sorted(rows)
