"""What a board holds of a metric: its summary over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from fgbench.inference.evaluation import common_metrics
from fgbench.inference.intervals import corrected_interval, interval
from fgbench.records import Interval, Record

if TYPE_CHECKING:
    from fgbench.inference.evaluation import Evaluation


STATISTICS_VERSION = "2"
"""Version of the intervals, p-values and ranks that this package computes. Boards record it."""


class MetricSummary(Record):
    """A metric over seeds: mean, standard deviation (n − 1; 0 for one seed), interval of the mean.

    `corrected` is the mean without the contribution of chance, for calibration errors that define
    it, and `ci95` is then its interval; otherwise `ci95` is that of `mean`. It is null for metrics
    without a valid interval, and where more than half of the replicates leave the metric undefined.
    `noise_floor` is what a perfectly calibrated classifier with these predictions is expected to
    have, by chance alone, and `chance_limit` what it exceeds in 5 % of test sets. A published
    figure may have nothing but its mean: a deviation of 0, no interval, and no values of seeds. The
    fields are in alphabetical order, in which boards hold them.
    """

    chance_limit: float | None = None
    ci95: Interval | None = None
    corrected: float | None = None
    mean: float
    noise_floor: float | None = None
    per_seed: list[float] = Field(default_factory=list)
    std: float = Field(default=0.0, ge=0)

    @property
    def estimate(self) -> float:
        """The number that `ci95` belongs to."""
        return self.mean if self.corrected is None else self.corrected

    @property
    def is_chance(self) -> bool:
        """Whether a perfectly calibrated classifier may well have this error."""
        return self.chance_limit is not None and self.mean <= self.chance_limit


def summarize(evaluations: Sequence[Evaluation]) -> dict[str, MetricSummary]:
    """Summarize the evaluations of S seeds, for the metrics that are defined for every seed."""
    return {name: _summary(name, evaluations) for name in common_metrics(evaluations)}


def _summary(name: str, evaluations: Sequence[Evaluation]) -> MetricSummary:
    values = np.array([evaluation.values[name] for evaluation in evaluations])
    resampled = np.stack([evaluation.replicates[name] for evaluation in evaluations])
    units, first = evaluations[0].units, evaluations[0]
    chance = [item.corrected[name] for item in evaluations if name in item.corrected]
    floors = [item.noise_floors[name] for item in evaluations if name in item.noise_floors]
    corrected = chance_limit = ci95 = None
    if len(chance) == len(evaluations):
        corrected = float(np.mean([item.value for item in chance]))
        chance_limit = float(np.mean([item.chance_limit for item in chance]))
        if resampled.shape[1] > 1 or len(evaluations) == 1:
            ci95 = corrected_interval(chance, values, resampled, units)
    elif name in first.limits:
        ci95 = interval(values, resampled, units, first.limits[name])
    return MetricSummary(
        chance_limit=chance_limit,
        ci95=ci95,
        corrected=corrected,
        mean=float(values.mean()),
        noise_floor=float(np.mean(floors)) if len(floors) == len(evaluations) else None,
        per_seed=values.tolist(),
        std=float(values.std(ddof=1)) if len(values) > 1 else 0.0,
    )
