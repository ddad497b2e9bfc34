"""Metrics with their uncertainty: bootstrap over test points and seeds, paired comparisons.

Replicate r of the bootstrap draws n of the n test points with replacement, from a random stream
that depends on (n, seed, r) alone. Evaluations on the same test set are therefore paired by
replicate across arms, classifiers, calibrators and processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from scipy.special import ndtr

from fgbench.calibration.bootstrap import bootstrap_weights
from fgbench.calibration.rows import unit_weights
from fgbench.data import Predictions
from fgbench.digests import seed_for
from fgbench.errors import DataError, PluginError
from fgbench.records import Interval, Record

if TYPE_CHECKING:
    from fgbench.parts.metric import Metric

Floats = NDArray[np.float64]

REPLICATES = 1000
CONFIDENCE = 0.95
SIGNIFICANCE = 0.05

_NOTHING = 1e-12


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The metrics of one set of predictions.

    `values` holds the defined metrics, `replicates` their bootstrap values (R,), NaN in replicates
    where a metric is undefined, and `undefined` the reason why each other metric has no value.
    `noise_floors` holds the values that chance alone gives, for metrics that define them.
    """

    values: Mapping[str, float]
    replicates: Mapping[str, Floats]
    undefined: Mapping[str, str] = field(default_factory=dict)
    noise_floors: Mapping[str, float] = field(default_factory=dict)

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
        }

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
        )


class MetricSummary(Record):
    """A metric over seeds: mean, standard deviation (n − 1; 0 for one seed), CI of the mean.

    `ci95` is null where more than half of the replicates leave the metric undefined. `noise_floor`
    is what a perfectly calibrated classifier with these predictions is expected to have, by chance
    alone; null for metrics without one. A published figure may have nothing but its mean: a
    deviation of 0, no interval, and no values of seeds. The fields are in alphabetical order, in
    which boards hold them.
    """

    ci95: Interval | None = None
    mean: float
    noise_floor: float | None = None
    per_seed: list[float] = Field(default_factory=list)
    std: float = Field(default=0.0, ge=0)


class Comparison(Record):
    """The mean paired difference from a baseline, its CI, and a two-sided bootstrap p-value.

    `p_adjusted` is Holm's over the comparisons of a board in this metric; null before. The fields
    are in alphabetical order, in which boards hold them.
    """

    ci95: Interval | None
    delta: float
    p_adjusted: float | None = Field(default=None, ge=0, le=1)
    p_value: float | None = Field(ge=0, le=1)


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

    Raises `DataError` if the predictions are empty or their labels are withheld, and `PluginError`
    if a metric returns anything but R values that are finite or NaN.
    """
    n = len(predictions)
    if n == 0:
        raise DataError("no predictions to evaluate.")
    if int(predictions.labels.min()) < 0:
        raise DataError("the predictions' labels are withheld (−1); metrics need true labels.")
    if replicates < 0:
        raise DataError(f"the number of replicates must not be negative, but is {replicates}.")
    once = unit_weights(predictions)
    values: dict[str, float] = {}
    undefined: dict[str, str] = {}
    floors: dict[str, float] = {}
    with _one_thread():
        for name, metric in metrics.items():
            value = float(_checked(name, metric, predictions, once)[0])
            if np.isnan(value):
                undefined[name] = metric.undefined_when
            else:
                values[name] = value
                floor = metric.noise_floor(predictions)
                floors |= {} if floor is None else {name: floor}
        rows: dict[str, list[Floats]] = {name: [] for name in values}
        for weights in bootstrap_weights(n, replicates, seed):
            for name in values:
                rows[name].append(_checked(name, metrics[name], predictions, weights))
    empty = np.empty(0, dtype=np.float64)
    return Evaluation(
        values,
        {name: np.concatenate([empty, *rows[name]]) for name in values},
        undefined,
        floors,
    )


def summarize(evaluations: Sequence[Evaluation]) -> dict[str, MetricSummary]:
    """Summarize the evaluations of S seeds, for the metrics that are defined for every seed.

    The CI is a nested percentile bootstrap: each replicate draws S seeds with replacement and
    averages their values of this replicate, so that it covers test points and seeds. Replicates in
    which the metric is undefined are excluded. For a metric with a noise floor f, the interval is
    that of the error without noise: a resampled set has the noise of the sample and as much again,
    so √max(0, v² − 2f²) replaces each replicate v.
    """
    summaries = {}
    for name in _common(evaluations):
        per_seed = [evaluation.values[name] for evaluation in evaluations]
        drawn = _over_seeds([evaluation.replicates[name] for evaluation in evaluations])
        std = float(np.std(per_seed, ddof=1)) if len(per_seed) > 1 else 0.0
        mean = float(np.mean(per_seed))
        floors = [item.noise_floors[name] for item in evaluations if name in item.noise_floors]
        floor = float(np.mean(floors)) if len(floors) == len(evaluations) else None
        if floor is not None:
            drawn = np.sqrt(np.maximum(drawn**2 - 2.0 * floor**2, 0.0))
        summaries[name] = MetricSummary(
            ci95=_percentile_interval(drawn),
            mean=mean,
            noise_floor=floor,
            per_seed=per_seed,
            std=std,
        )
    return summaries


def undefined_metrics(evaluations: Sequence[Evaluation]) -> dict[str, str]:
    """Return the metrics that are undefined for some seed, with the reason."""
    reasons: dict[str, str] = {}
    for evaluation in evaluations:
        reasons |= evaluation.undefined
    return reasons


def compare(
    evaluations: Sequence[Evaluation], baselines: Sequence[Evaluation]
) -> dict[str, Comparison]:
    """Compare S evaluations with S baselines, paired by seed on the same test points.

    The p-value is 2 · min(share of replicates ≤ 0, share ≥ 0), with one added to numerators and
    denominators (Davison and Hinkley 1997, section 4.2.5), at most 1. If all replicates have the
    same sign, it is the two-sided normal tail at mean/std of the replicates, if that is smaller.
    """
    if len(evaluations) != len(baselines):
        raise DataError(
            f"{len(evaluations)} evaluations cannot be paired with {len(baselines)} baselines."
        )
    comparisons = {}
    common = set(_common(baselines))
    for name in (name for name in _common(evaluations) if name in common):
        pairs = list(zip(evaluations, baselines, strict=True))
        delta = float(np.mean([a.values[name] - b.values[name] for a, b in pairs]))
        if any(a.replicates[name].shape != b.replicates[name].shape for a, b in pairs):
            raise DataError(f"metric {name}: evaluations of different replicates cannot be paired.")
        drawn = _over_seeds([a.replicates[name] - b.replicates[name] for a, b in pairs])
        comparisons[name] = Comparison(
            ci95=_percentile_interval(drawn), delta=delta, p_value=_p_value(drawn)
        )
    return comparisons


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for the family-wise error (Holm 1979), in the same order."""
    values = np.asarray(p_values, dtype=np.float64)
    m = len(values)
    order = np.argsort(values, kind="stable")
    steps = np.minimum(1.0, np.arange(m, 0, -1) * values[order])
    adjusted = np.empty(m)
    adjusted[order] = np.maximum.accumulate(steps)
    return [float(value) for value in adjusted]


def predictions_from_probabilities(
    probabilities: ArrayLike, labels: ArrayLike, *, posterior: ArrayLike | None = None
) -> Predictions:
    """Return predictions from probabilities (n, K), or P(y=1) (n,), and labels (n,).

    `posterior` takes the same shapes. Raises `DataError` if a probability is outside [0, 1], a row
    does not sum to 1 within 1e-4, or a label is not a class.
    """
    rows = _probability_rows("probabilities", probabilities)
    logits = np.log(np.maximum(rows, 1e-38))
    classes = np.asarray(labels)
    whole = classes.astype(np.int64) if classes.dtype.kind in "biuf" else None
    if whole is None or not np.array_equal(whole, classes) or (whole.size and whole.min() < 0):
        raise DataError(f"labels must be whole numbers from 0 to {logits.shape[1] - 1}.")
    true = None if posterior is None else _probability_rows("posterior", posterior)
    if true is not None and true.shape != logits.shape:
        raise DataError(f"the posterior has the shape {true.shape}, not {logits.shape}.")
    return Predictions(logits.astype(np.float32), whole, posterior=true, given=rows)


def _probability_rows(what: str, values: ArrayLike) -> Floats:
    rows = np.asarray(values, dtype=np.float64)
    if rows.ndim == 1:
        rows = np.stack([1.0 - rows, rows], axis=1)
    if rows.ndim != 2 or rows.shape[1] < 2:
        raise DataError(f"{what} must have the shape (n, K) or (n,), not {np.shape(values)}.")
    wrong = np.flatnonzero(~((rows >= 0.0) & (rows <= 1.0)).all(axis=1))
    if len(wrong):
        raise DataError(f"{what}, row {wrong[0]}: {rows[wrong[0]].tolist()} is not in [0, 1].")
    sums = rows.sum(axis=1)
    wrong = np.flatnonzero(np.abs(sums - 1.0) > 1e-4)
    if len(wrong):
        raise DataError(f"{what}, row {wrong[0]}: it sums to {sums[wrong[0]]:g}, not to 1.")
    return rows


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


def _over_seeds(replicates: Sequence[Floats]) -> Floats:
    """Average each replicate over seeds drawn with replacement, (R,) from S times (R,)."""
    values = np.stack(replicates)
    seeds, count = values.shape
    if seeds == 1:
        return np.asarray(values[0])
    return np.asarray(values.ravel().take(_seed_draws(seeds, count)).mean(axis=0))


@lru_cache(maxsize=4)
def _seed_draws(seeds: int, count: int) -> NDArray[np.intp]:
    """Return the positions of the drawn values in flattened values (S, R): (S, R)."""
    rng = np.random.default_rng(seed_for("bootstrap over seeds", seeds, count))
    return rng.integers(0, seeds, size=(seeds, count)) * count + np.arange(count)


def _percentile_interval(replicates: Floats) -> tuple[float, float] | None:
    defined = replicates[~np.isnan(replicates)]
    if len(defined) == 0 or 2 * len(defined) < len(replicates):
        return None
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(defined, [tail, 1.0 - tail])
    return float(low), float(high)


def _p_value(differences: Floats) -> float | None:
    defined = differences[~np.isnan(differences)]
    if len(defined) == 0 or 2 * len(defined) < len(differences):
        return None
    # Differences due to rounding count as 0, so that all machines count alike.
    rarer = min(int((defined <= _NOTHING).sum()), int((defined >= -_NOTHING).sum()))
    p = min(1.0, 2.0 * (rarer + 1) / (len(defined) + 1))
    spread = float(np.std(defined))
    if rarer == 0 and spread > _NOTHING:
        # Assume a normal tail beyond the last replicate. Otherwise a board of many comparisons
        # could not detect a difference of ten standard errors, as Holm's adjustment multiplies p.
        p = min(p, 2.0 * float(ndtr(-abs(float(np.mean(defined))) / spread)))
    return p


def _common(evaluations: Sequence[Evaluation]) -> list[str]:
    if not evaluations:
        raise DataError("no evaluations to summarize.")
    first, *others = evaluations
    return [name for name in first.values if all(name in other.values for other in others)]


def _one_thread() -> AbstractContextManager[Any]:
    """Limit linear algebra to one thread, so that sums do not depend on the number of cores."""
    return _thread_controller().limit(limits=1, user_api="blas")  # type: ignore[no-any-return]


@lru_cache(maxsize=1)
def _thread_controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
