"""Metrics of one set of predictions, on the test rows and on resamples of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import astuple, dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fgbench.calibration.gaps import Corrected, corrected
from fgbench.calibration.rows import unit_weights
from fgbench.errors import DataError, PluginError
from fgbench.inference.resampling import bootstrap_weights, units_of

if TYPE_CHECKING:
    from fgbench.data import Predictions
    from fgbench.parts.metric import Metric

Floats = NDArray[np.float64]

REPLICATES = 1000

_NONE = (np.nan,) * 4


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The metrics of one set of predictions.

    `values` holds the defined metrics, `replicates` their bootstrap values (R,), NaN in replicates
    where a metric is undefined, and `undefined` the reason why each other metric has no value.
    `noise_floors` holds the values that chance alone gives, for metrics that define them, and
    `corrected` the values without it. `limits` are the least and the largest value of each metric
    that has an interval. `units` is the number of independent rows.
    """

    values: Mapping[str, float]
    replicates: Mapping[str, Floats]
    undefined: Mapping[str, str] = field(default_factory=dict)
    noise_floors: Mapping[str, float] = field(default_factory=dict)
    corrected: Mapping[str, Corrected] = field(default_factory=dict)
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    units: int = 0

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the evaluation as arrays that `numpy.savez` takes, without pickles."""
        names = list(self.values)
        return {
            "names": np.array(names, dtype=np.str_),
            "values": np.array([self.values[name] for name in names], dtype=np.float64),
            "replicates": np.array([self.replicates[name] for name in names], dtype=np.float64),
            "undefined": np.array(list(self.undefined.items()), dtype=np.str_).reshape(-1, 2),
            "noise_floors": np.array(
                [self.noise_floors.get(name, np.nan) for name in names], dtype=np.float64
            ),
            "corrected": np.array([self._chance_of(name) for name in names]).reshape(
                -1, len(_NONE)
            ),
            "limits": np.array([self.limits.get(name, (np.nan, np.nan)) for name in names]).reshape(
                -1, 2
            ),
            "units": np.array(self.units),
        }

    def _chance_of(self, name: str) -> tuple[float, ...]:
        return astuple(self.corrected[name]) if name in self.corrected else _NONE

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Evaluation:
        """Read what `to_arrays` returned."""
        names = [str(name) for name in arrays["names"]]
        return cls(
            values={name: float(v) for name, v in zip(names, arrays["values"], strict=True)},
            replicates=dict(zip(names, arrays["replicates"], strict=True)),
            undefined={str(name): str(reason) for name, reason in arrays["undefined"]},
            noise_floors={
                name: float(floor)
                for name, floor in zip(names, arrays["noise_floors"], strict=True)
                if not np.isnan(floor)
            },
            corrected={
                name: Corrected(*row)
                for name, row in zip(names, arrays["corrected"].tolist(), strict=True)
                if not np.isnan(row[0])
            },
            limits={
                name: (low, high)
                for name, (low, high) in zip(names, arrays["limits"].tolist(), strict=True)
                if not np.isnan(low)
            },
            units=int(arrays["units"]),
        )


def applicable(metrics: Mapping[str, Metric], predictions: Predictions) -> dict[str, Metric]:
    """Return the metrics whose needs (binary, posterior, …) the predictions meet."""
    provided = {"logits", "binary" if predictions.n_classes == 2 else "multiclass"}
    for name, capability in (
        ("posterior", "posterior"),
        ("features", "features"),
        ("stochastic_logits", "stochastic_forward"),
    ):
        if getattr(predictions, name) is not None:
            provided.add(capability)
    return {name: metric for name, metric in metrics.items() if metric.needs <= provided}


def evaluate_metrics(
    predictions: Predictions,
    metrics: Mapping[str, Metric],
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Evaluation:
    """Evaluate each metric on n predictions and on R bootstrap replicates of them.

    Rows of one group (`Predictions.groups`) are drawn together. Raises `DataError` if the
    predictions are empty or their labels are withheld, and `PluginError` if a metric returns
    anything but R values that are finite or NaN.
    """
    n = len(predictions)
    if n == 0:
        raise DataError("no predictions to evaluate.")
    if int(predictions.labels.min()) < 0:
        raise DataError("the predictions' labels are withheld (−1); metrics need true labels.")
    if replicates < 0:
        raise DataError(f"the number of replicates must not be negative, but is {replicates}.")
    units = units_of(predictions.groups, n)
    once = unit_weights(predictions)
    values: dict[str, float] = {}
    undefined: dict[str, str] = {}
    floors: dict[str, float] = {}
    without_chance: dict[str, Corrected] = {}
    with _one_thread():
        for name, metric in metrics.items():
            value = float(_checked(name, metric, predictions, once)[0])
            if np.isnan(value):
                undefined[name] = metric.undefined_when
            else:
                values[name] = value
                floor = metric.noise_floor(predictions)
                floors |= {} if floor is None else {name: floor}
                gaps = metric.gaps(predictions)
                without = None if gaps is None else corrected(gaps)
                without_chance |= {} if without is None else {name: without}
        rows: dict[str, list[Floats]] = {name: [] for name in values}
        for weights in bootstrap_weights(n, replicates, seed, units):
            for name in values:
                rows[name].append(_checked(name, metrics[name], predictions, weights))
    empty = np.empty(0, dtype=np.float64)
    return Evaluation(
        values,
        {name: np.concatenate([empty, *rows[name]]) for name in values},
        undefined,
        floors,
        without_chance,
        {name: metrics[name].limits for name in values if has_interval(metrics[name], predictions)},
        n if units is None else int(units.max()) + 1,
    )


def undefined_metrics(evaluations: Sequence[Evaluation]) -> dict[str, str]:
    """Return the metrics that are undefined for some seed, with the reason."""
    reasons: dict[str, str] = {}
    for evaluation in evaluations:
        reasons |= evaluation.undefined
    return reasons


def common_metrics(evaluations: Sequence[Evaluation]) -> list[str]:
    """Return the metrics that are defined in all evaluations, in the order of the first."""
    if not evaluations:
        raise DataError("no evaluations to summarize.")
    first, *others = evaluations
    return [name for name in first.values if all(name in other.values for other in others)]


def has_interval(metric: Metric, predictions: Predictions) -> bool:
    """Return whether mean and bootstrap standard error give a valid interval here."""
    enough = len(predictions) >= metric.rows_per_class * predictions.n_classes
    return metric.has_interval and enough


def _checked(
    name: str, metric: Metric, predictions: Predictions, weights: NDArray[Any]
) -> NDArray[Any]:
    result = np.asarray(metric.evaluate(predictions, weights), dtype=np.float64)
    if result.shape != (len(weights),):
        raise PluginError(
            f"metric {name!r} returned the shape {result.shape} for {len(weights)} replicates: it "
            f"must be ({len(weights)},)."
        )
    if np.isinf(result).any():
        raise PluginError(f"metric {name!r} returned infinity: return NaN where it is undefined.")
    return result


def _one_thread() -> AbstractContextManager[Any]:
    """Limit linear algebra to one thread, so that sums do not depend on the number of cores."""
    return _thread_controller().limit(limits=1, user_api="blas")  # type: ignore[no-any-return]


@lru_cache(maxsize=1)
def _thread_controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
