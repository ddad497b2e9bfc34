"""How often relabeling gives a candidate its source's class, and whether the baseline agrees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from fgbench.diagnostics.models import RelabelingRecord, ShareRecord


def relabeling(samples: Sequence[Mapping[str, Any]]) -> RelabelingRecord:
    """Return the agreement of the relabeler with the sources' labels, and with the baseline's.

    `samples` are lineage lines; those that were turned away before relabeling play no part.
    """
    labelled = [sample for sample in samples if sample.get("relabeled") is not None]
    unreadable = sum(
        sample.get("relabeled") is None and sample.get("relabel_raw") is not None
        for sample in samples
    )
    if not labelled:
        names = ("share", "baseline_share", "kappa")
        undefined = dict.fromkeys(names, "no candidate was relabeled")
        return RelabelingRecord(n=0, unreadable=unreadable, undefined=undefined)
    judged = [sample for sample in labelled if sample.get("baseline_probabilities") is not None]
    undefined = {}
    agreement = baseline_share = None
    if judged:
        predicted = [_largest(sample["baseline_probabilities"]) for sample in judged]
        wanted = [sample["source"]["label"] for sample in judged]
        baseline_share = _share(zip(predicted, wanted, strict=True))
        agreement = kappa([sample["relabeled"] for sample in judged], predicted)
        if agreement is None:
            undefined["kappa"] = "both give one and the same label to all"
    else:
        why = "the baseline classifier was not asked"
        undefined |= dict.fromkeys(("baseline_share", "kappa"), why)
    return RelabelingRecord(
        n=len(labelled),
        share=_alike(labelled).share,
        unreadable=unreadable,
        baseline_share=baseline_share,
        kappa=agreement,
        judged=len(judged),
        by_bin=_by(labelled, lambda sample: sample["bin"]),
        by_class=_by(labelled, lambda sample: sample["source"]["label"]),
        undefined=undefined,
    )


def kappa(first: Sequence[int], second: Sequence[int]) -> float | None:
    """Return Cohen's kappa of two labellings: (p_o − p_e)/(1 − p_e), at most 1, 0 by chance.

    None where chance alone agrees always. Source: Cohen 1960, eq. 1.
    """
    n = len(first)
    observed = _share(zip(first, second, strict=True))
    ours, theirs = Counter(first), Counter(second)
    expected = sum(ours[label] * theirs[label] for label in ours) / n**2
    return None if expected == 1 else (observed - expected) / (1 - expected)


def _by(
    samples: Sequence[Mapping[str, Any]], key: Callable[[Mapping[str, Any]], int]
) -> dict[str, ShareRecord]:
    groups: dict[int, list[Mapping[str, Any]]] = {}
    for sample in samples:
        groups.setdefault(key(sample), []).append(sample)
    return {str(name): _alike(groups[name]) for name in sorted(groups)}


def _alike(samples: Sequence[Mapping[str, Any]]) -> ShareRecord:
    pairs = [(sample["relabeled"], sample["source"]["label"]) for sample in samples]
    return ShareRecord(n=len(pairs), share=_share(pairs))


def _share(pairs: Iterable[tuple[int, int]]) -> float:
    equal = [first == second for first, second in pairs]
    return sum(equal) / len(equal)


def _largest(values: Sequence[float]) -> int:
    return max(range(len(values)), key=values.__getitem__)
