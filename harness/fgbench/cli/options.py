"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fgbench.cli.commands import COMMANDS
from fgbench.plugins.registry import Registry

if TYPE_CHECKING:
    from fgbench.plan.cells import Refusal
    from fgbench.plan.suite import Suite

_F = TypeVar("_F", bound=Callable[..., Any])

plugin_option = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="FILE",
    help="Load a local plugin file; may stand several times. FGBENCH_PLUGINS does the same.",
)

store_option = click.option(
    "--store", metavar="DIR", help="Folder of stored stages [default: FGBENCH_STORE, or a cache]."
)

data_dir_option = click.option(
    "--data-dir", metavar="DIR", help="Folder with data set files [default: FGBENCH_DATA]."
)

_MATRIX = [
    ("--dataset", "datasets", "Data set, NAME or NAME:key=value,…"),
    ("--classifier", "classifiers", "Classifier [default: the data set's]."),
    ("--loss", "losses", "Training loss [default: cross-entropy]."),
    ("--generator", "generators", "Generator [default: the data set's]."),
    ("--calibrator", "calibrators", "Calibrator [default: none and temperature]."),
    ("--metric", "metrics", "Metric [default: all]."),
    ("--arm", "arms", "Arm: baseline, real, resample, random-bins, synthesis, synthesis+."),
    ("--bins", "bins", "Number of bins of the diagram that picks targets [default: 15]."),
    ("--seed", "seeds", "Seed [default: 0, 1 and 2]."),
]
_SETTINGS = [
    ("--protocol", "protocol", "strict|paper", "Which rows pick bins and fit calibrators."),
    ("--selector", "selector", "threshold|significant", "How bins are picked."),
    ("--threshold", "threshold", "T", "Gap from which a bin is targeted [default: 0.03]."),
    ("--alpha", "alpha", "A", "Level of the selector 'significant' [default: 0.05]."),
    ("--limit", "limit", "N", "Use only the first N rows of each split."),
    ("--replicates", "replicates", "R", "Bootstrap replicates [default: 1000]."),
    ("--name", "name", "NAME", "Name of the run."),
]


def matrix_options(function: _F) -> _F:
    """Add the options that span a matrix, and the argument SUITE."""
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
            help="Leave out combinations that cannot work instead of refusing the run.",
        )
    )
    decorators += [data_dir_option, store_option, plugin_option]
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


def load_registry(plugins: tuple[str, ...]) -> Registry:
    """Load all plugins; warn on standard error about those that were left out."""
    registry = Registry.load(plugins, reserved_commands=COMMANDS)
    for failure in registry.failures:
        click.echo(f"Warning: plugin {failure.plugin}: {failure.reason}", err=True)
    return registry


def build_suite(suite_file: str | None, skip_incompatible: bool, options: dict[str, Any]) -> Suite:
    """Return the suite that a file and the options say; an option replaces the file's key."""
    from fgbench.plan.suite import Suite

    given = {key: value for key, value in options.items() if value not in (None, ())}
    if skip_incompatible:
        given["incompatible"] = "skip"
    if suite_file is None:
        return Suite.build(given, where="options")
    return Suite.build(Suite.read(Path(suite_file)) | given, where=f"suite {suite_file}, options")


def tell_refusals(refusals: list[Refusal]) -> list[str]:
    """Return a line for each reason why combinations were left out, with the first of them."""
    labels: dict[str, list[str]] = {}
    for refusal in refusals:
        labels.setdefault(refusal.reason, []).append(refusal.label)
    return [
        f"Left out: {found[0]}{f' and {len(found) - 1} more' if len(found) > 1 else ''}: {reason}."
        for reason, found in labels.items()
    ]
