"""`fgbench leaderboard html`: write a board as an interactive page."""

from __future__ import annotations

from pathlib import Path

import click

from fgbench.cli.options import load_registry, plugin_option

_MOST_PROBLEMS = 3


@click.command("html")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, metavar="DIR", type=click.Path(path_type=Path),
    help="Folder to write index.html to.",
)  # fmt: skip
@click.option(
    "--samples", "runs", multiple=True, metavar="RUN", type=click.Path(path_type=Path),
    help="Also show the synthetic samples of this run folder (repeatable).",
)  # fmt: skip
@plugin_option
def html(file: Path, output: Path, runs: tuple[Path, ...], plugins: tuple[str, ...]) -> None:
    """Write a board as one HTML page: table, diagrams, Pareto front, cost and gain.

    FILE is a board, a run folder, or the name of a board that comes with fgbench. The page needs
    neither network nor server. Boards contain no texts: the page shows those of a run folder and of
    --samples.
    """
    from fgbench.leaderboard.bundled import board_path
    from fgbench.report import write_board_page

    page = write_board_page(board_path(file, load_registry(plugins)), output, runs)
    for problem in page.undrawn[:_MOST_PROBLEMS]:
        click.echo(f"No reliability diagram: {problem}", err=True)
    if len(page.undrawn) > _MOST_PROBLEMS:
        click.echo(
            f"… and {len(page.undrawn) - _MOST_PROBLEMS} more; see the rows of the page.", err=True
        )
    click.echo(f"{page.file}: {page.file.stat().st_size / 1e6:,.1f} MB.")
