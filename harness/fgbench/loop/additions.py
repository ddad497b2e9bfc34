"""What an arm added to the training set of `real`, and how well it matches `synthesis+`.

A comparison of arms is one of targeting, of the shift or of the label filter only if the arms are
equal in everything else. These are the numbers that say whether they are.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fgbench.data import RESERVE
from fgbench.loop.arms import MATCHED_ARMS, added_label, added_samples
from fgbench.loop.targeting import leading_class

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fgbench.data import Dataset, IntArray
    from fgbench.loop.arms import Arm
    from fgbench.loop.targeting import Targets
    from fgbench.samples import Sample


@dataclass(frozen=True)
class Design:
    """The sources of one design and all candidates that they led to."""

    targets: Targets
    samples: Sequence[Sample]


@dataclass(frozen=True)
class BinLabels:
    """The labels of n added inputs of one bin, as rates of the class that the bin is about.

    `bin_rate` is that of the bin's real points, `asked` the mean requested probability, and
    `label_rate` that of the labels that the inputs are added with.
    """

    bin: int
    n: int
    bin_rate: float
    asked: float
    label_rate: float


@dataclass(frozen=True)
class Additions:
    """What one arm added in one seed.

    `asked` and `used` are the numbers of inputs by class (K,) that were to be added and that were.
    `targeted_points` are in the `targeted_bins`, `source_points` are the distinct real points that
    the added inputs come from, and `shared_points` are both. Of `requests`, `wrong_way` asked to
    move away from the diagonal (`Targets.wrong_way`); `mean_shift` is the mean of |requested − mean
    of the bin|. All of these are zero for real rows that were set aside.
    """

    asked: tuple[int, ...]
    used: tuple[int, ...]
    targeted_bins: int
    targeted_points: int
    source_points: int
    shared_points: int
    requests: int
    wrong_way: int
    mean_shift: float
    bins: tuple[BinLabels, ...]


def additions(
    arm: Arm,
    dataset: Dataset,
    selection: IntArray,
    own: Design,
    targeted: Design,
    composition: Mapping[str, Any],
) -> Additions:
    """Return what a generating arm added.

    `selection` maps rows of targets to validation rows, `own` is the arm's design and `targeted`
    the one that it is matched with; for `synthesis` and `synthesis+` they are the same.
    """
    splits, n_classes = dataset.splits, dataset.n_classes
    labels = splits["validation"].labels
    if arm in MATCHED_ARMS:
        asked = [sample.source.label for sample in targeted.samples if sample.accepted]
    else:
        asked = [int(labels[selection[source.row]]) for source in own.targets.sources]
    used = [item["label"] for item in composition["synthetic"]]
    used += labels[composition["duplicates"]].tolist()
    if reserved := composition.get("reserve"):
        used += splits[RESERVE].labels[reserved].tolist()
    rows = [int(selection[source.row]) for source in own.targets.sources]
    added = [own.samples[index] for index in added_samples(arm, rows, own.samples)]
    from_sources = arm != "fresh-real"
    sources = {sample.source.index for sample in added if from_sources}
    targeted_points = {int(selection[row]) for row in targeted.targets.rows}
    shifts = [abs(source.shift) for source in own.targets.sources]
    requested = from_sources and arm != "resample"
    return Additions(
        asked=_counts(asked, n_classes),
        used=_counts(used, n_classes),
        targeted_bins=len(targeted.targets.bins),
        targeted_points=len(targeted_points),
        source_points=len(sources),
        shared_points=len(sources & targeted_points),
        requests=len(shifts) if requested else 0,
        wrong_way=own.targets.wrong_way if requested else 0,
        mean_shift=sum(shifts) / len(shifts) if requested and shifts else 0.0,
        bins=tuple(_bin_labels(arm, own.targets, added)) if from_sources else (),
    )


def label_difference(rates: Iterable[tuple[int, float, float]]) -> float | None:
    """Return the mean over added inputs of |label rate − other rate| of their bins.

    `rates` has for each bin its number of inputs, their label rate, and the other rate: that of the
    bin's points, or the requested one. FITG's filter makes labels harder than both. None without
    inputs.
    """
    differences = [(n, abs(label_rate - other)) for n, label_rate, other in rates]
    total = sum(n for n, _ in differences)
    return sum(n * difference for n, difference in differences) / total if total else None


def _bin_labels(arm: Arm, targets: Targets, added: Sequence[Sample]) -> Iterable[BinLabels]:
    by_bin: dict[int, list[tuple[float, bool]]] = {}
    for sample in added:
        label = leading_class(sample.bin_probabilities)
        pair = sample.asked_probabilities[label], added_label(arm, sample) == label
        by_bin.setdefault(sample.bin, []).append(pair)
    for item in targets.bins:
        if pairs := by_bin.get(item.bin):
            yield BinLabels(
                bin=item.bin,
                n=len(pairs),
                bin_rate=item.confidence + item.gap,
                asked=sum(asked for asked, _ in pairs) / len(pairs),
                label_rate=sum(has_label for _, has_label in pairs) / len(pairs),
            )


def _counts(labels: Iterable[int], n_classes: int) -> tuple[int, ...]:
    counts = Counter(labels)
    return tuple(counts[label] for label in range(n_classes))
