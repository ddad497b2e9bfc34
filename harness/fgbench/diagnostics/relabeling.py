"""How often relabeling gives a candidate its source's class, and whether the baseline agrees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fgbench.diagnostics.models import RelabelingRecord, ShareRecord

if TYPE_CHECKING:
    from fgbench.samples import RunSample


@dataclass(frozen=True)
class _Relabeled:
    """A sample that was relabeled; `baseline` is the class that the baseline predicts, if any."""

    bin: int
    source_label: int
    label: int
    baseline: int | None


def relabeling_agreement(samples: Iterable[RunSample]) -> RelabelingRecord:
    """Return the agreement of relabeling with the sources' labels and with the baseline.

    Samples that were rejected before relabeling do not count.
    """
    relabeled = []
    unreadable = 0
    for sample in samples:
        if sample.relabeled is None:
            unreadable += sample.relabel_raw is not None
            continue
        probabilities = sample.baseline_probabilities
        baseline = None if probabilities is None else _argmax(probabilities)
        relabeled.append(_Relabeled(sample.bin, sample.source.label, sample.relabeled, baseline))
    if not relabeled:
        names = ("share", "baseline_share", "kappa")
        undefined = dict.fromkeys(names, "no candidate was relabeled")
        return RelabelingRecord(n=0, unreadable=unreadable, undefined=undefined)
    pairs = [(item, item.baseline) for item in relabeled if item.baseline is not None]
    undefined = {}
    agreement = baseline_share = None
    if pairs:
        baseline_share = _share((item.source_label, baseline) for item, baseline in pairs)
        agreement = kappa([item.label for item, _ in pairs], [baseline for _, baseline in pairs])
        if agreement is None:
            undefined["kappa"] = "both give one and the same label to all"
    else:
        reason = "the baseline classifier was not asked"
        undefined |= dict.fromkeys(("baseline_share", "kappa"), reason)
    return RelabelingRecord(
        n=len(relabeled),
        share=_source_share(relabeled).share,
        unreadable=unreadable,
        baseline_share=baseline_share,
        kappa=agreement,
        judged=len(pairs),
        by_bin=_by(relabeled, lambda item: item.bin),
        by_class=_by(relabeled, lambda item: item.source_label),
        undefined=undefined,
    )


def kappa(first: Sequence[int], second: Sequence[int]) -> float | None:
    """Return Cohen's kappa of two labelings: (p_o − p_e)/(1 − p_e), at most 1, 0 by chance.

    None if agreement by chance is certain. Source: Cohen 1960, eq. 1. scikit-learn's function
    differs in the last digit and takes a second to import, which a run of stored stages does not.
    """
    n = len(first)
    observed = _share(zip(first, second, strict=True))
    first_counts, second_counts = Counter(first), Counter(second)
    expected = sum(first_counts[label] * second_counts[label] for label in first_counts) / n**2
    return None if expected == 1 else (observed - expected) / (1 - expected)


def _by(
    relabeled: Sequence[_Relabeled], key: Callable[[_Relabeled], int]
) -> dict[str, ShareRecord]:
    groups: dict[int, list[_Relabeled]] = {}
    for item in relabeled:
        groups.setdefault(key(item), []).append(item)
    return {str(number): _source_share(groups[number]) for number in sorted(groups)}


def _source_share(relabeled: Sequence[_Relabeled]) -> ShareRecord:
    pairs = [(item.label, item.source_label) for item in relabeled]
    return ShareRecord(n=len(pairs), share=_share(pairs))


def _share(pairs: Iterable[tuple[int, int]]) -> float:
    equal = [first == second for first, second in pairs]
    return sum(equal) / len(equal)


def _argmax(values: Sequence[float]) -> int:
    return max(range(len(values)), key=values.__getitem__)
