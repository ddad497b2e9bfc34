"""Find the plugins that installed distributions declare, without reading more than their names.

`importlib.metadata` finds them too; importing it costs half of `fgbench list`. Entry points are
lines of a text file in each distribution's metadata folder, and that is all that is read here
(https://packaging.python.org/specifications/entry-points/). Where the path has an archive, the
library is asked after all.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

_METADATA_FOLDERS = (".dist-info", ".egg-info")


class Plugin(NamedTuple):
    """An entry point: its name, "module" or "module:attribute", and the distribution's name."""

    name: str
    target: str
    distribution: str

    def load(self) -> Any:
        """Import what the entry point names."""
        from importlib import import_module

        module, _, attributes = self.target.partition(":")
        found = import_module(module.strip())
        for attribute in filter(None, attributes.strip().split(".")):
            found = getattr(found, attribute)
        return found


def installed_plugins(group: str) -> Iterator[Plugin]:
    """Yield the entry points of `group`; of distributions of one name, the first on the path."""
    if any(os.path.isfile(folder) for folder in sys.path):  # noqa: PTH113 - see above
        yield from _by_library(group)
        return
    seen: set[str] = set()
    for folder in sys.path:
        try:
            entries = sorted(os.scandir(folder or "."), key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            stem, suffix = os.path.splitext(entry.name)  # noqa: PTH122
            name = stem.partition("-")[0].replace("_", "-").lower()
            if suffix in _METADATA_FOLDERS and name not in seen:
                seen.add(name)
                for line in _section(os.path.join(entry.path, "entry_points.txt"), group):  # noqa: PTH118
                    plugin, _, target = line.partition("=")
                    yield Plugin(plugin.strip(), target.partition("[")[0].strip(), name)


def _section(path: str, group: str) -> Iterator[str]:
    """Yield the lines of one section of an INI file that may not be there."""
    try:
        with open(path, encoding="utf-8") as stream:  # noqa: PTH123
            inside = False
            for raw in stream:
                line = raw.strip()
                if line.startswith("["):
                    inside = line == f"[{group}]"
                elif inside and line and line[0] not in "#;":
                    yield line
    except (OSError, UnicodeDecodeError):
        return


def _by_library(group: str) -> Iterator[Plugin]:
    from importlib import metadata

    for entry in metadata.entry_points(group=group):
        name = entry.dist.name if entry.dist else entry.value
        target = entry.value.partition("[")[0].strip()
        yield Plugin(entry.name, target, name.replace("_", "-").lower())
