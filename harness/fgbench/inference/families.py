"""Families of contrasts: Holm's adjustment, and the word that each contrast gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from fgbench.inference.contrasts import SIGNIFICANCE, Contrast

if TYPE_CHECKING:
    from fgbench.records import Interval

Word = Literal["within", "better", "worse", "cannot tell", "none"]
"""`within` the margin; `none`: no inference is possible, and the contrast's reason says why."""


@dataclass(frozen=True)
class Judgment:
    """A contrast as a member of its family.

    `interval` is the one that decides the word, of level `confidence`: for `better`, `worse` and
    `cannot tell` at the level of the contrast's step in Holm's procedure, so that it excludes 0 if
    and only if the word is `better` or `worse`; for `within` the 90 % interval, which lies between
    −margin and margin.
    """

    contrast: Contrast
    word: Word
    p_adjusted: float | None = None
    confidence: float | None = None
    interval: Interval | None = None


def judge(
    family: Sequence[Contrast], *, higher_is_better: bool, level: float = SIGNIFICANCE
) -> list[Judgment]:
    """Return the judgment on each contrast a − b of a family, in the same order.

    The margin comes first: a difference that is shown to be smaller than the margin is `within`,
    even if it is separable from 0. The p-values of all contrasts are adjusted together.
    """
    tested = [index for index, item in enumerate(family) if item.p_value is not None]
    p_values = [p for item in family if (p := item.p_value) is not None]
    adjusted = dict(zip(tested, holm(p_values), strict=True))
    steps = dict(zip(tested, _step_levels(p_values, level), strict=True))
    judgments = []
    for index, item in enumerate(family):
        if index not in adjusted:
            judgments.append(Judgment(item, "none", None, None, item.interval))
            continue
        p_adjusted, confidence = adjusted[index], 1.0 - steps[index]
        word: Word = "cannot tell"
        if item.p_equivalence is not None and item.p_equivalence < level:
            word, confidence = "within", 1.0 - 2.0 * level
        elif p_adjusted < level:
            word = "better" if (item.difference > 0) == higher_is_better else "worse"
        judgments.append(Judgment(item, word, p_adjusted, confidence, item.interval_at(confidence)))
    return judgments


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for the family-wise error (Holm 1979), in the same order."""
    values = np.asarray(p_values, dtype=np.float64)
    m = len(values)
    order = np.argsort(values, kind="stable")
    steps = np.minimum(1.0, np.arange(m, 0, -1) * values[order])
    adjusted = np.empty(m)
    adjusted[order] = np.maximum.accumulate(steps)
    return [float(value) for value in adjusted]


def _step_levels(p_values: Sequence[float], level: float) -> list[float]:
    """Return the level at which Holm's procedure tests each p-value.

    It is level/(m − j) for the (j + 1)-th smallest. At the first one that is not rejected the
    procedure stops, and all later ones have its level.
    """
    m = len(p_values)
    levels = [0.0] * m
    current, stopped = level, False
    for j, index in enumerate(sorted(range(m), key=lambda index: p_values[index])):
        if not stopped:
            current = level / (m - j)
            stopped = p_values[index] >= current
        levels[index] = current
    return levels
