"""Options that several commands share, in groups: matrix, store, data and execution."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fgbench.cli.commands import COMMANDS
from fgbench.plugins.registry import Registry

if TYPE_CHECKING:
    from fgbench.cards import DataFolder
    from fgbench.plan.cells import Refusal
    from fgbench.plan.plan import Plan
    from fgbench.plan.suite import Suite
    from fgbench.runs.consent import Consent
    from fgbench.runs.session import FailedCell

_F = TypeVar("_F", bound=Callable[..., Any])

plugin_option = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="FILE",
    help="Load a local plugin file (repeatable). Also: FGBENCH_PLUGINS.",
)

store_option = click.option(
    "--store", metavar="DIR", help="Folder of stored stages [default: FGBENCH_STORE or a cache]."
)

data_dir_option = click.option(
    "--data-dir", metavar="DIR", help="Folder with data set files [default: FGBENCH_DATA]."
)

_COUNT = click.IntRange(min=0)
_ATTEMPTS = "across resumes and processes."


def execution_options(function: _F) -> _F:
    """Add the options of the executor and the budget; the function takes them as `execution`."""

    @wraps(function)
    def with_execution(
        *arguments: Any,
        jobs: int,
        executor: str | None,
        max_cost: float | None,
        max_requests: int | None,
        max_tokens: int | None,
        replay: str | None,
        **options: Any,
    ) -> Any:
        from fgbench.llm.budget import Caps
        from fgbench.runs.execution import Execution

        execution = Execution(
            executor,
            jobs,
            Caps(max_requests, max_tokens, max_cost),
            Path(replay) if replay else None,
        )
        return function(*arguments, execution=execution, **options)

    decorators = [
        click.option(
            "--jobs", type=click.IntRange(min=1), default=1, help="Processes [default: 1]."
        ),
        click.option("--executor", metavar="NAME", help="Executor [default: see `fgbench list`]."),
        click.option(
            "--max-cost",
            type=click.FloatRange(min=0),
            metavar="USD",
            help=f"Maximum LLM cost in USD for the run, {_ATTEMPTS}",
        ),
        click.option(
            "--max-requests",
            type=_COUNT,
            metavar="N",
            help=f"Maximum LLM requests for the run, {_ATTEMPTS}",
        ),
        click.option(
            "--max-tokens",
            type=_COUNT,
            metavar="N",
            help=f"Maximum LLM tokens for the run, {_ATTEMPTS}",
        ),
        click.option(
            "--replay", metavar="FILE", help="Take all LLM answers from an exported file."
        ),
    ]
    decorated: Any = with_execution
    for decorator in reversed(decorators):
        decorated = decorator(decorated)
    return decorated  # type: ignore[no-any-return]


_MATRIX = [
    ("--dataset", "datasets", "Data set, NAME or NAME:key=value,…"),
    ("--classifier", "classifiers", "Classifier [default: the data set's]."),
    ("--loss", "losses", "Training loss [default: see `fgbench list`]."),
    ("--generator", "generators", "Generator [default: the data set's]."),
    ("--calibrator", "calibrators", "Calibrator [default: see `fgbench list`]."),
    ("--metric", "metrics", "Metric [default: all]."),
    (
        "--arm",
        "arms",
        "Arm [default: baseline, real, resample, other-bins, no-shift, synthesis, synthesis+]. "
        "Others: reversed, unfiltered, fresh-real, random-bins.",
    ),
    ("--bins", "bins", "Bins of the reliability diagram that selects targets [default: 15]."),
    ("--dose", "doses", "Synthetic points per targeted point [default: 1]."),
    ("--seed", "seeds", "Seed [default: 0, 1 and 2]."),
]
_SETTINGS = [
    ("--protocol", "protocol", "strict|paper", "Which rows select bins and fit calibrators."),
    ("--selector", "selector", "threshold|significant", "How bins are selected."),
    ("--threshold", "threshold", "T", "Target bins whose gap exceeds T [default: 0.03]."),
    ("--alpha", "alpha", "A", "Significance level of the selector 'significant' [default: 0.05]."),
    ("--limit", "limit", "N", "Use only the first N rows of each split."),
    ("--reserve", "reserve", "F", "Set aside this share of the training rows, for fresh-real."),
    ("--replicates", "replicates", "R", "Bootstrap replicates [default: 1000]."),
    ("--name", "name", "NAME", "Name of the run."),
]


def matrix_options(function: _F) -> _F:
    """Add the argument SUITE and the options of its matrix, its data and its store."""
    decorators: list[Callable[[_F], _F]] = [
        click.argument("suite_file", required=False, metavar="[SUITE]")
    ]
    for option, name, text in _MATRIX:
        metavar = option.strip("-")[0].upper()
        decorators.append(click.option(option, name, multiple=True, metavar=metavar, help=text))
    for option, name, metavar, text in _SETTINGS:
        decorators.append(click.option(option, name, metavar=metavar, help=text))
    decorators.append(
        click.option(
            "--skip-incompatible",
            is_flag=True,
            help="Skip combinations that cannot work instead of refusing the run.",
        )
    )
    decorators += [data_dir_option, store_option, plugin_option]
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


def load_registry(plugins: tuple[str, ...]) -> Registry:
    """Load all plugins; warn on standard error about those that failed."""
    registry = Registry.load(plugins, reserved_commands=COMMANDS)
    for failure in registry.failures:
        click.echo(f"Warning: plugin {failure.plugin}: {failure.reason}", err=True)
    return registry


def build_suite(
    suite_file: str | None,
    skip_incompatible: bool,
    options: dict[str, Any],
    consent: Consent,
    registry: Registry,
) -> Suite:
    """Return the suite of a file and options; an option replaces the key of the file.

    `consent` decides whether the file may use what it names, the keys that options replace aside.
    """
    from fgbench.plan.suite import Suite

    values = {key: value for key, value in options.items() if value not in (None, ())}
    if skip_incompatible:
        values["incompatible"] = "skip"
    if suite_file is None:
        return Suite.build(values, where="options")
    from fgbench.runs.consent import parts_of_suite

    file = Path(suite_file)
    keys = Suite.read(file)
    suite = Suite.build(keys | values, where=f"suite {suite_file}, options")
    consent.require(file, parts_of_suite(suite, keys.keys() - values.keys(), registry), registry)
    return suite


def folder_lines(folder: DataFolder) -> list[str]:
    """Return a line for each note and warning about the files of data sets."""
    return [
        *(f"Note: {note}" for note in folder.notes),
        *(f"Warning: {warning}" for warning in folder.warnings),
    ]


def refusal_lines(refusals: list[Refusal]) -> list[str]:
    """Return a line for each reason why combinations were skipped, with the first of them."""
    labels: dict[str, list[str]] = {}
    for refusal in refusals:
        labels.setdefault(refusal.reason, []).append(refusal.label)
    return [f"Skipped {_and_others(names)}: {reason}." for reason, names in labels.items()]


def repeated_rows_lines(plan: Plan) -> list[str]:
    """Return a line for each data set of which some test rows have equal inputs."""
    return [
        f"{dataset}: {rows:,} test rows, {distinct:,} distinct (equal inputs count as one row)."
        for dataset, (rows, distinct) in plan.test_rows().items()
        if distinct < rows
    ]


def failure_lines(failures: list[FailedCell], tracebacks: str) -> list[str]:
    """Return a line for each reason why cells failed, and one that says where to look."""
    labels: dict[str, list[str]] = {}
    for failure in failures:
        labels.setdefault(failure.error, []).append(failure.label)
    count = f"{len(failures)} cell{'' if len(failures) == 1 else 's'}"
    return [
        *(f"Failed: {_and_others(names)}: {error}" for error, names in labels.items()),
        f"{count} failed; all other results were kept. Tracebacks: {tracebacks}",
    ]


def _and_others(names: list[str]) -> str:
    others = len(names) - 1
    return names[0] + (f" and {others} other{'' if others == 1 else 's'}" if others else "")
