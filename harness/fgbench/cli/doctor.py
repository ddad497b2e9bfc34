"""`fgbench doctor`: check what a run needs."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path

import click

from fgbench._version import __version__
from fgbench.cli.commands import COMMANDS
from fgbench.cli.options import data_dir_option, plugin_option, store_option
from fgbench.plugins.registry import Registry

_PACKAGES = ("numpy", "scipy", "scikit-learn", "pydantic", "rich", "pluggy")


@click.command("doctor")
@data_dir_option
@store_option
@plugin_option
def doctor(data_dir: str | None, store: str | None, plugins: tuple[str, ...]) -> int:
    """Check the installation, every plugin and part, the store and the data folders.

    Exits with 1 if there is a problem.
    """
    from fgbench.cards import DataFolder
    from fgbench.errors import FgbenchError
    from fgbench.leaderboard.bundled import bundled_boards
    from fgbench.store import Store, default_store

    problems: list[str] = []
    optional: list[str] = []
    click.echo(f"fgbench {__version__}, Python {platform.python_version()} ({sys.executable})")
    click.echo("packages: " + ", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES))
    registry = Registry.load(plugins, reserved_commands=COMMANDS)
    problems += [f"plugin {failure.plugin}: {failure.reason}" for failure in registry.failures]
    parts, commands = list(registry.registrations()), list(registry.registrations("command"))
    for item in [*parts, *commands]:
        try:
            if item.kind == "command":
                registry.command(item.name)
            else:
                registry.part_class(item.kind, item.name)
        except FgbenchError as error:
            # Optional dependencies may be missing; that is worth a line, but not a problem.
            (problems if item.extra is None else optional).append(str(error))
    for name, file in bundled_boards(registry).items():
        if not file.is_file():
            problems.append(f"leaderboard {name!r}: {file}: no such file.")
    for line in optional:
        click.echo(f"not installed: {line}")
    click.echo(f"parts: {len(parts)} from {len({item.plugin for item in parts})} plugins")
    root = Path(store) if store else default_store()
    try:
        Store(root)
        click.echo(f"store: {root}")
    except FgbenchError as error:
        problems.append(str(error))
    folder = DataFolder.from_environment(data_dir)
    local = folder.data_dir
    data_text = f"{local}" if local else "not set (FGBENCH_DATA or --data-dir)"
    if local and not local.is_dir():
        problems.append(f"data folder {local}: no such folder.")
    click.echo(f"data: {data_text}; downloaded files: {folder.cache_dir}")
    click.echo(f"cores: {os.cpu_count()}")
    for problem in problems:
        click.echo(f"Problem: {problem}", err=True)
    if not problems:
        click.echo("No problems found.")
    return 1 if problems else 0
