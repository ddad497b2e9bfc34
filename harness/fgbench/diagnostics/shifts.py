"""How retraining shifted the targeted bins, compared with the requested shift.

The baseline's predictions assign test points to bins; the same points are compared after
retraining. Since bins are selected by the baseline's own errors, they regress toward the mean
under any retraining: only the same bins under the controls show the effect of synthetic inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fgbench.calibration.reliability import bin_index, positive_class, top_label
from fgbench.diagnostics.models import BinShiftRecord

if TYPE_CHECKING:
    from fgbench.data import Predictions
    from fgbench.loop.targeting import Targets

DIRECTIONS = ("lower", "raise")
_STILL = 1e-9


@dataclass(frozen=True)
class Movement:
    """The mean over all bins with one requested direction, weighted by their test points.

    `asked` and `change` are the requested and the actual shift of the bins' class, `confidence`
    and `accuracy` the changes of the predicted class, `gap` the change of |outcome − probability|
    per bin. `obeyed` of `bins` bins moved as requested. `beyond_real` is `change` minus that of
    the control `real` in the same bins, None without that control.
    """

    direction: str
    bins: int
    points: int
    asked: float
    change: float
    confidence: float
    accuracy: float
    gap: float
    obeyed: int
    beyond_real: float | None


def bin_shifts(
    targets: Targets, bins: int, baseline: Predictions, retrained: Predictions
) -> list[BinShiftRecord]:
    """Return the shift of the test points of each targeted bin.

    `baseline` and `retrained` are predictions for the same n test rows; `bins` is the number of
    bins of the diagram that `targets` come from.
    """
    binary = baseline.n_classes == 2
    confidence, correct = top_label(baseline)
    new_confidence, new_correct = top_label(retrained)
    indices = bin_index(positive_class(baseline)[0] if binary else confidence, bins)
    before, after = baseline.probabilities(), retrained.probabilities()
    predicted = before.argmax(axis=1)
    records = []
    for item in targets.bins:
        rows = np.flatnonzero(indices == item.bin)
        classes = np.full(len(rows), item.confidence > 0.5) if binary else predicted[rows]
        classes = classes.astype(np.int64)
        change = after[rows, classes] - before[rows, classes]
        n = len(rows)
        records.append(
            BinShiftRecord(
                bin=item.bin,
                n=n,
                asked_shift=_asked_shift(targets, item.bin),
                before=_mean(before[rows, classes]),
                after=_mean(after[rows, classes]),
                stderr=float(change.std(ddof=1) / np.sqrt(n)) if n > 1 else None,
                outcome=_mean(baseline.labels[rows] == classes),
                confidence_before=_mean(confidence[rows]),
                confidence_after=_mean(new_confidence[rows]),
                accuracy_before=_mean(correct[rows]),
                accuracy_after=_mean(new_correct[rows]),
            )
        )
    return records


def movements(
    shifts: Iterable[Sequence[BinShiftRecord]],
    real: Iterable[Sequence[BinShiftRecord] | None],
) -> dict[str, Movement]:
    """Summarize the bins of several seeds by the requested direction.

    `real` has the same bins under the control, seed by seed. Empty bins and bins without a
    requested shift do not count.
    """
    pairs: dict[str, list[tuple[BinShiftRecord, BinShiftRecord | None]]] = {}
    for records, control_records in zip(shifts, real, strict=True):
        control: Mapping[int, BinShiftRecord] = {item.bin: item for item in control_records or ()}
        for item in records:
            if item.n and abs(item.asked_shift) > _STILL:
                direction = DIRECTIONS[item.asked_shift > 0]
                pairs.setdefault(direction, []).append((item, control.get(item.bin)))
    return {name: _movement(name, pairs[name]) for name in DIRECTIONS if name in pairs}


def _movement(
    direction: str, pairs: Sequence[tuple[BinShiftRecord, BinShiftRecord | None]]
) -> Movement:
    weights = np.array([item.n for item, _ in pairs], dtype=np.float64)

    def mean(values: Sequence[float]) -> float:
        return float(np.average(values, weights=weights))

    changes = [_change(item) for item, _ in pairs]
    control = [_change(other) for _, other in pairs if other is not None and other.n]
    change = mean(changes)
    return Movement(
        direction=direction,
        bins=len(pairs),
        points=int(weights.sum()),
        asked=mean([item.asked_shift for item, _ in pairs]),
        change=change,
        confidence=mean(
            [_less(item.confidence_after, item.confidence_before) for item, _ in pairs]
        ),
        accuracy=mean([_less(item.accuracy_after, item.accuracy_before) for item, _ in pairs]),
        gap=mean(
            [
                abs(_less(item.outcome, item.after)) - abs(_less(item.outcome, item.before))
                for item, _ in pairs
            ]
        ),
        obeyed=sum(
            shift * item.asked_shift > 0 for shift, (item, _) in zip(changes, pairs, strict=True)
        ),
        beyond_real=change - mean(control) if len(control) == len(pairs) else None,
    )


def _asked_shift(targets: Targets, number: int) -> float:
    """Return the mean requested shift of a bin's sources, in the class with the higher probability.

    A random bin from which no point was drawn has no sources and so no requested shift.
    """
    shifts = []
    for source in targets.sources:
        if source.bin == number:
            label = int(np.argmax(source.bin_probabilities))
            shifts.append(source.asked_probabilities[label] - source.bin_probabilities[label])
    return float(np.mean(shifts)) if shifts else 0.0


def _change(item: BinShiftRecord) -> float:
    return _less(item.after, item.before)


def _less(value: float | None, other: float | None) -> float:
    assert value is not None
    assert other is not None
    return value - other


def _mean(values: object) -> float | None:
    array = np.asarray(values, dtype=np.float64)
    return float(array.mean()) if array.size else None
