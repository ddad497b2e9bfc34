"""Contrasts: the difference of two sets of predictions in one metric, and what it shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import stdtr

from fgbench.errors import DataError
from fgbench.inference.components import quantile, spread, two_sided
from fgbench.records import Interval, Record

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
SIGNIFICANCE = 0.05
FEWEST_ROWS = 10

ONE_SEED = "one seed: speaks of these two trained models only"
_ROUNDING = 1e-12


class Contrast(Record):
    """The mean over seeds of a paired difference a − b, with its inference.

    `interval` (95 %), `p_value` (two-sided, no difference) and `p_equivalence` (the difference is
    at least `margin`; two one-sided tests) are null where no inference is possible, and `reason`
    says why. Without a margin there is no test of equivalence. With one seed there is an interval
    over test rows, but no p-value. `rows` is the number of independent test rows: rows of one group
    count once.
    """

    degrees_of_freedom: float | None = Field(default=None, gt=0)
    difference: float
    interval: Interval | None = None
    margin: float | None = Field(default=None, gt=0)
    p_equivalence: float | None = Field(default=None, ge=0, le=1)
    p_value: float | None = Field(default=None, ge=0, le=1)
    reason: str | None = None
    rows: int = Field(ge=0)
    seeds: int = Field(ge=1)
    standard_error: float | None = Field(default=None, ge=0)

    @classmethod
    def of(
        cls,
        *,
        difference: float,
        standard_error: float | None,
        degrees_of_freedom: float | None,
        margin: float | None,
        seeds: int,
        rows: int,
        reason: str | None = None,
    ) -> Contrast:
        """Return the contrast with this standard error, and what follows from it.

        With one seed there is an interval over test rows, but no p-value.
        """
        found = cls(
            degrees_of_freedom=degrees_of_freedom,
            difference=difference,
            margin=margin,
            reason=reason,
            rows=rows,
            seeds=seeds,
            standard_error=standard_error,
        )
        if standard_error is None or degrees_of_freedom is None:
            return found
        changes: dict[str, object] = {"interval": found.interval_at(CONFIDENCE)}
        if seeds > 1:
            p_value = float(two_sided(difference / standard_error, degrees_of_freedom))
            changes |= {"p_value": p_value, "p_equivalence": _p_equivalence(found)}
        return found.model_copy(update=changes)

    def without_inference(self, reason: str) -> Contrast:
        """Return the difference alone, with the reason why nothing is said about it."""
        return Contrast(
            difference=self.difference,
            margin=self.margin,
            reason=reason,
            rows=self.rows,
            seeds=self.seeds,
        )

    def interval_at(self, confidence: float) -> Interval | None:
        """Return the interval at another level; None where there is none."""
        if self.standard_error is None or self.degrees_of_freedom is None:
            return None
        tail = float(quantile(0.5 + confidence / 2.0, self.degrees_of_freedom))
        half = tail * self.standard_error
        return self.difference - half, self.difference + half


def contrast(
    values_a: Floats,
    values_b: Floats,
    resampled_a: Floats,
    resampled_b: Floats,
    *,
    units: int,
    margin: float | None = None,
) -> Contrast:
    """Return the contrast of two arms from values (S,) and their resampled values (S, R).

    Seeds are paired, and replicate r has the same rows everywhere. NaN marks replicates in which
    the metric is undefined; they are left out. `units` is the number of independent rows.
    Raises `DataError` if the shapes differ.
    """
    if values_a.shape != values_b.shape:
        raise DataError(
            f"{len(values_a)} and {len(values_b)} seeds cannot be paired: evaluate both sides with "
            "the same seeds."
        )
    if resampled_a.shape != resampled_b.shape:
        raise DataError(
            f"{resampled_a.shape[-1]} and {resampled_b.shape[-1]} replicates cannot be paired: "
            "evaluate both sides with the same number of replicates on the same rows."
        )
    delta, draws = values_a - values_b, resampled_a - resampled_b
    seeds, replicates = draws.shape
    difference = float(delta.mean())

    def without_inference(reason: str) -> Contrast:
        return Contrast(
            difference=difference, margin=margin, reason=reason, rows=units, seeds=seeds
        )

    if units < FEWEST_ROWS:
        return without_inference(
            f"{units} distinct test rows: at least {FEWEST_ROWS} are needed to tell a difference "
            "from chance"
        )
    defined = draws[:, ~np.isnan(draws).any(axis=0)]
    if defined.shape[1] < 2 or 2 * defined.shape[1] < replicates:
        return without_inference("the metric is undefined in most resamples of the test rows")
    estimate = spread(delta, defined, units)
    standard_error = float(estimate.standard_error)
    if standard_error <= _ROUNDING:
        same = "the two sides have the same value in every seed and on all rows"
        constant = "the difference is the same in every seed and on all rows"
        return without_inference(same if abs(difference) <= _ROUNDING else constant)
    return Contrast.of(
        difference=difference,
        standard_error=standard_error,
        degrees_of_freedom=float(estimate.degrees_of_freedom),
        margin=margin,
        seeds=seeds,
        rows=units,
        reason=ONE_SEED if seeds == 1 else None,
    )


def _p_equivalence(found: Contrast) -> float | None:
    """Return the larger p-value of the tests of difference ≤ −margin and ≥ margin.

    Source: Schuirmann 1987.
    """
    if found.margin is None or not found.standard_error or found.degrees_of_freedom is None:
        return None
    distance = (found.margin - abs(found.difference)) / found.standard_error
    return float(stdtr(found.degrees_of_freedom, -distance))
