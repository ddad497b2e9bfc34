"""Diagrams as inline SVG, drawn by matplotlib, coloured by the page's style."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Colours that stand for the page's variables, so that the diagrams follow its light or dark theme.
_INK, _FAINT, _BEFORE, _AFTER = "#010101", "#020202", "#030303", "#040404"
_VARIABLES = {
    _INK: "var(--ink)",
    _FAINT: "var(--faint)",
    _BEFORE: "var(--before)",
    _AFTER: "var(--after)",
}


_MOST_DOTS = 250


def draw_fidelity(asked: Sequence[float], got: Sequence[float], *, axis: str, key: str) -> str:
    """Return an SVG of the probability that synthetic inputs have against what was asked.

    Inputs are dots, 250 of them at most, evenly chosen; the line joins the means of each tenth of
    what was asked.
    """

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=_FAINT, linewidth=0.9, linestyle=(0, (4, 3)))
        step = -(-len(asked) // _MOST_DOTS)
        axes.scatter(asked[::step], got[::step], s=5, color=_BEFORE, alpha=0.35, linewidths=0)
        axes.plot(*_means(asked, got), color=_AFTER, linewidth=1.6, marker="o", markersize=3.4)
        for limit, ticks in ((axes.set_xlim, axes.set_xticks), (axes.set_ylim, axes.set_yticks)):
            limit(-0.03, 1.03)
            ticks([0, 0.5, 1], ["0", "0.5", "1"])
        axes.set_xlabel("asked")
        axes.set_ylabel(axis)

    return _svg((2.7, 2.5), paint, key)


def _means(asked: Sequence[float], got: Sequence[float]) -> tuple[list[float], list[float]]:
    """Average both in tenths of what was asked."""
    groups: dict[int, list[tuple[float, float]]] = {}
    for wanted, value in zip(asked, got, strict=True):
        groups.setdefault(min(int(wanted * 10), 9), []).append((wanted, value))
    means = [
        [sum(column) / len(rows) for column in zip(*rows, strict=True)]
        for _, rows in sorted(groups.items())
    ]
    return [mean[0] for mean in means], [mean[1] for mean in means]


def _svg(size: tuple[float, float], paint: Callable[[Figure], None], key: str) -> str:
    """Return what `paint` draws on a figure of that size in inches; `key` makes its ids unique."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: Any = {
        "svg.hashsalt": "fgbench",
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 9.0,
        "text.color": _INK,
        "axes.labelcolor": _INK,
        "axes.edgecolor": _FAINT,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        paint(figure)
        stream = io.StringIO()
        figure.savefig(
            stream,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    return _inlined(stream.getvalue(), key)


def _inlined(svg: str, key: str) -> str:
    """Cut the SVG out of its XML file, make its ids unique, and give its colours to the page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{key}-', svg)
    svg = re.sub(r'href="#', f'href="#{key}-', svg)
    svg = re.sub(r"url\(#", f"url(#{key}-", svg)
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, variable)
    # The panel around it says what it shows; its size follows the page.
    return re.sub(
        r'<svg ([^>]*?)\bwidth="[^"]*"',
        r'<svg aria-hidden="true" \1',
        re.sub(r'(<svg [^>]*?)\bheight="[^"]*"', r"\1", svg, count=1),
        count=1,
    )
