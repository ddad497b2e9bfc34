"""`fgbench evaluate`: the statistics alone, for anyone's predictions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fgbench.cli.console import json_text
from fgbench.cli.options import load_registry, plugin_option

if TYPE_CHECKING:
    from collections.abc import Mapping

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("evaluate")
@click.argument(
    "files", metavar="PREDICTIONS...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option("--full", is_flag=True, help="Add the measurement grid of Tao et al. 2024.")
@click.option(
    "--replicates", type=click.IntRange(min=0), default=1000, help="Bootstrap replicates [1000]."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option("--html", metavar="FILE", type=_FILE, help="Write a page with reliability diagram.")
@click.option(
    "--plot",
    metavar="FILE",
    type=_FILE,
    help="Draw the reliability diagram for a paper: .svg, .pdf or .png (needs matplotlib).",
)
@plugin_option
def evaluate(
    files: tuple[Path, ...],
    full: bool,
    replicates: int,
    as_json: bool,
    html: Path | None,
    plot: Path | None,
    plugins: tuple[str, ...],
) -> None:
    """Evaluate predictions that no run made: every metric, its interval, its noise floor.

    PREDICTIONS is a .csv file with a column `label` and one of probabilities for each class (a
    single one is P(y=1)), or an .npz file with `labels` and `logits` or `probabilities`. Several
    files, or a column `seed`, are several seeds on the same rows. Optional columns: `id` of the
    row, and `group`, whose rows count as one.
    """
    from fgbench.evaluation.assessment import assess
    from fgbench.evaluation.diagram import check_plot
    from fgbench.evaluation.sets import read_predictions
    from fgbench.store.atomic import write_atomically

    if plot is not None:
        check_plot(plot)
    registry = load_registry(plugins)
    predictions = read_predictions(*files)
    assessment = assess(predictions.seeds, registry, replicates=replicates, full=full)
    if html is not None:
        write_atomically(html, assessment.page(", ".join(path.name for path in files)))
    if plot is not None:
        assessment.plot(plot)
    if as_json:
        click.echo(json_text(assessment.to_value(), indent=1, sort_keys=True))
        return
    click.echo(str(assessment))
    if assessment.grid is not None:
        click.echo(_grid_text(assessment.grid))
    for path in (html, plot):
        if path is not None:
            click.echo(str(path))


def _grid_text(grid: Mapping[str, float]) -> str:
    from fgbench.calibration.grid import BIN_COUNTS, FAMILIES, OTHERS
    from fgbench.evaluation.tables import Table
    from fgbench.numbers import number

    rows = tuple(
        (str(bins), *(number(grid[f"{name}:bins={bins}"]) for name in FAMILIES))
        for bins in BIN_COUNTS
    )
    errors = Table("Measurement grid (Tao et al. 2024)", ("bins", *FAMILIES), rows)
    others = Table("", ("", "value"), tuple((name, number(grid[name])) for name in OTHERS))
    return f"\n{errors.to_text()}\n{others.to_text()}"
