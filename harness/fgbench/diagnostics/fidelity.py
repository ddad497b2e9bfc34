"""Does the generator follow its requests? Requested class probabilities against those of inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fgbench.diagnostics.models import FidelityRecord, FitRecord, Judge

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fgbench.samples import Probabilities, RunSample

    Floats = NDArray[np.float64]

JUDGES: Mapping[Judge, Callable[[RunSample], Probabilities | None]] = {
    "baseline": lambda sample: sample.baseline_probabilities,
    "posterior": lambda sample: sample.achieved_probabilities,
    "relabeler": lambda sample: sample.relabeled_probabilities,
    "generator": lambda sample: sample.claimed_probabilities,
}
"""The class probabilities of a sample according to each judge; None without an estimate."""

_MIN_SPREAD = 1e-9


def fidelity(samples: Sequence[RunSample]) -> dict[Judge, FidelityRecord]:
    """Return how well samples match their requests, for each judge of at least one of them."""
    records: dict[Judge, FidelityRecord] = {}
    for judge, probabilities in JUDGES.items():
        accepted, candidates = [], []
        for sample in samples:
            estimate = probabilities(sample)
            if estimate is not None:
                row = _row(sample, estimate)
                candidates.append(row)
                if sample.accepted:
                    accepted.append(row)
        if candidates:
            by_baseline = judge == "baseline"
            records[judge] = FidelityRecord(
                accepted=_fit(accepted, by_baseline), candidates=_fit(candidates, by_baseline)
            )
    return records


def asked_class(asked: Sequence[float]) -> int:
    """Return the class whose probability is compared: class 1 of two, else the most requested."""
    return 1 if len(asked) == 2 else int(np.argmax(asked))


def fit(asked: Floats, estimate: Floats, before: Floats, *, by_baseline: bool) -> FitRecord:
    """Return how n estimated probabilities (n,) follow the requested ones (n,).

    `before` (n,) is what the baseline predicts in the sources' bins, on average; `by_baseline`
    says that it is also the judge.
    """
    n = len(asked)
    if n == 0:
        why = "no input to judge"
        names = ("error", "bias", "correlation", "slope", "unchanged_error")
        return FitRecord(n=0, undefined=dict.fromkeys(names, why))
    undefined: dict[str, str] = {}
    slope = correlation = shift_slope = None
    if np.ptp(asked) <= _MIN_SPREAD:
        undefined |= dict.fromkeys(("slope", "correlation"), "all were asked alike")
    else:
        slope = _slope(asked, estimate)
        if np.ptp(estimate) <= _MIN_SPREAD:
            undefined["correlation"] = "all were found alike"
        else:
            correlation = float(np.clip(np.corrcoef(asked, estimate)[0, 1], -1, 1))
    if by_baseline:
        if np.ptp(asked - before) <= _MIN_SPREAD:
            undefined["shift_slope"] = "all were asked to shift alike"
        else:
            shift_slope = _slope(asked - before, estimate - before)
    return FitRecord(
        n=n,
        error=float(np.abs(estimate - asked).mean()),
        bias=float((estimate - asked).mean()),
        correlation=correlation,
        slope=slope,
        unchanged_error=float(np.abs(asked - before).mean()),
        shift_slope=shift_slope,
        undefined=undefined,
    )


def _row(sample: RunSample, estimate: Probabilities) -> tuple[float, float, float]:
    label = asked_class(sample.asked_probabilities)
    return sample.asked_probabilities[label], estimate[label], sample.bin_probabilities[label]


def _fit(rows: Iterable[tuple[float, float, float]], by_baseline: bool) -> FitRecord:
    columns = np.array(list(rows), dtype=np.float64).reshape(-1, 3).T
    return fit(*columns, by_baseline=by_baseline)


def _slope(x: Floats, y: Floats) -> float:
    """Return the slope of the least-squares line of y on x."""
    centered = x - x.mean()
    return float(centered @ (y - y.mean()) / (centered @ centered))
