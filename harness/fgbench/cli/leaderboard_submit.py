"""`fgbench leaderboard submit-check`: check a contributed board, as in a maintainer's CI."""

from __future__ import annotations

import textwrap
from pathlib import Path

import click

from fgbench.cli.console import json_text
from fgbench.cli.options import load_registry, plugin_option


@click.command("submit-check")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--against",
    metavar="BOARD",
    type=click.Path(path_type=Path),
    help="Board to be extended: none of the entries may be on it already.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@plugin_option
def submit_check(file: Path, against: Path | None, as_json: bool, plugins: tuple[str, ...]) -> int:
    """Check a contributed board: schema, duplicates, parts, numbers, metadata, licenses.

    Prints one line per check. Exit code 1 if a check fails.
    """
    from fgbench.differences.rendering import plain
    from fgbench.leaderboard.bundled import board_path
    from fgbench.leaderboard.submission import check_submission

    registry = load_registry(plugins)
    joined = None if against is None else board_path(against, registry)
    checks = check_submission(board_path(file, registry), registry, against=joined)
    passed = all(check.passed for check in checks)
    if as_json:
        value = [
            {"check": check.name, "passed": check.passed, "found": check.found} for check in checks
        ]
        click.echo(json_text({"passed": passed, "checks": value}, indent=1))
        return 0 if passed else 1
    for check in checks:
        head = f"{'passed' if check.passed else 'FAILED'}  {check.name:<11}"
        for text in check.found:
            lines = textwrap.wrap(plain(text), 59, break_on_hyphens=False, break_long_words=False)
            for line in lines or [""]:
                click.echo(f"{head} {line}")
                head = " " * 19
    click.echo(f"{file}: {'ready to merge' if passed else 'not ready'}.")
    return 0 if passed else 1
