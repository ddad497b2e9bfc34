"""Mean effects over data sets, with the data set as a random effect."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

from fgbench.inference.across.results import better
from fgbench.inference.components import quantile, two_sided
from fgbench.inference.contrasts import Contrast
from fgbench.inference.families import Word, holm, judge
from fgbench.records import Interval, Record

if TYPE_CHECKING:
    from fgbench.inference.across.results import ResultTable

Floats = NDArray[np.float64]

CONFIDENCE = 0.95

_ROUNDING = 1e-12


class Effect(Record):
    """The mean difference method − reference over data sets, each of which counts once.

    `interval` (95 %), `prediction_interval` (of one more data set like these), `p_value`
    (two-sided, no difference) and `p_equivalence` (the difference is at least `margin`) are null
    where no inference is possible, and `reason` says why. `p_adjusted` is Holm's over the family,
    and `deciding_interval`, of level `confidence`, is the one that belongs to the `word`
    (`fgbench.inference.judge`). `wins`, `ties` and `losses` count data sets. `p_sign` is the sign
    test's over those that are not tied, `p_sign_adjusted` Holm's.
    """

    confidence: float | None = None
    datasets: int
    deciding_interval: Interval | None = None
    degrees_of_freedom: int | None = None
    difference: float | None = None
    interval: Interval | None = None
    losses: int
    margin: float | None = None
    method: str
    p_adjusted: float | None = None
    p_equivalence: float | None = None
    p_sign: float | None = None
    p_sign_adjusted: float | None = None
    p_value: float | None = None
    prediction_interval: Interval | None = None
    reason: str | None = None
    reference: str
    standard_error: float | None = None
    ties: int
    wins: int
    word: Word = "none"

    def reversed(self) -> Effect:
        """Return the effect of the reference against the method."""
        words: dict[str, Word] = {"better": "worse", "worse": "better"}
        changes = {
            "difference": None if self.difference is None else -self.difference,
            "interval": _reversed(self.interval),
            "deciding_interval": _reversed(self.deciding_interval),
            "prediction_interval": _reversed(self.prediction_interval),
            "method": self.reference,
            "reference": self.method,
            "wins": self.losses,
            "losses": self.wins,
            "word": words.get(self.word, self.word),
        }
        return self.model_copy(update=changes)


def effect(
    table: ResultTable, cost: Floats, a: int, b: int, higher_is_better: bool, margin: float | None
) -> Effect:
    """Return the effect of method a against b, in the unit of the values."""
    differences, outcomes = [], []
    for tasks in table.tasks_of:
        x, y = cost[tasks, a], cost[tasks, b]
        common = ~np.isnan(x) & ~np.isnan(y)
        if not common.any():
            continue
        x, y = x[common], y[common]
        finite = bool(np.isfinite(x).all() and np.isfinite(y).all())
        mean = float(np.mean(x - y)) if finite else math.nan
        differences.append(mean)
        # A mean of infinite values says nothing: there, the tasks are counted.
        tied = finite and bool(np.allclose(better(x, y), 0.5))
        score = float(np.mean(better(x, y))) - 0.5
        outcomes.append(0.0 if tied else (-np.sign(mean) if finite else np.sign(score)))
    values = np.array(differences) * (-1.0 if higher_is_better else 1.0)
    wins, losses = (sum(outcome == sign for outcome in outcomes) for sign in (1, -1))
    k = len(values)
    changes: dict[str, object] = {}
    if k == 0:
        changes["reason"] = "the two methods have no task in common"
    elif np.isnan(values).any():
        changes["reason"] = "a value is infinite"
    else:
        changes = _inference(values, margin)
    return Effect.model_validate(
        {
            "datasets": k,
            "losses": losses,
            "margin": margin,
            "method": table.methods[a],
            "p_sign": sign_test(wins, losses) if k else None,
            "reference": table.methods[b],
            "ties": k - wins - losses,
            "wins": wins,
            **changes,
        }
    )


def judged(effects: Sequence[Effect], higher_is_better: bool) -> list[Effect]:
    """Return the effects as one family: with Holm's p-values, words and deciding intervals."""
    judgments = judge([_contrast(item) for item in effects], higher_is_better=higher_is_better)
    tested = [index for index, item in enumerate(effects) if item.p_sign is not None]
    p_signs = holm([item.p_sign for item in effects if item.p_sign is not None])
    adjusted = dict(zip(tested, p_signs, strict=True))
    return [
        item.model_copy(
            update={
                "confidence": judgment.confidence,
                "deciding_interval": judgment.interval,
                "p_adjusted": judgment.p_adjusted,
                "p_sign_adjusted": adjusted.get(index),
                "word": judgment.word,
            }
        )
        for index, (item, judgment) in enumerate(zip(effects, judgments, strict=True))
    ]


def _contrast(effect: Effect) -> Contrast:
    """Return the effect as a member of a family; its units are data sets."""
    return Contrast(
        degrees_of_freedom=effect.degrees_of_freedom,
        difference=effect.difference or 0.0,
        interval=effect.interval,
        margin=effect.margin,
        p_equivalence=effect.p_equivalence,
        p_value=effect.p_value,
        reason=effect.reason,
        rows=effect.datasets,
        seeds=1,
        standard_error=effect.standard_error,
    )


def mean_effect_interval(differences: Sequence[float] | Floats) -> tuple[float, Interval | None]:
    """Return the mean of the differences on k data sets and its 95 % interval.

    None for one data set, or if the differences do not vary.
    """
    values = np.asarray(differences, dtype=np.float64)
    mean, error = float(values.mean()), _standard_error(values)
    if error is None:
        return mean, None
    half = float(quantile(0.5 + CONFIDENCE / 2.0, len(values) - 1)) * error
    return mean, (mean - half, mean + half)


def sign_test(wins: int, losses: int) -> float:
    """Return the two-sided p-value of the exact sign test; ties are left out."""
    n = wins + losses
    return min(1.0, 2.0 * float(bdtr(min(wins, losses), n, 0.5))) if n else 1.0


def _inference(values: Floats, margin: float | None) -> dict[str, object]:
    """Return the fields of an effect that follow from the differences on k data sets."""
    k = len(values)
    mean, interval = mean_effect_interval(values)
    error = _standard_error(values)
    if error is None:
        one = "one data set shows nothing about others"
        same = "the difference is the same on all data sets"
        return {"difference": mean, "reason": one if k == 1 else same}
    half = float(quantile(0.5 + CONFIDENCE / 2.0, k - 1)) * error * math.sqrt(k + 1)
    fields: dict[str, object] = {
        "degrees_of_freedom": k - 1,
        "difference": mean,
        "interval": interval,
        "p_value": float(two_sided(mean / error, k - 1)),
        "prediction_interval": (mean - half, mean + half),
        "standard_error": error,
    }
    if margin is not None:
        t = (abs(mean) - margin) / error
        one_sided = float(two_sided(t, k - 1)) / 2.0
        fields["p_equivalence"] = one_sided if t < 0 else 1.0 - one_sided
    return fields


def _standard_error(values: Floats) -> float | None:
    """Return the standard error of the mean; None for one value or values that do not vary."""
    if len(values) < 2:
        return None
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    scale = max(1.0, float(np.abs(values).max()))
    return error if error > _ROUNDING * scale else None


def _reversed(interval: Interval | None) -> Interval | None:
    return None if interval is None else (-interval[1], -interval[0])
