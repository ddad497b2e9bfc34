"""`fgbench leaderboard compare`: two boards, entry by entry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fgbench.cli.options import load_registry, plugin_option

if TYPE_CHECKING:
    from fgbench.compare.compare import BoardComparison

_FAULTS = ("regression", "vanished", "data")


@click.command("compare")
@click.argument("old", metavar="OLD", type=click.Path(path_type=Path))
@click.argument("new", metavar="NEW", type=click.Path(path_type=Path))
@click.option("--metric", multiple=True, metavar="NAME", help="Only these metrics.")
@click.option("--all", "everything", is_flag=True, help="Show what is only noise, too.")
@click.option(
    "--unpaired",
    is_flag=True,
    help="Judge by the stored intervals alone: quick, and blind to small differences.",
)
@click.option("--json", "form", flag_value="json", help="Print JSON.")
@click.option("--markdown", "form", flag_value="markdown", help="Print Markdown.")
@click.option("--csv", "form", flag_value="csv", help="Print CSV.")
@click.option(
    "--fail-on",
    "faults",
    multiple=True,
    type=click.Choice(_FAULTS),
    help="Exit with 1 if a metric got worse beyond noise, an entry vanished, or data are others.",
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
    """Compare two boards, entry by entry: what is better, worse, gone, new, or only noise.

    Each is a board, a run folder, or the name of a board that comes with fgbench.
    """
    from fgbench.compare import rendering
    from fgbench.compare.compare import compare_files
    from fgbench.leaderboard.bundled import board_path

    registry = load_registry(plugins)
    found = compare_files(
        board_path(old, registry),
        board_path(new, registry),
        registry,
        metrics=metric,
        paired=not unpaired,
    )
    _check_metrics(found, metric)
    if form == "json":
        click.echo(json.dumps(rendering.as_value(found), indent=1, ensure_ascii=False))
    elif form == "markdown":
        click.echo(rendering.as_markdown(found), nl=False)
    elif form == "csv":
        click.echo(rendering.as_csv(found), nl=False)
    else:
        click.echo(rendering.as_text(found, everything=everything), nl=False)
    return 1 if tell_faults(found, faults) else 0


def tell_faults(found: BoardComparison, faults: tuple[str, ...]) -> bool:
    """Say on standard error which of the named faults there are; return whether there is one."""
    said = []
    if "regression" in faults and (worse := found.regressions):
        entry, first = worse[0]
        said.append(f"{len(worse)} metrics are worse, the first {first.metric} of {entry.new.id}.")
    if "vanished" in faults and found.vanished:
        said.append(f"{len(found.vanished)} entries vanished, the first {found.vanished[0].id}.")
    if "data" in faults and found.refused:
        said.append(f"{len(found.refused)} entries are of other data.")
    for sentence in said:
        click.echo(f"Failed: {sentence}", err=True)
    return bool(said)


def _check_metrics(found: BoardComparison, wanted: tuple[str, ...]) -> None:
    from fgbench.errors import ConfigurationError, did_you_mean
    from fgbench.report.view import known_names

    known = known_names([*found.old.entries, *found.new.entries])["metric"]
    for name in wanted:
        if name not in known:
            raise ConfigurationError(
                f"neither board has the metric {name!r}. {did_you_mean(name, known)}"
            )
