"""`fgbench evaluate`: the statistics alone, for anyone's predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

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
        click.echo(json.dumps(assessment.to_value(), indent=1, sort_keys=True))
    else:
        _print(assessment)


def _print(assessment: Any) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from fgbench.calibration import bounds_sentences
    from fgbench.calibration.grid import BIN_COUNTS, FAMILIES, OTHERS
    from fgbench.evaluating import BOUND_BINS, BOUND_DELTA
    from fgbench.report.view import number

    console = Console()
    table = Table(
        box=box.SIMPLE_HEAD, title=f"{assessment.n:,} predictions, {assessment.classes} classes"
    )
    table.add_column("metric")
    for column in ("value", "without chance", "95 % interval", "noise floor"):
        table.add_column(column, justify="right")
    for name, summary in assessment.metrics.items():
        interval = (
            f"{number(summary.ci95[0])} to {number(summary.ci95[1])}" if summary.ci95 else "—"
        )
        floor = "" if summary.noise_floor is None else number(summary.noise_floor)
        mark = "°" if summary.is_chance else ""
        table.add_row(name, number(summary.mean) + mark, interval, floor)
    console.print(table)
    for name, reason in assessment.undefined.items():
        console.print(f"{name}: undefined: {reason}.", highlight=False)
    console.print(
        "Intervals: bootstrap over the points; those of ece are of the error without chance, "
        "and — is a metric without a valid interval. Noise floor: what chance alone gives a "
        "perfectly calibrated classifier on average; °: 5 % of them have a larger error. "
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
    console.print(grid)
    for name in OTHERS:
        console.print(f"{name:18}{number(assessment.grid[name])}", highlight=False)
