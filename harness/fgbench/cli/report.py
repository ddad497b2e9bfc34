"""`fgbench report`: write the HTML report of a run."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("report")
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write [default: RUN/report.html].",
)
def report(run: Path, output: Path | None) -> None:
    """Write the report of the run folder RUN: one HTML file, readable without a network."""
    from fgbench.errors import LeaderboardError
    from fgbench.report import write_report

    if not run.is_dir():
        raise LeaderboardError(f"{run}: no such run folder.")
    target = output or run / "report.html"
    write_report(run, target)
    click.echo(str(target))
