"""Evaluation of one set of predictions: all metrics over its seeds, with their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fgbench.calibration.bounds import bounds_sentences, valid_bound
from fgbench.calibration.grid import measure
from fgbench.errors import DataError
from fgbench.evaluation.diagram import Diagram, diagram_of, draw
from fgbench.evaluation.tables import Table
from fgbench.inference import (
    REPLICATES,
    MetricSummary,
    applicable,
    evaluate_metrics,
    summarize,
    undefined_metrics,
)
from fgbench.numbers import count, interval, number, plural
from fgbench.plan.resolve import all_metrics
from fgbench.report.page import render_evaluation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fgbench.data import Predictions
    from fgbench.plugins.registry import Registry

BOUND_BINS, BOUND_DELTA = 15, 0.05


@dataclass(frozen=True, eq=False, repr=False)
class Assessment(Mapping[str, MetricSummary]):
    """The results of `fgbench.evaluate`: the summary of each metric, by name.

    It prints as a table and shows as one in a notebook. `undefined` holds the reason why each other
    metric has no value, `units` is the number of independent rows, `ece_bound` is `valid_bound` for
    15 bins: the error of the measured ECE, at most, with probability 0.95. `grid` holds the
    measurement grid, the mean over seeds.
    """

    n: int
    units: int
    seeds: int
    classes: int
    metrics: dict[str, MetricSummary]
    undefined: dict[str, str]
    ece_bound: float
    predictions: tuple[Predictions, ...] = field(default=(), repr=False)
    grid: dict[str, float] | None = None

    def __getitem__(self, name: str) -> MetricSummary:
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
        """The metrics, each with the value that its interval belongs to."""
        rows = tuple(
            (
                name,
                number(summary.estimate),
                interval(summary.ci95),
                "" if summary.corrected is None else number(summary.mean),
                "" if summary.noise_floor is None else number(summary.noise_floor),
            )
            for name, summary in self.metrics.items()
        )
        return Table(
            f"{_rows_text(self.n, self.units)}, {plural(self.seeds, 'seed')}, "
            f"{plural(self.classes, 'class', 'classes')}",
            ("metric", "value", "95 % interval", "measured", "noise floor"),
            rows,
            (*self._undefined_notes(), self._note()),
        )

    @cached_property
    def diagram(self) -> Diagram:
        """The reliability diagram of all seeds: of P(y=1) of two classes, else of the top label."""
        return diagram_of(self.predictions, self.metrics)

    def plot(self, path: str | Path | None = None) -> Figure:
        """Draw the reliability diagram with matplotlib, one column of a paper wide.

        With `path`, also save it: `.svg`, `.pdf` or `.png`. Raises `ConfigurationError` if
        matplotlib is not installed or the format is another one.
        """
        return draw(self.diagram, None if path is None else Path(path))

    def page(self, title: str) -> str:
        """Return a page with the reliability diagram and the table: one HTML file by itself."""
        return render_evaluation(
            title, self.table.to_html(), title, self.diagram.axis, self.diagram.pooled
        )

    def to_frame(self) -> Any:
        """Return one row per metric, as a pandas frame; needs pandas."""
        from fgbench.evaluation.frames import frame

        return frame(
            {
                "metric": name,
                "value": summary.estimate,
                "ci95_low": summary.ci95[0] if summary.ci95 else None,
                "ci95_high": summary.ci95[1] if summary.ci95 else None,
                "measured": summary.mean,
                "std": summary.std,
                "noise_floor": summary.noise_floor,
                "chance_limit": summary.chance_limit,
            }
            for name, summary in self.metrics.items()
        )

    def to_value(self) -> dict[str, Any]:
        """Return the results as JSON values; undefined values are null."""
        value: dict[str, Any] = {
            "n": self.n,
            "units": self.units,
            "seeds": self.seeds,
            "classes": self.classes,
            "metrics": {
                name: {
                    "value": summary.mean,
                    "corrected": summary.corrected,
                    "ci95": summary.ci95,
                    "noise_floor": summary.noise_floor,
                    "chance_limit": summary.chance_limit,
                    "per_seed": summary.per_seed,
                }
                for name, summary in self.metrics.items()
            },
            "undefined": self.undefined,
            "ece_bound": {"epsilon": self.ece_bound, "bins": BOUND_BINS, "delta": BOUND_DELTA},
        }
        if self.grid is not None:
            value["grid"] = {
                name: None if np.isnan(number) else number for name, number in self.grid.items()
            }
        return value

    def _undefined_notes(self) -> list[str]:
        return [f"{name}: undefined: {reason}." for name, reason in self.undefined.items()]

    def _note(self) -> str:
        rows = "test rows" if self.seeds == 1 else "seeds and test rows"
        return (
            f"Intervals are over {rows}. Chance alone makes a calibration error positive: its "
            "value is corrected for that. Beside it are the measured error and the noise floor, "
            "which a perfectly calibrated classifier with these predictions has on average. "
            + bounds_sentences(self.n, BOUND_BINS, delta=BOUND_DELTA)
        )


def assess(
    predictions: Sequence[Predictions],
    registry: Registry,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
    full: bool = False,
) -> Assessment:
    """Compute every applicable metric of S seeds on the same rows, with its interval.

    `full` adds the measurement grid. Raises `DataError` if there are no predictions.
    """
    if not predictions:
        raise DataError("no predictions to evaluate.")
    first = predictions[0]
    metrics = {resolved.label: metric for resolved, metric in all_metrics(registry)}
    evaluations = [
        evaluate_metrics(of_seed, applicable(metrics, of_seed), replicates=replicates, seed=seed)
        for of_seed in predictions
    ]
    return Assessment(
        n=len(first),
        units=evaluations[0].units,
        seeds=len(predictions),
        classes=first.n_classes,
        metrics=summarize(evaluations),
        undefined=undefined_metrics(evaluations),
        ece_bound=valid_bound(len(first), BOUND_BINS, delta=BOUND_DELTA),
        predictions=tuple(predictions),
        grid=_mean_grid(predictions) if full else None,
    )


def _mean_grid(predictions: Sequence[Predictions]) -> dict[str, float]:
    grids = [measure(of_seed) for of_seed in predictions]
    return {name: float(np.mean([grid[name] for grid in grids])) for name in grids[0]}


def _rows_text(n: int, units: int) -> str:
    return plural(n, "row") + ("" if units == n else f" in {count(units)} groups")
