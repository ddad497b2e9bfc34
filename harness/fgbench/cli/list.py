"""`fgbench list`: what is on offer. It imports no part, so it answers at once."""

from __future__ import annotations

import os
import sys

import click

from fgbench.cli.options import load_registry, plugin_option
from fgbench.plugins.registry import KINDS


@click.command("list")
@click.argument("kind", required=False, type=click.Choice([*KINDS.values(), *KINDS], False))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@plugin_option
def list_parts(kind: str | None, as_json: bool, plugins: tuple[str, ...]) -> None:
    """List data sets, classifiers, losses, generators, calibrators, metrics and executors.

    KIND is one of these words: only its parts are listed.
    """
    registry = load_registry(plugins)
    singular = {plural: single for single, plural in KINDS.items()} | {one: one for one in KINDS}
    chosen = [singular[kind]] if kind else list(KINDS)
    if as_json:
        import json

        parts = [
            {"kind": item.kind, "name": item.name, "summary": item.summary, "plugin": item.plugin}
            for each in chosen
            for item in registry.registrations(each)
        ]
        click.echo(json.dumps(parts, indent=2, ensure_ascii=False))
        return
    width = _terminal_width()
    for each in chosen:
        click.secho(KINDS[each], bold=True)
        for item in registry.registrations(each):
            origin = "" if item.plugin.startswith("builtin ") else f" [{item.plugin}]"
            line = f"  {item.name:<22} {item.summary}{origin}"
            click.echo(line if len(line) <= width else line[: width - 1] + "…")


def _terminal_width() -> int:
    """Return the terminal's width in columns, 80 if there is none.

    `shutil` knows it too, and brings archive formats along that cost a tenth of the command.
    """
    if (columns := os.environ.get("COLUMNS", "")).isdigit() and int(columns) > 0:
        return int(columns)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError):
        return 80
