"""`fgbench leaderboard`: build, show and verify boards; its other commands are in own modules."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fgbench.cli.boards import json_with_verdict, print_board
from fgbench.cli.console import json_text
from fgbench.cli.leaderboard_compare import compare
from fgbench.cli.leaderboard_html import html
from fgbench.cli.leaderboard_regenerate import regenerate
from fgbench.cli.leaderboard_submit import submit_check
from fgbench.cli.leaderboard_summary import summary
from fgbench.cli.options import load_registry, plugin_option

if TYPE_CHECKING:
    from fgbench.leaderboard.models import Leaderboard


@click.group("leaderboard")
def leaderboard() -> None:
    """Build, show, compare, verify and regenerate leaderboards."""


leaderboard.add_command(compare)
leaderboard.add_command(html)
leaderboard.add_command(regenerate)
leaderboard.add_command(submit_check)
leaderboard.add_command(summary)


@leaderboard.command("build")
@click.argument("sources", nargs=-1, required=True, metavar="RUN…", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, metavar="FILE", type=click.Path(path_type=Path),
    help="Board to write; predictions go next to it, into <FILE's stem>.predictions/.",
)  # fmt: skip
@click.option("--name", metavar="NAME", help="Name of the board.")
@click.option("--replace", is_flag=True, help="Overwrite FILE instead of adding to it.")
@plugin_option
def build(
    sources: tuple[Path, ...],
    output: Path,
    name: str | None,
    replace: bool,
    plugins: tuple[str, ...],
) -> None:
    """Merge run folders, boards and single entries into one board, or add them to it.

    Entries with the same id are merged; if their numbers differ, nothing is written.
    """
    from fgbench.leaderboard.merge import merge_boards

    board = merge_boards(sources, output, load_registry(plugins), name=name, replace=replace)
    sources_text = "1 source" if len(sources) == 1 else f"{len(sources)} sources"
    click.echo(f"{output}: {len(board.entries)} entries; merged {sources_text}.")


@leaderboard.command("show")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--dataset", multiple=True, metavar="NAME", help="Only these data sets.")
@click.option("--classifier", multiple=True, metavar="NAME", help="Only these classifiers.")
@click.option("--generator", multiple=True, metavar="NAME", help="Only these generators.")
@click.option("--calibrator", multiple=True, metavar="NAME", help="Only these calibrators.")
@click.option("--arm", multiple=True, metavar="NAME", help="Only these arms.")
@click.option("--metric", multiple=True, metavar="NAME", help="These metrics, in this order.")
@click.option("--protocol", multiple=True, metavar="NAME", help="Only these protocols.")
@click.option("--bins", multiple=True, metavar="M", help="Only these numbers of bins.")
@click.option("--dose", multiple=True, metavar="D", help="Only these doses.")
@click.option("--sort", metavar="METRIC", help="Best first in each group, with ranks.")
@click.option("--table", is_flag=True, help="Also print all numbers: one line per entry.")
@click.option("--against", metavar="CONTROL", help="Show differences from this control.")
@click.option("--ascii", "ascii_only", is_flag=True, help="Print ASCII characters only.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the verdict.")
@plugin_option
def show(
    file: Path,
    metric: tuple[str, ...],
    sort: str | None,
    table: bool,
    against: str | None,
    ascii_only: bool,
    as_json: bool,
    plugins: tuple[str, ...],
    **wanted: tuple[str, ...],
) -> None:
    """Show the verdict of a board, and with --table all its numbers.

    FILE is a board, a run folder, or the name of a board that comes with fgbench. --metric, --sort
    and --against imply --table. --json prints the selected entries as a board with its verdict, or
    with --sort, each group in its order with the ranks.
    """
    from fgbench.errors import ConfigurationError, did_you_mean
    from fgbench.leaderboard.bundled import board_path
    from fgbench.leaderboard.contrasts import CONTROLS
    from fgbench.leaderboard.files import read_board
    from fgbench.report.view import filtered

    whole = read_board(board_path(file, load_registry(plugins)))
    _check_names(whole, {**wanted, "metric": metric if sort is None else (*metric, sort)})
    board = filtered(whole, **wanted)
    if as_json:
        click.echo(
            json_with_verdict(board) if sort is None else _ranked_json(board, sort), nl=False
        )
        return
    if against is not None and against not in CONTROLS:
        raise ConfigurationError(f"unknown control {against!r}. {did_you_mean(against, CONTROLS)}")
    print_board(
        board,
        table=table or bool(metric or sort or against),
        metrics=metric,
        sort=sort,
        against=against,
        ascii_only=ascii_only,
    )


@leaderboard.command("verify")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--no-intervals",
    "without_intervals",
    is_flag=True,
    help="Skip the bootstrap (fast): intervals and p-values are not checked.",
)
@click.option(
    "--digests", "only_digests", is_flag=True, help="Check only ids, checksums and digests."
)
@plugin_option
def verify(
    file: Path, without_intervals: bool, only_digests: bool, plugins: tuple[str, ...]
) -> int:
    """Recompute every number of a board from its stored predictions.

    FILE is a board, a run folder, or the name of a board that comes with fgbench. Exit code 1 if
    anything is wrong; every problem is reported.
    """
    from fgbench.leaderboard.bundled import board_path
    from fgbench.leaderboard.verify import verify_board

    registry = load_registry(plugins)
    result = verify_board(
        board_path(file, registry),
        registry,
        intervals=not without_intervals,
        numbers=not only_digests,
    )
    for problem in result.problems:
        click.echo(f"Wrong: {problem}", err=True)
    checked = result.summary()
    if only_digests:
        checked += "; numbers not checked"
    elif without_intervals:
        checked += "; intervals and p-values not checked"
    if result.ok:
        click.echo(f"{file}: verified ({checked}).")
        return 0
    click.echo(
        f"{file}: verification failed: {len(result.problems)} problems ({checked}).", err=True
    )
    return 1


def _ranked_json(board: Leaderboard, metric: str) -> str:
    from fgbench.leaderboard.ranking import ranks
    from fgbench.report.view import by_metric, groups

    value = []
    for group in groups(board):
        ranked = ranks(group.entries, metric)
        entries = [
            {
                "id": entry.id,
                "label": entry.label,
                "mean": entry.metrics[metric].mean,
                "ci95": entry.metrics[metric].ci95,
                "rank": [ranked[entry.id].best, ranked[entry.id].worst],
            }
            for entry in by_metric(group.entries, metric)
            if entry.id in ranked
        ]
        value.append({"group": group.title, "metric": metric, "entries": entries})
    return json_text(value, indent=1) + "\n"


def _check_names(board: Leaderboard, wanted: dict[str, tuple[str, ...]]) -> None:
    from fgbench.errors import ConfigurationError, did_you_mean
    from fgbench.report.view import known_names

    board_names = known_names(board.entries)
    for axis, names in wanted.items():
        for name in names:
            if name not in board_names[axis]:
                raise ConfigurationError(
                    f"the board has no {axis} {name!r}. {did_you_mean(name, board_names[axis])}"
                )
