"""`fgbench evaluate`: the statistics alone, for anyone's predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fgbench.cli.console import console, json_text
from fgbench.cli.options import load_registry, plugin_option


@click.command("evaluate")
@click.argument("predictions", metavar="PREDICTIONS", type=click.Path(path_type=Path))
@click.option("--full", is_flag=True, help="Add the measurement grid of Tao et al. 2024.")
@click.option(
    "--replicates", type=click.IntRange(min=0), default=1000, help="Bootstrap replicates [1000]."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@plugin_option
def evaluate(
    predictions: Path, full: bool, replicates: int, as_json: bool, plugins: tuple[str, ...]
) -> None:
    """Evaluate predictions that no run made: every metric, its interval, its noise floor.

    PREDICTIONS is an .npz file with `labels` and `logits` or `probabilities`, or a .csv file with a
    column `label` and one of probabilities for each class (a single one is P(y=1)).
    """
    from fgbench.evaluating import assess, read_predictions

    registry = load_registry(plugins)
    assessment = assess(read_predictions(predictions), registry, replicates=replicates, full=full)
    if as_json:
        click.echo(json_text(assessment.to_value(), indent=1, sort_keys=True))
    else:
        _print(assessment)


def _print(assessment: Any) -> None:
    from rich import box
    from rich.table import Table

    from fgbench.calibration import bounds_sentences
    from fgbench.calibration.grid import BIN_COUNTS, FAMILIES, OTHERS
    from fgbench.evaluating import BOUND_BINS, BOUND_DELTA
    from fgbench.numbers import interval, number

    output = console()
    table = Table(
        box=box.SIMPLE_HEAD, title=f"{assessment.n:,} predictions, {assessment.classes} classes"
    )
    table.add_column("metric")
    for column in ("value", "95 % interval", "measured", "noise floor"):
        table.add_column(column, justify="right")
    for name, summary in assessment.metrics.items():
        floor = "" if summary.noise_floor is None else number(summary.noise_floor)
        mark = "°" if summary.is_chance else ""
        measured = "" if summary.corrected is None else number(summary.mean)
        value = number(summary.estimate) + mark
        table.add_row(name, value, interval(summary.ci95), measured, floor)
    output.print(table)
    for name, reason in assessment.undefined.items():
        output.print(f"{name}: undefined: {reason}.", highlight=False)
    output.print(
        "Intervals: percentile bootstrap over the points. Noise floor: what chance alone gives a "
        "perfectly calibrated classifier with these predictions; °: at or below it. "
        + bounds_sentences(assessment.n, BOUND_BINS, delta=BOUND_DELTA),
        highlight=False,
    )
    if assessment.grid is None:
        return
    grid = Table(box=box.SIMPLE_HEAD, title="Measurement grid (Tao et al. 2024)")
    grid.add_column("bins", justify="right")
    for family in FAMILIES:
        grid.add_column(family.replace("_", "\n"), justify="right")
    for bins in BIN_COUNTS:
        grid.add_row(
            str(bins), *(number(assessment.grid[f"{name}:bins={bins}"]) for name in FAMILIES)
        )
    output.print(grid)
    for name in OTHERS:
        output.print(f"{name:18}{number(assessment.grid[name])}", highlight=False)
