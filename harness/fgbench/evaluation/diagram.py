"""The reliability diagram of a set of predictions, as a figure for a paper (matplotlib).

matplotlib is an extra, imported when a figure is drawn. The figure does not depend on the user's
style or back end, and equal predictions give equal files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fgbench.calibration.pooling import PooledDiagram, pooled_diagram
from fgbench.calibration.reliability import positive_class, top_label
from fgbench.errors import ConfigurationError
from fgbench.numbers import interval, number, plural
from fgbench.report.reliability import DEFAULT_BINS, POSITIVE, TOP
from fgbench.store.atomic import open_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fgbench.data import Predictions
    from fgbench.inference import MetricSummary

FORMATS = (".svg", ".pdf", ".png")
SIZE = 3.3, 3.85
"""Inches: one column of a paper of two columns."""
_LEFT, _BOTTOM, _MARGIN, _GAP = 0.52, 0.38, 0.08, 0.1
"""Inches around and between the diagram, which is square, and the bars."""

_TOP_LEFT, _BOTTOM_RIGHT = (0.03, 0.97, "left", "top"), (0.97, 0.03, "right", "bottom")

_INK, _GRAY, _CURVE, _BAND = "#1a1f26", "#6b7684", "#0b62a8", "#cfe0ef"
_STYLE = {
    "font.size": 8,
    "font.family": "DejaVu Sans",
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "savefig.dpi": 300,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.hashsalt": "fgbench",
}
_UNDATED: Mapping[str, dict[str, Any]] = {
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
    ".png": {},
}
_ERRORS = {POSITIVE: "ece_positive", TOP: "ece"}
"""The metric whose bins the diagram shows."""


@dataclass(frozen=True, eq=False)
class Diagram:
    """A reliability diagram of S seeds on the same n rows, and the error that it shows."""

    axis: str
    pooled: PooledDiagram
    n: int
    seeds: int
    error: MetricSummary | None


def diagram_of(
    predictions: Sequence[Predictions],
    metrics: Mapping[str, MetricSummary],
    bins: int = DEFAULT_BINS,
) -> Diagram:
    """Return the diagram of P(y=1) of two classes, or else of the top label."""
    first = predictions[0]
    binary = first.n_classes == 2
    pairs = [positive_class(item) if binary else top_label(item) for item in predictions]
    axis = POSITIVE if binary else TOP
    pooled = pooled_diagram(
        [confidence for confidence, _ in pairs],
        [outcome for _, outcome in pairs],
        bins,
        same_points=True,
        units=first.groups,
    )
    return Diagram(axis, pooled, len(first), len(predictions), metrics.get(_ERRORS[axis]))


def check_plot(path: Path) -> None:
    """Raise `ConfigurationError` if matplotlib is not installed or cannot write this format."""
    if path.suffix.casefold() not in FORMATS:
        raise ConfigurationError(f"{path}: a plot is one of {', '.join(FORMATS)}.")
    _matplotlib()


def draw(diagram: Diagram, path: Path | None) -> Figure:
    """Return the figure, and save it if there is a path.

    Raises `ConfigurationError` without matplotlib or for another format, `StoreError` if the file
    cannot be written.
    """
    if path is not None:
        check_plot(path)
    matplotlib = _matplotlib()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        figure: Figure = _figure(diagram)
        if path is not None:
            suffix = path.suffix.casefold()
            with open_atomically(path) as stream:
                figure.savefig(stream, format=suffix[1:], metadata=_UNDATED[suffix])
    return figure


def _figure(diagram: Diagram) -> Figure:
    from matplotlib.figure import Figure

    width, height = SIZE
    side = width - _LEFT - _MARGIN
    figure = Figure(figsize=SIZE)
    curve = figure.add_axes(
        (_LEFT / width, 1 - (side + _MARGIN) / height, side / width, side / height)
    )
    bars_height = height - side - _MARGIN - _GAP - _BOTTOM
    bars = figure.add_axes(
        (_LEFT / width, _BOTTOM / height, side / width, bars_height / height), sharex=curve
    )
    _draw_curve(curve, diagram)
    _draw_bars(bars, diagram)
    for axes in (curve, bars):
        axes.yaxis.set_label_coords(-0.35 / side, 0.5)
    return figure


def _draw_curve(axes: Axes, diagram: Diagram) -> None:
    pooled, edges = diagram.pooled, diagram.pooled.diagram.edges
    filled = np.flatnonzero(pooled.diagram.counts)
    for bin_ in filled:
        axes.fill_between(
            edges[bin_ : bin_ + 2],
            pooled.low[bin_],
            pooled.high[bin_],
            color=_BAND,
            linewidth=0,
            zorder=1,
        )
    axes.plot([0, 1], [0, 1], color=_GRAY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=2)
    axes.plot(
        pooled.diagram.mean_confidence[filled],
        pooled.diagram.mean_outcome[filled],
        color=_CURVE,
        linewidth=1.2,
        marker="o",
        markersize=3.2,
        clip_on=False,
        zorder=3,
    )
    # The corner that the curve leaves free.
    above = bool((pooled.high[filled][edges[filled] < 0.6] > 0.8).any())
    x, y, horizontal, vertical = _BOTTOM_RIGHT if above else _TOP_LEFT
    axes.text(
        x,
        y,
        _corner(diagram),
        transform=axes.transAxes,
        ha=horizontal,
        va=vertical,
        linespacing=1.4,
    )
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.tick_params(labelbottom=False)
    axes.set_ylabel("observed frequency" if diagram.axis == POSITIVE else "accuracy")
    _open(axes)


def _draw_bars(axes: Axes, diagram: Diagram) -> None:
    edges = diagram.pooled.diagram.edges
    axes.bar(
        edges[:-1],
        diagram.pooled.diagram.counts / diagram.seeds,
        width=np.diff(edges),
        align="edge",
        color=_GRAY,
        edgecolor="white",
        linewidth=0.5,
    )
    axes.set(xlabel=diagram.axis, ylabel="rows")
    axes.yaxis.set_major_locator(_locator())
    axes.yaxis.set_major_formatter(_short_count)
    _open(axes)


def _corner(diagram: Diagram) -> str:
    sizes = f"{plural(diagram.n, 'row')}, {plural(diagram.seeds, 'seed')}"
    error = diagram.error
    if error is None:
        return sizes
    return f"ECE {number(error.estimate)}  {interval(error.ci95)}\n{sizes}"


def _open(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _short_count(value: float, _position: object) -> str:
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:.0f}"


def _locator() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(2, integer=True)


def _matplotlib() -> Any:
    try:
        import matplotlib
    except ImportError:
        raise ConfigurationError("a plot needs matplotlib: pip install 'fgbench[plot]'") from None
    return matplotlib
