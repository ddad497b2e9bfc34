"""The self-calibration ablation as plain text, at most 80 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fgbench.inference import CONFIDENCE
from fgbench_plugins.studies.ablation_points import CONTROLS, Point
from fgbench_plugins.studies.correlation import (
    FEWEST_FOR_INTERVAL,
    Correlation,
    smallest_separable,
)
from fgbench_plugins.studies.fitg_table_5 import N, fitg_table_5

if TYPE_CHECKING:
    from fgbench_plugins.studies.ablation import Series

WIDTH = 80
_NAMES = {"accuracy": "accuracy", "ece": "ECE"}


def ablation_text(series: Sequence[Series]) -> str:
    """Return the tables of all series and the paper's Table 5."""
    lines = _wrapped(
        "Self-calibration ablation (FITG, Table 5): is it a language model that classifies well, "
        "or one that is well calibrated, whose texts help? Correlations across data sets."
    )
    for one in series:
        lines += ["", *_series_lines(one)]
    lines += ["", *_paper_lines()]
    return "\n".join(lines) + "\n"


def _series_lines(series: Series) -> Iterator[str]:
    yield from _wrapped(f"{series.llm} as classifier; retrained: {series.setting}")
    yield from _wrapped(
        f"{series.details}; ECE: {series.ece}; gains in percent of the control's value, positive "
        "is better",
        "  ",
    )
    yield ""
    yield from _point_lines(series.points)
    for dataset, reason in series.skipped:
        yield from _wrapped(f"skipped {dataset}: {reason}", "  ")
    yield ""
    yield _row("LLM's", "with gain in", "against", "n", "Pearson", "Spearman")
    for x, y, versus in _shown():
        pair = (
            series.find(x, y, versus, "percent" if versus else None, "pearson"),
            series.find(x, y, versus, "percent" if versus else None, "spearman"),
        )
        gain = _NAMES[y] if versus else "(its ECE)"
        yield _row(_NAMES[x], gain, versus or "", str(pair[0].n), _cell(pair[0]), _cell(pair[1]))
    yield ""
    yield from _wrapped(conclusion(series), "  ")


def conclusion(series: Series) -> str:
    """Return a sentence or two on what this number of data sets can show."""
    n = len(series.points)
    least = smallest_separable(n)
    if least is None:
        return (
            f"n = {n}: no interval exists for fewer than {FEWEST_FOR_INTERVAL} data sets; nothing "
            "can be concluded."
        )
    coefficients = [
        series.find(x, y, versus, "percent" if versus else None, "pearson")
        for x, y, versus in _shown()
    ]
    intervals = [item.ci95 for item in coefficients if item.ci95 is not None]
    separable = sum(low > 0 or high < 0 for low, high in intervals)
    return (
        f"n = {n}: a Pearson correlation below {least:.2f} in size cannot be distinguished from 0 "
        f"(95 %, Fisher's z). Of the {len(intervals)} intervals above, {separable} exclude 0; "
        f"{(1 - CONFIDENCE) * len(intervals):.1f} would by chance if nothing were correlated. The "
        "uncertainty of accuracies, ECEs and gains themselves is not included."
    )


def _shown() -> list[tuple[str, str, str | None]]:
    pairs = [(x, y) for x in ("accuracy", "ece") for y in ("accuracy", "ece")]
    return [
        ("accuracy", "llm_ece", None),
        *((x, y, versus) for versus in CONTROLS for x, y in pairs),
    ]


def _point_lines(points: Sequence[Point]) -> Iterator[str]:
    form = "  {:<19}{:>9}{:>9}{:>11}{:>9}{:>11}{:>9}"
    yield form.format("", "LLM's", "LLM's", "accuracy", "ECE", "accuracy", "ECE").rstrip()
    yield form.format("data set", "accuracy", "ECE", "/baseline", "", "/real", "").rstrip()
    for point in points:
        gains = [
            "—" if gain is None else _signed(gain, 1)
            for versus in CONTROLS
            for gain in (point.gain(versus, metric, "percent") for metric in _NAMES)
        ]
        figures = (f"{point.llm_accuracy:.3f}", f"{point.llm_ece:.3f}")
        yield form.format(_short(point.dataset, 19), *figures, *gains)


def _paper_lines() -> Iterator[str]:
    yield from _wrapped(
        f"As published: Llama-2-7b-chat and BERT-base, {N} data sets (Ba, Mancenido and Pan 2024, "
        "Table 5); the intervals are ours. These coefficients cannot be recomputed: the paper does "
        "not print the LLM's accuracy and ECE."
    )
    yield _row("LLM's", "with gain in", "against", "n", "Pearson", "")
    table = fitg_table_5()
    for (x, y), coefficient in table.items():
        gain, versus = ("(its ECE)", "") if y == "llm_ece" else (_NAMES[y], "baseline")
        yield _row(_NAMES[x], gain, versus, str(coefficient.n), _cell(coefficient), "")
    least = smallest_separable(N)
    assert least is not None
    separable = sum(item.ci95[0] > 0 or item.ci95[1] < 0 for item in table.values() if item.ci95)
    yield from _wrapped(
        f"n = {N}: below {least:.2f} in size, none can be distinguished from 0; {separable} of "
        f"these {len(table)} intervals exclude 0.",
        "  ",
    )


def _row(x: str, y: str, versus: str, n: str, pearson: str, spearman: str) -> str:
    return f"  {x:<8} {y:<12} {versus:<8}{n:>3}  {pearson:<20}  {spearman}".rstrip()


def _cell(coefficient: Correlation) -> str:
    if coefficient.value is None:
        return "—"
    value = _signed(coefficient.value, 2)
    if coefficient.ci95 is None:
        return f"{value} [no interval]"
    return f"{value} [{_signed(coefficient.ci95[0], 2)}, {_signed(coefficient.ci95[1], 2)}]"


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def _short(name: str, width: int) -> str:
    return name if len(name) < width else f"{name[: width - 2]}…"


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent)
