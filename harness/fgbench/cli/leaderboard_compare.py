"""`fgbench leaderboard compare`: two boards, entry by entry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fgbench.cli.console import json_text
from fgbench.cli.options import load_registry, plugin_option

if TYPE_CHECKING:
    from fgbench.differences.compare import BoardComparison

_FAULTS = ("regression", "vanished", "data")


@click.command("compare")
@click.argument("old", metavar="OLD", type=click.Path(path_type=Path))
@click.argument("new", metavar="NEW", type=click.Path(path_type=Path))
@click.option("--metric", multiple=True, metavar="NAME", help="Only these metrics.")
@click.option("--all", "everything", is_flag=True, help="Also show differences that are noise.")
@click.option(
    "--unpaired",
    is_flag=True,
    help="Use only the stored intervals: fast, but misses small differences.",
)
@click.option("--json", "form", flag_value="json", help="Print JSON.")
@click.option("--markdown", "form", flag_value="markdown", help="Print Markdown.")
@click.option("--csv", "form", flag_value="csv", help="Print CSV.")
@click.option(
    "--fail-on",
    "faults",
    multiple=True,
    type=click.Choice(_FAULTS),
    help="Exit 1 if a metric regressed beyond noise, an entry is missing, or the data differ.",
)
@plugin_option
def compare(
    old: Path,
    new: Path,
    metric: tuple[str, ...],
    everything: bool,
    unpaired: bool,
    form: str | None,
    faults: tuple[str, ...],
    plugins: tuple[str, ...],
) -> int:
    """Compare two boards, entry by entry: what is better, worse, missing, new, or only noise.

    OLD and NEW are each a board, a run folder, or the name of a board that comes with fgbench.
    """
    from fgbench.differences import rendering
    from fgbench.differences.compare import compare_files
    from fgbench.leaderboard.bundled import board_path

    registry = load_registry(plugins)
    comparison = compare_files(
        board_path(old, registry),
        board_path(new, registry),
        registry,
        metrics=metric,
        paired=not unpaired,
    )
    _check_metrics(comparison, metric)
    if form == "json":
        click.echo(json_text(rendering.as_value(comparison), indent=1))
    elif form == "markdown":
        click.echo(rendering.as_markdown(comparison), nl=False)
    elif form == "csv":
        click.echo(rendering.as_csv(comparison), nl=False)
    else:
        click.echo(rendering.as_text(comparison, everything=everything), nl=False)
    return 1 if report_faults(comparison, faults) else 0


def report_faults(comparison: BoardComparison, faults: tuple[str, ...]) -> bool:
    """Report the named faults on standard error; return whether there are any."""
    sentences = []
    if "regression" in faults and (worse := comparison.regressions):
        entry, first = worse[0]
        sentences.append(f"{len(worse)} metrics regressed, first {first.metric} of {entry.new.id}.")
    if "vanished" in faults and comparison.vanished:
        sentences.append(
            f"{len(comparison.vanished)} entries are missing, first {comparison.vanished[0].id}."
        )
    if "data" in faults and comparison.refused:
        sentences.append(f"{len(comparison.refused)} entries have different data.")
    for sentence in sentences:
        click.echo(f"Failed: {sentence}", err=True)
    return bool(sentences)


def _check_metrics(comparison: BoardComparison, metrics: tuple[str, ...]) -> None:
    from fgbench.errors import ConfigurationError, did_you_mean
    from fgbench.report.view import known_names

    available = known_names([*comparison.old.entries, *comparison.new.entries])["metric"]
    for name in metrics:
        if name not in available:
            raise ConfigurationError(
                f"neither board has the metric {name!r}. {did_you_mean(name, available)}"
            )
