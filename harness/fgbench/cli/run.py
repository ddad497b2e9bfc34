"""`fgbench run`: run a matrix of cells and write its leaderboard."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import click

from fgbench.cli.options import build_suite, load_registry, matrix_options, tell_refusals

_COUNT = click.IntRange(min=0)
_CAP = "Cap on the {} of language models, resumes and processes included."


@click.command("run")
@matrix_options
@click.option("--out", default="runs", metavar="DIR", help="Folder of run folders [default: runs].")
@click.option("--jobs", type=click.IntRange(min=1), default=1, help="Processes [default: 1].")
@click.option("--executor", metavar="NAME", help="Executor; local:jobs=N is the default.")
@click.option("--max-cost", type=click.FloatRange(min=0), metavar="USD", help=_CAP.format("cost"))
@click.option("--max-requests", type=_COUNT, metavar="N", help=_CAP.format("requests"))
@click.option("--max-tokens", type=_COUNT, metavar="N", help=_CAP.format("tokens"))
@click.option(
    "--replay", metavar="FILE", help="Take all answers of language models from an exported file."
)
@click.option("--json", "as_json", is_flag=True, help="Print the leaderboard as JSON.")
@click.option("--quiet", is_flag=True, help="No progress, no table.")
def run(
    suite_file: str | None,
    skip_incompatible: bool,
    data_dir: str | None,
    store: str | None,
    plugins: tuple[str, ...],
    out: str,
    jobs: int,
    executor: str | None,
    max_cost: float | None,
    max_requests: int | None,
    max_tokens: int | None,
    replay: str | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> int:
    """Run a matrix of cells, from a suite file, from options, or the embedded default.

    Options replace the keys of the suite; those that name parts, arms, bins or seeds may be given
    several times. Stages that are stored are not run again, so the same
    command goes on with an interrupted run.
    """
    if executor is not None and jobs != 1:
        raise click.UsageError("--jobs is for the local executor: write --executor local:jobs=N.")
    registry = load_registry(plugins)
    noted = len(registry.failures)
    suite = build_suite(suite_file, skip_incompatible, options)

    from fgbench.cards import DataFolder
    from fgbench.cli.progress import progress
    from fgbench.llm.answers import ANSWERS_FILE
    from fgbench.llm.budget import Caps
    from fgbench.plan.plan import make_plan
    from fgbench.plugins.references import PartReference
    from fgbench.runs.session import run_plan
    from fgbench.store import default_store, open_store

    # Whatever a part prints belongs to the progress: standard output is for the result.
    with contextlib.redirect_stdout(sys.stderr):
        folder = DataFolder.from_environment(data_dir)
        planned = make_plan(suite, registry, folder)
        for warning in folder.warnings:
            click.echo(f"Warning: {warning}", err=True)
        for line in tell_refusals(planned.refusals):
            click.echo(line, err=True)
        stored = open_store(Path(store) if store else default_store())
        with progress(planned, stored.root / ANSWERS_FILE, quiet=quiet) as observer:
            outcome = run_plan(
                planned,
                registry,
                out=Path(out),
                store=stored,
                executor=PartReference.parse(executor or f"local:jobs={jobs}"),
                observers=[observer],
                caps=Caps(max_requests, max_tokens, max_cost),
                replay=Path(replay) if replay else None,
            )
    for failure in registry.failures[noted:]:
        click.echo(f"Warning: plugin {failure.plugin}: {failure.reason}", err=True)
    if as_json:
        click.echo(outcome.leaderboard.to_json(), nl=False)
    elif not quiet:
        from rich.console import Console

        from fgbench.report.notes import noted as notes_on
        from fgbench.report.table import results_table

        console = Console()
        console.print(results_table(outcome.leaderboard, width=console.width))
        for note in notes_on(outcome.leaderboard.entries):
            console.print(f"Note: {note}", highlight=False, markup=False)
        console.print(f"Results: {outcome.folder}/leaderboard.json, report.html", soft_wrap=True)
    if outcome.failures:
        _tell_failures(outcome.failures, outcome.folder)
        return 1
    return 0


def _tell_failures(failures: list[Any], folder: Path) -> None:
    by_error: dict[str, list[str]] = {}
    for failure in failures:
        by_error.setdefault(failure.error, []).append(failure.label)
    for error, labels in by_error.items():
        more = f" and {len(labels) - 1} more" if len(labels) > 1 else ""
        click.echo(f"Failed: {labels[0]}{more}: {error}", err=True)
    click.echo(
        f"Cells that failed: {len(failures)}; the others are kept; tracebacks: "
        f"{folder}/events.jsonl",
        err=True,
    )
