"""`fgbench leaderboard regenerate`: reproduce the entries of a board, and compare."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fgbench.cli.consent import consent_options
from fgbench.cli.console import json_text
from fgbench.cli.options import (
    data_dir_option,
    execution_options,
    failure_lines,
    load_registry,
    plugin_option,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fgbench.engine.events import Listener
    from fgbench.plan.plan import Plan
    from fgbench.runs.consent import Consent
    from fgbench.runs.execution import Execution
    from fgbench.runs.regenerate import Regeneration
    from fgbench.store import Store


@click.command("regenerate")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--entry", "entries", multiple=True, metavar="ID", help="Only this entry (repeatable)."
)
@click.option(
    "--out",
    default="regenerated",
    metavar="DIR",
    help="Folder of the new runs [default: regenerated].",
)
@click.option(
    "--store",
    metavar="DIR",
    help="Reuse the stages stored in DIR [default: reuse nothing].",
)
@execution_options
@consent_options
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
@click.option("--quiet", is_flag=True, help="No progress.")
@data_dir_option
@plugin_option
def regenerate(
    file: Path,
    entries: tuple[str, ...],
    out: str,
    store: str | None,
    execution: Execution,
    consent: Consent,
    as_json: bool,
    quiet: bool,
    data_dir: str | None,
    plugins: tuple[str, ...],
) -> int:
    """Reproduce a board from its suite or its entries, and compare.

    FILE is a run folder, a board, or the name of a board that comes with fgbench. Each
    difference is reported with its likely cause: data, models, code, packages, metrics. Exit code 1
    if an entry is missing or a number differs by more than noise.
    """
    registry = load_registry(plugins)

    from fgbench.cards import DataFolder
    from fgbench.leaderboard.bundled import board_path
    from fgbench.runs.regenerate import regenerate
    from fgbench.store import Store

    with contextlib.redirect_stdout(sys.stderr):
        regeneration = regenerate(
            board_path(file, registry),
            registry,
            DataFolder.from_environment(data_dir),
            out=Path(out),
            execution=execution,
            consent=consent,
            entry_prefixes=entries,
            store=Store(Path(store)) if store else None,
            observe=lambda plan, chosen, account: _observed(plan, chosen, account, quiet),
        )
    _report(regeneration, as_json)
    return 0 if regeneration.ok else 1


@contextlib.contextmanager
def _observed(plan: Plan, store: Store, account: str, quiet: bool) -> Iterator[Listener]:
    from fgbench.cli.progress import progress
    from fgbench.llm.answers import ANSWERS_FILE

    with progress(plan, store.root / ANSWERS_FILE, quiet=quiet, account=account) as observer:
        yield observer


def _report(regeneration: Regeneration, as_json: bool) -> None:
    from fgbench.differences import drift, rendering

    if as_json:
        value = rendering.as_value(regeneration.comparison)
        value["failures"] = [
            {"cell": failure.label, "error": failure.error} for failure in regeneration.failures
        ]
        click.echo(json_text(value, indent=1))
    else:
        click.echo(drift.as_text(regeneration.comparison), nl=False)
        click.echo(f"Runs: {', '.join(map(str, regeneration.folders))}")
    if regeneration.failures:
        for line in failure_lines(regeneration.failures, "events.jsonl of each run"):
            click.echo(line, err=True)
