"""Names to parts: plugins register names and targets, and a target is imported on first use."""

from __future__ import annotations

import importlib
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgbench.errors import ConfigurationError, PluginError, did_you_mean
from fgbench.plugins.loading import PluginFailure, PluginHost

if TYPE_CHECKING:
    from click import Command

    from fgbench.parts.base import Part
    from fgbench.plugins.references import PartReference

KINDS = {
    "dataset": "datasets",
    "classifier": "classifiers",
    "loss": "losses",
    "generator": "generators",
    "calibrator": "calibrators",
    "metric": "metrics",
    "executor": "executors",
}
"""Each kind of part, and its plural: the hook `fgbench_<plural>`, the key in a suite."""

_INTERFACES = {
    "dataset": "DatasetLoader",
    "classifier": "Classifier",
    "loss": "Loss",
    "generator": "Generator",
    "calibrator": "Calibrator",
    "metric": "Metric",
    "executor": "Executor",
}

COMMAND, LEADERBOARD = "command", "leaderboard"
"""What else plugins register."""

PLUGINS_VARIABLE = "FGBENCH_PLUGINS"


@dataclass(frozen=True)
class Registration:
    """One registered name: what it refers to, and which plugin registered it."""

    kind: str
    name: str
    target: str
    """What to import, "module:attribute"; of a leaderboard, its folder."""
    summary: str
    plugin: str
    extra: str | None = None
    code_digest: str | None = None
    """SHA-256 of a local plugin's file: its parts' results are only as stable as that file."""

    @property
    def is_built_in(self) -> bool:
        """Whether fgbench itself registers it."""
        return self.plugin == "builtin (fgbench)"


class Registry:
    """What plugins register: parts of each kind in `KINDS`, commands and leaderboards.

    A plugin that cannot be imported or raises while registering is left out and reported in
    `failures`. A name that two plugins register is reported there, and is an error when it is used.
    """

    def __init__(self) -> None:
        self.local_plugins: tuple[str, ...] = ()
        self._host = PluginHost()
        self._defaults: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
        self._claims: dict[str, dict[str, list[Registration]]] = {
            kind: {} for kind in (*KINDS, COMMAND, LEADERBOARD)
        }

    @classmethod
    def load(
        cls, plugins: Iterable[str] = (), *, reserved_commands: Collection[str] = ()
    ) -> Registry:
        """Load the installed plugins and those in the files `plugins` and FGBENCH_PLUGINS.

        Plugins cannot register the commands named in `reserved_commands`. Raises
        `ConfigurationError` for a local file that does not exist.
        """
        registry = cls()
        variable = os.environ.get(PLUGINS_VARIABLE, "")
        local = [*plugins, *(item for item in variable.split(os.pathsep) if item)]
        paths = list(dict.fromkeys(Path(item).expanduser().resolve() for item in local))
        for path in paths:
            if not path.is_file():
                raise ConfigurationError(f"plugin {path}: no such file.")
        registry.local_plugins = tuple(str(path) for path in paths)
        registry._host.load_installed()
        for path in paths:
            registry._host.load_file(path)
        registry._collect(reserved_commands)
        return registry

    @property
    def failures(self) -> list[PluginFailure]:
        """The plugins that were left out and the registrations that were refused, with reasons."""
        return self._host.failures

    def registrations(self, kind: str | None = None) -> Iterator[Registration]:
        """Yield the registrations of one kind, or all parts, by name.

        Names that several plugins claim are left out.
        """
        for name in KINDS if kind is None else (kind,):
            for _, claims in sorted(self._claims[name].items()):
                if len(claims) == 1:
                    yield claims[0]

    def names(self, kind: str) -> list[str]:
        """Return the registered names of one kind."""
        return sorted(self._claims[kind])

    def find(self, kind: str, name: str) -> Registration:
        """Return the registration of a name.

        Raises `ConfigurationError` for an unknown name, `PluginError` for one that several plugins
        claim.
        """
        claims = self._claims[kind].get(name)
        if claims is None:
            raise ConfigurationError(
                f"unknown {kind} {name!r}. {did_you_mean(name, self._claims[kind])}"
                + self._failure_note()
            )
        if len(claims) > 1:
            raise PluginError(_clash(claims))
        return claims[0]

    def part_class(self, kind: str, name: str) -> type[Part]:
        """Import and return the class of a part, checked against its interface."""
        from fgbench import parts

        registration = self.find(kind, name)
        part = self._import(registration)
        interface = getattr(parts, _INTERFACES[kind])
        if not (isinstance(part, type) and issubclass(part, interface)):
            raise PluginError(
                f"{_named(registration)}: {registration.target} is not a subclass of "
                f"fgbench.{interface.__name__}."
            )
        return part

    def command(self, name: str) -> Command:
        """Import and return a command of the command line."""
        import click

        registration = self.find(COMMAND, name)
        command = self._import(registration)
        if not isinstance(command, click.Command):
            raise PluginError(
                f"{_named(registration)}: {registration.target} is not a click command."
            )
        return command

    def create(self, kind: str, reference: PartReference) -> Any:
        """Return a new part with checked parameters."""
        part = self.part_class(kind, reference.name)
        return part.create(reference.parameters, name=reference.name)

    def defaults(self, kind: str) -> list[str]:
        """Return the parts of that kind in a suite that names none: see `fgbench_defaults`."""
        names = self.defaults_of(kind)
        if not names:
            raise ConfigurationError(
                f"there is no default {kind}: name one with --{kind}." + self._failure_note()
            )
        return names

    def defaults_of(self, kind: str) -> list[str]:
        """Return the default parts of a kind, like `defaults`; [] if there are none."""
        for plugin, names in self._defaults.get(kind, ()):  # the plugin loaded last comes first
            if self._host.is_loaded(plugin):
                return list(names)
        return []

    def notify(self, hook: str, **arguments: Any) -> None:
        """Call a lifecycle hook of every plugin; one that raises is reported and left out."""
        self._host.call(hook, **arguments)

    def _collect(self, reserved_commands: Collection[str]) -> None:
        """Call the registration hooks; of a plugin that raises in one, nothing is registered."""
        claims: list[Registration] = []
        for kind, plural in (*KINDS.items(), (COMMAND, "commands")):
            self._host.call(f"fgbench_{plural}", register=partial(self._register, claims, kind))
        self._host.call("fgbench_defaults", default=self._set_default)
        self._host.call("fgbench_leaderboards", register=partial(self._register_board, claims))
        for claim in reversed(claims):  # pluggy calls the plugin that was loaded last first
            if not self._host.is_loaded(claim.plugin):
                continue
            if claim.kind == COMMAND and claim.name in reserved_commands:
                reason = f"command {claim.name!r} is built into fgbench: rename the plugin's."
                self.failures.append(PluginFailure(claim.plugin, reason))
            else:
                claimed = self._claims[claim.kind].setdefault(claim.name, [])
                claimed.append(claim)
                if len(claimed) > 1:
                    self.failures.append(PluginFailure(claim.plugin, _clash(claimed)))

    def _set_default(self, kind: str, *names: str) -> None:
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is not a kind of part. {did_you_mean(kind, KINDS)}")
        self._defaults.setdefault(kind, []).append((self._host.current, names))

    def _register(
        self,
        claims: list[Registration],
        kind: str,
        name: str,
        target: str,
        summary: str = "",
        *,
        extra: str | None = None,
    ) -> None:
        if ":" not in target:
            raise ValueError(f"{kind} {name!r}: {target!r} is not 'module:attribute'")
        claims.append(self._claim(kind, name, target, summary, extra))

    def _register_board(
        self, claims: list[Registration], name: str, folder: str | Path, summary: str = ""
    ) -> None:
        if not Path(folder).is_absolute():
            raise ValueError(f"leaderboard {name!r}: {str(folder)!r} is not an absolute path")
        claims.append(self._claim(LEADERBOARD, name, str(folder), summary, None))

    def _claim(
        self, kind: str, name: str, target: str, summary: str, extra: str | None
    ) -> Registration:
        if not _is_name(name):
            raise ValueError(
                f"{kind} name {name!r}: a name consists of letters, digits, '.', '_' and '-'"
            )
        plugin = self._host.current
        code_digest = self._host.code_digests.get(plugin)
        return Registration(kind, name, target, summary, plugin, extra, code_digest)

    def _import(self, registration: Registration) -> Any:
        module, _, attributes = registration.target.partition(":")
        try:
            target: Any = importlib.import_module(module)
            for attribute in attributes.split("."):
                target = getattr(target, attribute)
        except ModuleNotFoundError as error:
            if registration.extra:
                raise PluginError(
                    f"{registration.kind} {registration.name!r} needs {error.name!r}, which is not "
                    f"installed: pip install '{registration.extra}'"
                ) from error
            raise PluginError(f"{_named(registration)} cannot be imported: {error}.") from error
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"{_named(registration)} cannot be imported from {registration.target}: "
                f"{type(error).__name__}: {error}"
            ) from error
        return target

    def _failure_note(self) -> str:
        if not self.failures:
            return ""
        plugins = ", ".join(dict.fromkeys(failure.plugin for failure in self.failures))
        return f" Plugins with errors: {plugins} (see `fgbench doctor`)."


def _is_name(name: str) -> bool:
    return bool(name) and name[0] != "-" and all(char.isalnum() or char in "._-" for char in name)


def _named(registration: Registration) -> str:
    return f"{registration.kind} {registration.name!r} of plugin {registration.plugin}"


def _clash(claims: list[Registration]) -> str:
    plugins = " and ".join(claim.plugin for claim in claims)
    return (
        f"{claims[0].kind} {claims[0].name!r} is registered by {plugins}: uninstall or rename one "
        "of them."
    )
