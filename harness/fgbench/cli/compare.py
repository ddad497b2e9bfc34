"""`fgbench compare`: two sets of predictions of the same rows."""

from __future__ import annotations

from pathlib import Path

import click

from fgbench.cli.console import json_text
from fgbench.cli.options import load_registry, plugin_option

_PATH = click.Path(path_type=Path)


@click.command("compare")
@click.argument("files", metavar="[A B]", nargs=-1, type=_PATH)
@click.option(
    "--a", "a", metavar="FILE", multiple=True, type=_PATH, help="A seed of A (repeatable)."
)
@click.option(
    "--b", "b", metavar="FILE", multiple=True, type=_PATH, help="A seed of B (repeatable)."
)
@click.option(
    "--metric",
    "metrics",
    metavar="METRIC",
    multiple=True,
    help="Metric to compare (repeatable) [default: accuracy, ece, nll, brier].",
)
@click.option(
    "--margin",
    "margins",
    metavar="[METRIC=]M",
    multiple=True,
    help="Difference that does not matter, of one metric or of all (repeatable).",
)
@click.option(
    "--replicates", type=click.IntRange(min=0), default=1000, help="Bootstrap replicates [1000]."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@plugin_option
def compare(
    files: tuple[Path, ...],
    a: tuple[Path, ...],
    b: tuple[Path, ...],
    metrics: tuple[str, ...],
    margins: tuple[str, ...],
    replicates: int,
    as_json: bool,
    plugins: tuple[str, ...],
) -> None:
    """Compare two sets of predictions of the same rows: is A better than B?

    A and B are files as `fgbench evaluate` takes them, with one seed, or several in a column
    `seed`. With one file per seed, name each with --a or --b, in the same order of seeds. Rows are
    matched by a column `id`, or else by their order. A column `group` joins rows that are not
    independent. A difference of methods needs at least two seeds.
    """
    from fgbench.evaluation.comparison import compare_predictions
    from fgbench.evaluation.sets import read_pair

    if files:
        if a or b or len(files) != 2:
            raise click.UsageError("Give two files, A and B, or --a and --b for each seed.")
        a, b = (files[0],), (files[1],)
    if not a or not b:
        raise click.UsageError("Give two files, A and B, or --a and --b for each seed.")
    registry = load_registry(plugins)
    first, second = read_pair(a, b)
    comparison = compare_predictions(
        first.seeds,
        second.seeds,
        registry,
        metrics=metrics,
        margins=_margins(margins),
        names=(", ".join(first.files), ", ".join(second.files)),
        replicates=replicates,
    )
    if as_json:
        click.echo(json_text(comparison.to_value(), indent=1, sort_keys=True))
    else:
        click.echo(str(comparison))


def _margins(texts: tuple[str, ...]) -> float | dict[str, float] | None:
    """Return the margins of `--margin .01` or `--margin ece=.01`."""
    by_metric: dict[str, float] = {}
    of_all: float | None = None
    for text in texts:
        # A metric with parameters has `=` itself: ece:bins=10=.01.
        name, equals, value = text.rpartition("=")
        try:
            margin = float(value)
        except ValueError:
            raise click.UsageError(f"--margin {text}: write a number, or METRIC=NUMBER.") from None
        if equals:
            by_metric[name] = margin
        else:
            of_all = margin
    if by_metric and of_all is not None:
        raise click.UsageError("--margin: give one number for all metrics, or METRIC=NUMBER.")
    return by_metric or of_all
