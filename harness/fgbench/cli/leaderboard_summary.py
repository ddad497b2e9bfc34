"""`fgbench leaderboard summary`: methods over data sets, from boards or from anyone's results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fgbench.cli.options import load_registry, plugin_option

if TYPE_CHECKING:
    from fgbench.inference.across import Result

_DEFAULT_METRIC = "ece"


@click.command("summary")
@click.argument("files", nargs=-1, required=True, metavar="FILE…", type=click.Path(path_type=Path))
@click.option("--metric", metavar="NAME", help="Metric of boards [default: ece].")
@click.option(
    "--column", "columns", multiple=True, metavar="ROLE=NAME",
    help="Name of a CSV column: method, task, seed, value or dataset (repeatable); A+B joins two.",
)  # fmt: skip
@click.option("--higher-is-better", is_flag=True, help="Larger values of CSV files are better.")
@click.option("--method", "methods", multiple=True, metavar="NAME", help="Only these methods.")
@click.option(
    "--reference", metavar="NAME", help="Compare with this method [default: the best-ranked]."
)
@click.option(
    "--margin", type=click.FloatRange(min=0, min_open=True), metavar="M",
    help="Differences below M do not matter: test for equivalence.",
)  # fmt: skip
@click.option(
    "--plot", metavar="FILE", type=click.Path(path_type=Path),
    help="Write a critical-difference diagram (.svg).",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@plugin_option
def summary(
    files: tuple[Path, ...],
    metric: str | None,
    columns: tuple[str, ...],
    higher_is_better: bool,
    methods: tuple[str, ...],
    reference: str | None,
    margin: float | None,
    plot: Path | None,
    as_json: bool,
    plugins: tuple[str, ...],
) -> None:
    """Summarize methods over data sets: mean effects, wins, mean ranks, and what is not separable.

    FILE is a board, a run folder, the name of a board that comes with fgbench, or a CSV file with
    one result per row: columns method, task, value, and optionally seed and dataset.
    """
    from fgbench.errors import ConfigurationError
    from fgbench.inference.across import summarize_results
    from fgbench.report.summary import critical_difference_svg, summary_text
    from fgbench.store.atomic import write_atomically

    if plot is not None and plot.suffix.lower() != ".svg":
        raise ConfigurationError(f"--plot {plot}: the diagram is written as .svg.")
    results, higher, value = _read(files, metric, columns, higher_is_better, plugins)
    found = summarize_results(
        _selected(results, methods), higher_is_better=higher, reference=reference, margin=margin
    )
    if plot is not None:
        write_atomically(plot, critical_difference_svg(found, value))
    if as_json:
        click.echo(found.model_dump_json(indent=1))
        return
    from rich.console import Console

    click.echo(summary_text(found, value, max(60, min(Console().width, 120))), nl=False)


def _read(
    files: tuple[Path, ...],
    metric: str | None,
    columns: tuple[str, ...],
    higher_is_better: bool,
    plugins: tuple[str, ...],
) -> tuple[list[Result], bool, str]:
    """Return the results, whether higher is better, and what the values are."""
    from fgbench.errors import ConfigurationError
    from fgbench.leaderboard import results
    from fgbench.leaderboard.bundled import board_path

    tables = [path for path in files if results.is_table(path)]
    if tables and len(tables) < len(files):
        raise ConfigurationError("boards and CSV files cannot be summarized together.")
    if tables:
        if metric is not None:
            raise ConfigurationError("--metric is for boards; of CSV files, name --column value=…")
        names = results.parse_columns(columns)
        value = names.get("value", "value").removeprefix(results.METHOD_PLACEHOLDER).strip("_ ")
        return results.table_results(tables, names), higher_is_better, value
    for given, option in ((columns, "--column"), (higher_is_better, "--higher-is-better")):
        if given:
            raise ConfigurationError(f"{option} is for CSV files; boards know theirs.")
    registry = load_registry(plugins)
    name = metric or _DEFAULT_METRIC
    paths = [board_path(path, registry) for path in files]
    rows, higher = results.board_results(paths, name)
    return rows, higher, name


def _selected(rows: list[Result], methods: tuple[str, ...]) -> list[Result]:
    from fgbench.errors import ConfigurationError, did_you_mean

    known = {row.method for row in rows}
    for name in methods:
        if name not in known:
            raise ConfigurationError(f"no method {name!r}. {did_you_mean(name, known)}")
    return [row for row in rows if not methods or row.method in methods]
