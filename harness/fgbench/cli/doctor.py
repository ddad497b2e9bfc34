"""`fgbench doctor`: is everything there that a run needs?"""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path

import click

from fgbench._version import __version__
from fgbench.cli.options import data_dir_option, plugin_option, store_option
from fgbench.plugins.registry import Registry

_PACKAGES = ("numpy", "scipy", "scikit-learn", "pydantic", "rich", "pluggy")


@click.command("doctor")
@data_dir_option
@store_option
@plugin_option
def doctor(data_dir: str | None, store: str | None, plugins: tuple[str, ...]) -> int:
    """Check the installation, every plugin and part, the store and the data folders.

    Ends with 1 when something is wrong.
    """
    from fgbench.cards import DataFolder
    from fgbench.errors import FgbenchError
    from fgbench.store import Store, default_store

    problems: list[str] = []
    optional: list[str] = []
    click.echo(f"fgbench {__version__}, Python {platform.python_version()} ({sys.executable})")
    click.echo("packages: " + ", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES))
    registry = Registry.load(plugins)
    problems += [f"plugin {failure.plugin}: {failure.reason}" for failure in registry.failures]
    offered = list(registry.registrations())
    for item in offered:
        try:
            registry.part_class(item.kind, item.name)
        except FgbenchError as error:
            # A part whose optional dependencies are not there is no problem, but worth a line.
            (problems if item.extra is None else optional).append(str(error))
    for line in optional:
        click.echo(f"not installed: {line}")
    click.echo(f"parts: {len(offered)} from {len({item.plugin for item in offered})} plugins")
    root = Path(store) if store else default_store()
    try:
        Store(root)
        click.echo(f"store: {root}")
    except FgbenchError as error:
        problems.append(str(error))
    folder = DataFolder.from_environment(data_dir)
    local = folder.data_dir
    named = f"{local}" if local else "not set (FGBENCH_DATA or --data-dir)"
    if local and not local.is_dir():
        problems.append(f"data folder {local}: there is no such folder.")
    click.echo(f"data: {named}; fetched files: {folder.cache_dir}")
    click.echo(f"cores: {os.cpu_count()}")
    for problem in problems:
        click.echo(f"Problem: {problem}", err=True)
    if not problems:
        click.echo("No problems found.")
    return 1 if problems else 0
