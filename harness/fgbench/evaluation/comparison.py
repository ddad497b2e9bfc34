"""Comparison of two sets of predictions of the same rows, metric by metric."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from fgbench.errors import ConfigurationError, DataError
from fgbench.evaluation.tables import Table
from fgbench.inference import (
    REPLICATES,
    Word,
    applicable,
    compare_evaluations,
    evaluate_metrics,
    judge,
    undefined_metrics,
)
from fgbench.numbers import count, interval, margin_text, number, plural, signed
from fgbench.plan.resolve import named_metrics

if TYPE_CHECKING:
    from fgbench.data import Predictions
    from fgbench.inference import Contrast, Evaluation
    from fgbench.parts.metric import Metric
    from fgbench.plugins.registry import Registry
    from fgbench.records import Interval

DEFAULT_METRICS = ("accuracy", "ece", "nll", "brier")

MARKS: Mapping[Word, str] = {
    "better": "●",
    "worse": "■",
    "within": "◆",
    "cannot tell": "◇",
    "none": "–",
}


@dataclass(frozen=True)
class MetricComparison:
    """One metric of two sets of predictions: both values, the difference, and what it shows.

    `a` and `b` are means over seeds, and `difference` is a − b. `word` is "better" or "worse" (a
    than b, p < .05), "within" (the difference is smaller than `margin`, by two one-sided tests at
    5 %), "cannot tell", or "none", where no inference is possible and `reason` says why. `interval`
    is the one that decides the word, of level `confidence`: 95 %, or 90 % for "within". `p_value`
    is two-sided, of no difference, and `p_equivalence` of a difference of at least `margin`.
    """

    a: float
    b: float
    difference: float
    interval: Interval | None
    confidence: float | None
    p_value: float | None
    margin: float | None
    p_equivalence: float | None
    word: Word
    reason: str | None
    higher_is_better: bool


@dataclass(frozen=True, eq=False, repr=False)
class PredictionComparison(Mapping[str, MetricComparison]):
    """The result of `fgbench.compare`: the comparison in each metric, by name.

    It prints as a table and shows as one in a notebook. `undefined` holds the reason why each other
    metric has no value, and `units` is the number of independent rows.
    """

    names: tuple[str, str]
    n: int
    units: int
    seeds: int
    classes: int
    metrics: dict[str, MetricComparison]
    undefined: dict[str, str]

    def __getitem__(self, name: str) -> MetricComparison:
        return self.metrics[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.metrics)

    def __len__(self) -> int:
        return len(self.metrics)

    def __repr__(self) -> str:
        return self.table.to_text()

    def _repr_html_(self) -> str:
        return self.table.to_html()

    @cached_property
    def table(self) -> Table:
        """The comparison in each metric, and what its words mean."""
        rows = tuple(
            (
                name,
                number(item.a),
                number(item.b),
                signed(item.difference),
                interval(item.interval, differs=True),
                _p_text(item.p_value),
                _word_text(item),
            )
            for name, item in self.metrics.items()
        )
        rows_text = plural(self.n, "row")
        if self.units != self.n:
            rows_text += f" in {count(self.units)} groups"
        a, b = self.names
        named = "" if self.names == ("a", "b") else f"a: {a}\nb: {b}\n"
        return Table(
            f"{named}{rows_text}, {plural(self.seeds, 'seed')}, "
            f"{plural(self.classes, 'class', 'classes')}",
            ("metric", "a", "b", "a − b", "interval", "p", "a is"),
            rows,
            tuple(self._notes()),
            frozenset({0, 6}),
        )

    def to_frame(self) -> Any:
        """Return one row per metric, as a pandas frame; needs pandas."""
        from fgbench.evaluation.frames import frame

        return frame(
            {
                "metric": name,
                "a": item.a,
                "b": item.b,
                "difference": item.difference,
                "low": item.interval[0] if item.interval else None,
                "high": item.interval[1] if item.interval else None,
                "confidence": item.confidence,
                "p_value": item.p_value,
                "margin": item.margin,
                "p_equivalence": item.p_equivalence,
                "word": item.word,
                "reason": item.reason,
            }
            for name, item in self.metrics.items()
        )

    def to_value(self) -> dict[str, Any]:
        """Return the comparison as JSON values."""
        return {
            "a": self.names[0],
            "b": self.names[1],
            "n": self.n,
            "units": self.units,
            "seeds": self.seeds,
            "classes": self.classes,
            "metrics": {
                name: {**vars(item), "interval": item.interval and list(item.interval)}
                for name, item in self.metrics.items()
            },
            "undefined": self.undefined,
        }

    def _notes(self) -> Iterator[str]:
        words = {item.word for item in self.metrics.values()}
        by_reason: dict[str, list[str]] = {}
        for name, item in self.metrics.items():
            if item.reason is not None:
                by_reason.setdefault(item.reason, []).append(name)
        for reason, names in by_reason.items():
            subject = "" if len(names) == len(self.metrics) else f"{', '.join(names)}: "
            yield f"{MARKS['none']} {subject}{reason}."
        for name, reason in self.undefined.items():
            yield f"{name}: undefined: {reason}."
        lower = [name for name, item in self.metrics.items() if not item.higher_is_better]
        if lower:
            yield f"Lower is better: {', '.join(lower)}."
        if words != {"none"}:
            yield (
                "Paired by row and seed. Intervals: 95 %, over test rows and seeds. Better or "
                "worse: p < .05 in this metric alone"
                + ("; no adjustment for several metrics." if len(self.metrics) > 1 else ".")
            )
        if "within" in words:
            yield (
                "Within: shown to be smaller than the margin (two one-sided tests, 5 %); the "
                "interval is the 90 % one, which decides that."
            )


def compare_predictions(
    a: Sequence[Predictions],
    b: Sequence[Predictions],
    registry: Registry,
    *,
    metrics: Sequence[str] | None = None,
    margins: float | Mapping[str, float] | None = None,
    names: tuple[str, str] = ("a", "b"),
    replicates: int = REPLICATES,
    seed: int = 0,
) -> PredictionComparison:
    """Compare two sets of predictions of S seeds, paired, on the same n rows and labels.

    `metrics` are names, with parameters if need be (`ece:bins=10`), by default accuracy, ece, nll
    and brier. `margins` of equivalence are one number for all metrics, or by metric; the others
    have the margin that they declare, if any. Raises `DataError` for predictions that cannot be
    paired, and `ConfigurationError` for a metric that is unknown or needs other predictions.
    """
    _check_pairs(a, b)
    chosen = named_metrics(registry, metrics or DEFAULT_METRICS)
    usable = applicable(chosen, a[0])
    for name, metric in chosen.items():
        if name not in usable:
            raise ConfigurationError(
                f"metric {name}: needs {', '.join(sorted(metric.needs))}, which predictions of "
                f"{a[0].n_classes} classes do not have."
            )
    sides = [_evaluations(side, usable, replicates, seed) for side in (a, b)]
    contrasts = compare_evaluations(*sides, margins=_margins(usable, margins))
    constant = [name for name, side in zip(names, (a, b), strict=True) if _is_constant(side)]
    if constant:
        reason = f"the predictions of {constant[0]} are the same for every row"
        contrasts = {name: item.without_inference(reason) for name, item in contrasts.items()}
    return PredictionComparison(
        names=names,
        n=len(a[0]),
        units=sides[0][0].units,
        seeds=len(a),
        classes=a[0].n_classes,
        metrics={
            name: _comparison(
                _mean(sides[0], name),
                _mean(sides[1], name),
                contrasts[name],
                higher_is_better=not metric.lower_is_better,
            )
            for name, metric in usable.items()
            if name in contrasts
        },
        undefined=undefined_metrics([*sides[0], *sides[1]]),
    )


def _check_pairs(a: Sequence[Predictions], b: Sequence[Predictions]) -> None:
    if not a or not b or len(a) != len(b):
        raise DataError(
            f"a has {plural(len(a), 'seed')}, b has {len(b)}: compare predictions of the same "
            "seeds."
        )
    classes = (a[0].n_classes, b[0].n_classes)
    if classes[0] != classes[1]:
        raise DataError(f"a has {classes[0]} classes, b has {classes[1]}.")
    for side in (*a, *b):
        if not np.array_equal(side.labels, a[0].labels):
            raise DataError("the labels differ: compare predictions of the same test rows.")


def _evaluations(
    side: Sequence[Predictions], metrics: Mapping[str, Metric], replicates: int, seed: int
) -> list[Evaluation]:
    return [
        evaluate_metrics(of_seed, metrics, replicates=replicates, seed=seed) for of_seed in side
    ]


def _margins(
    metrics: Mapping[str, Metric], margins: float | Mapping[str, float] | None
) -> dict[str, float | None]:
    """Return the margin of each metric: the given one, or else its own."""
    declared = {name: metric.margin for name, metric in metrics.items()}
    if margins is None:
        return declared
    given = dict(margins) if isinstance(margins, Mapping) else dict.fromkeys(metrics, margins)
    for name, margin in given.items():
        if name not in metrics:
            raise ConfigurationError(
                f"margin of {name!r}: that metric is not compared. Compared: {', '.join(metrics)}."
            )
        is_number = isinstance(margin, int | float) and not isinstance(margin, bool)
        if not is_number or not 0.0 < margin < math.inf:
            raise ConfigurationError(f"the margin of {name} must be above 0, not {margin!r}.")
    return declared | {name: float(margin) for name, margin in given.items()}


def _comparison(
    a: float, b: float, contrast: Contrast, *, higher_is_better: bool
) -> MetricComparison:
    """Return what a contrast shows by itself, in a family of one."""
    (judgment,) = judge([contrast], higher_is_better=higher_is_better)
    return MetricComparison(
        a=a,
        b=b,
        difference=contrast.difference,
        interval=judgment.interval,
        confidence=judgment.confidence,
        p_value=contrast.p_value,
        margin=contrast.margin,
        p_equivalence=contrast.p_equivalence,
        word=judgment.word,
        reason=contrast.reason,
        higher_is_better=higher_is_better,
    )


def _mean(evaluations: Sequence[Evaluation], name: str) -> float:
    return float(np.mean([evaluation.values[name] for evaluation in evaluations]))


def _is_constant(side: Sequence[Predictions]) -> bool:
    arrays = (of_seed.logits if of_seed.given is None else of_seed.given for of_seed in side)
    return all(bool((rows == rows[:1]).all()) for rows in arrays)


def _p_text(p_value: float | None) -> str:
    return "<.001" if p_value is not None and p_value < 0.001 else number(p_value)


def _word_text(item: MetricComparison) -> str:
    mark = MARKS[item.word]
    if item.word == "none":
        return mark
    margin = f" ±{margin_text(item.margin)}" if item.word == "within" and item.margin else ""
    return f"{mark} {item.word}{margin}"
