"""`fgbench leaderboard html`: a board as a page that sorts, filters and draws in any browser."""

from __future__ import annotations

from pathlib import Path

import click

from fgbench.cli.options import load_registry, plugin_option

_MOST_PROBLEMS = 3


@click.command("html")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, metavar="DIR", type=click.Path(path_type=Path),
    help="The folder to write index.html into.",
)  # fmt: skip
@click.option(
    "--samples", "runs", multiple=True, metavar="RUN", type=click.Path(path_type=Path),
    help="Show the synthetic samples of this run folder, too.",
)  # fmt: skip
@plugin_option
def html(file: Path, output: Path, runs: tuple[Path, ...], plugins: tuple[str, ...]) -> None:
    """Write a board as one HTML page: table, diagrams, Pareto front, cost and gain.

    FILE is a board, a run folder, or the name of a board that comes with fgbench. The page needs no
    network and no server. Boards hold no texts; those of a run folder, or of --samples, are shown.
    """
    from fgbench.leaderboard.bundled import board_path
    from fgbench.report import write_board_page

    page = write_board_page(board_path(file, load_registry(plugins)), output, runs)
    for problem in page.undrawn[:_MOST_PROBLEMS]:
        click.echo(f"No reliability diagram: {problem}", err=True)
    if len(page.undrawn) > _MOST_PROBLEMS:
        click.echo(f"… and {len(page.undrawn) - _MOST_PROBLEMS} more, in their rows.", err=True)
    click.echo(f"{page.file}: {page.file.stat().st_size / 1e6:,.1f} MB.")
