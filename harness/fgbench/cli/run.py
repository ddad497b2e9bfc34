"""`fgbench run`: run a matrix of cells and write its leaderboard."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fgbench.cli.boards import json_with_verdict, print_board
from fgbench.cli.consent import consent_options
from fgbench.cli.options import (
    build_suite,
    execution_options,
    failure_lines,
    folder_lines,
    load_registry,
    matrix_options,
    refusal_lines,
    repeated_rows_lines,
)

if TYPE_CHECKING:
    from fgbench.runs.consent import Consent
    from fgbench.runs.execution import Execution


@click.command("run")
@matrix_options
@click.option("--out", default="runs", metavar="DIR", help="Folder of run folders [default: runs].")
@execution_options
@consent_options
@click.option("--table", is_flag=True, help="Also print all numbers: one line per entry.")
@click.option("--ascii", "ascii_only", is_flag=True, help="Print ASCII characters only.")
@click.option("--json", "as_json", is_flag=True, help="Print leaderboard and verdict as JSON.")
@click.option("--quiet", is_flag=True, help="No progress, no verdict.")
def run(
    suite_file: str | None,
    skip_incompatible: bool,
    data_dir: str | None,
    store: str | None,
    plugins: tuple[str, ...],
    out: str,
    execution: Execution,
    table: bool,
    ascii_only: bool,
    consent: Consent,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> int:
    """Run a matrix of cells from a suite file or from options; the default is embedded.

    Options replace the keys of the suite; those that name parts, arms, bins or seeds are
    repeatable. Stored stages are reused; rerun the same command to resume.
    """
    registry = load_registry(plugins)
    n_reported = len(registry.failures)
    suite = build_suite(suite_file, skip_incompatible, options, consent, registry)

    from fgbench.cards import DataFolder
    from fgbench.cli.progress import progress
    from fgbench.llm.answers import ANSWERS_FILE
    from fgbench.plan.plan import make_plan
    from fgbench.runs.consent import SUITE_FILE, parts_of_suite
    from fgbench.runs.session import run_plan
    from fgbench.store import default_store, open_store

    # Whatever a part prints belongs to the progress: standard output is for the result.
    with contextlib.redirect_stdout(sys.stderr):
        folder = DataFolder.from_environment(data_dir)
        plan = make_plan(suite, registry, folder)
        for line in folder_lines(folder):
            click.echo(line, err=True)
        for line in refusal_lines(plan.refusals):
            click.echo(line, err=True)
        opened = open_store(Path(store) if store else default_store())
        with progress(plan, opened.root / ANSWERS_FILE, quiet=quiet) as observer:
            outcome = run_plan(
                plan,
                registry,
                out=Path(out),
                store=opened,
                execution=execution,
                observers=[observer],
            )
    # The run folder is the user's own: regenerating it needs no further question.
    resolved = plan.resolved.suite
    named = parts_of_suite(resolved, resolved.model_fields_set, registry)
    consent.remember(outcome.folder / SUITE_FILE, named, registry)
    for failure in registry.failures[n_reported:]:
        click.echo(f"Warning: plugin {failure.plugin}: {failure.reason}", err=True)
    if as_json:
        click.echo(json_with_verdict(outcome.leaderboard), nl=False)
    elif not quiet:
        page = f"{outcome.folder}/report.html"
        print_board(
            outcome.leaderboard,
            page=page,
            table=table,
            ascii_only=ascii_only,
            notes=repeated_rows_lines(plan),
        )
    if outcome.ok:
        return 0
    for line in failure_lines(outcome.failures, f"{outcome.folder}/events.jsonl"):
        click.echo(line, err=True)
    return 1
