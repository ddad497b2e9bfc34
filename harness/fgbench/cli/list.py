"""`fgbench list`: the registered parts and leaderboards. It imports no part, so it is quick."""

from __future__ import annotations

import shutil

import click

from fgbench.cli.console import echo_heading, json_text
from fgbench.cli.options import load_registry, plugin_option
from fgbench.plugins.registry import KINDS, LEADERBOARD

_PLURALS = {**KINDS, LEADERBOARD: "leaderboards"}


@click.command("list")
@click.argument("kind", required=False, type=click.Choice([*_PLURALS.values(), *_PLURALS], False))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@plugin_option
def list_parts(kind: str | None, as_json: bool, plugins: tuple[str, ...]) -> None:
    """List data sets, classifiers and all other parts, and the leaderboards known by name.

    An asterisk marks the parts of a suite that names none of their kind. KIND limits the list to
    one kind, such as "datasets".
    """
    registry = load_registry(plugins)
    chosen = [one for one, plural in _PLURALS.items() if kind in (None, one, plural)]
    if as_json:
        parts = [
            {"kind": item.kind, "name": item.name, "summary": item.summary, "plugin": item.plugin}
            for chosen_kind in chosen
            for item in registry.registrations(chosen_kind)
        ]
        click.echo(json_text(parts, indent=2))
        return
    width = shutil.get_terminal_size().columns
    for chosen_kind in chosen:
        echo_heading(_PLURALS[chosen_kind])
        defaults = registry.defaults_of(chosen_kind)
        for item in registry.registrations(chosen_kind):
            origin = "" if item.is_built_in else f" [{item.plugin}]"
            name = f"{item.name} *" if item.name in defaults else item.name
            line = f"  {name:<22} {item.summary}{origin}"
            click.echo(line if len(line) <= width else line[: width - 1] + "…")
