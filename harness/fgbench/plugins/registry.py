"""Names to parts: plugins are discovered one at a time, parts are imported when they are used."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from fgbench.errors import ConfigurationError, PluginError, did_you_mean
from fgbench.plugins import hookspecs
from fgbench.plugins.discovery import installed_plugins

if TYPE_CHECKING:
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

ENTRY_POINT_GROUP = "fgbench"
PLUGINS_VARIABLE = "FGBENCH_PLUGINS"
_CODE = "__fgbench_code__"


@dataclass(frozen=True)
class Registration:
    """One part on offer: where its class is, and which plugin offers it."""

    kind: str
    name: str
    target: str
    summary: str
    plugin: str
    extra: str | None = None
    code_digest: str | None = None
    """SHA-256 of a local plugin's file: its parts' results are only as stable as that file."""


@dataclass(frozen=True)
class PluginFailure:
    """A plugin that was left out, or a claim that was refused, and why."""

    plugin: str
    reason: str


class Registry:
    """All parts that the installed and the local plugins offer.

    `load` builds one. A plugin that fails to import or to register is left out and stands in
    `failures`; a name that two plugins claim is refused when it is asked for, naming both.
    """

    def __init__(self) -> None:
        self.failures: list[PluginFailure] = []
        self.local_plugins: tuple[str, ...] = ()
        self._parts: dict[str, dict[str, list[Registration]]] = {kind: {} for kind in KINDS}
        self._manager = pluggy.PluginManager("fgbench")
        self._manager.add_hookspecs(hookspecs)
        self._code_digests: dict[str, str] = {}

    @classmethod
    def load(cls, plugins: Iterable[str] = ()) -> Registry:
        """Discover the installed plugins and those in the files `plugins` and FGBENCH_PLUGINS.

        A local file that does not exist is a `ConfigurationError`: it was asked for by name.
        """
        registry = cls()
        variable = os.environ.get(PLUGINS_VARIABLE, "")
        local = [*plugins, *(item for item in variable.split(os.pathsep) if item)]
        paths = list(dict.fromkeys(Path(item).expanduser().resolve() for item in local))
        for path in paths:
            if not path.is_file():
                raise ConfigurationError(f"plugin {path}: there is no such file.")
        registry.local_plugins = tuple(str(path) for path in paths)
        for plugin in installed_plugins(ENTRY_POINT_GROUP):
            registry._add_plugin(f"{plugin.name} ({plugin.distribution})", plugin.load)
        for path in paths:
            registry._add_local(path)
        return registry

    def registrations(self, kind: str | None = None) -> Iterator[Registration]:
        """Yield what is on offer, by kind and name; clashing claims are left out."""
        for each in KINDS if kind is None else (kind,):
            for _, claims in sorted(self._parts[each].items()):
                if len(claims) == 1:
                    yield claims[0]

    def names(self, kind: str) -> list[str]:
        """Return the names of the parts of one kind."""
        return sorted(self._parts[kind])

    def find(self, kind: str, name: str) -> Registration:
        """Return the registration of a part; an unknown or clashing name is an error."""
        claims = self._parts[kind].get(name)
        if claims is None:
            raise ConfigurationError(
                f"unknown {kind} {name!r}. {did_you_mean(name, self._parts[kind])}"
                + self._failure_note()
            )
        if len(claims) > 1:
            raise PluginError(_clash(kind, name, claims))
        return claims[0]

    def part_class(self, kind: str, name: str) -> type[Part]:
        """Import and return the class of a part, checked against its interface."""
        from fgbench import parts

        registration = self.find(kind, name)
        where = f"{kind} {name!r} of plugin {registration.plugin}"
        module_name, _, attribute = registration.target.partition(":")
        try:
            part: Any = importlib.import_module(module_name)
            for step in attribute.split("."):
                part = getattr(part, step)
        except ModuleNotFoundError as error:
            if registration.extra:
                raise PluginError(
                    f"{kind} {name!r} needs {error.name!r}, which is not installed: "
                    f"pip install '{registration.extra}'"
                ) from error
            raise PluginError(f"{where} cannot be imported: {error}.") from error
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"{where} cannot be imported from {registration.target}: "
                f"{type(error).__name__}: {error}"
            ) from error
        interface = getattr(parts, _INTERFACES[kind])
        if not (isinstance(part, type) and issubclass(part, interface)):
            raise PluginError(
                f"{where}: {registration.target} is not a subclass of fgbench.{interface.__name__}."
            )
        return part

    def create(self, kind: str, reference: PartReference) -> Any:
        """Return a new part, its parameters checked."""
        part = self.part_class(kind, reference.name)
        return part.create(reference.parameters, name=reference.name)

    def notify(self, hook: str, **arguments: Any) -> None:
        """Call a lifecycle hook on every plugin; one that raises is noted and unregistered."""
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            plugin = implementation.plugin_name
            named = {name: arguments[name] for name in implementation.argnames}
            try:
                implementation.function(**named)
            except Exception as error:  # noqa: BLE001 - a tracker must not end the run it watches
                self.failures.append(
                    PluginFailure(plugin, f"{hook} raised {type(error).__name__}: {error}")
                )
                self._manager.unregister(name=plugin)

    def _add_plugin(self, name: str, load: Any) -> None:
        try:
            module = load()
            self._manager.register(module, name=name)
            claims = self._collect(name)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - reported, and it is left out
            self.failures.append(PluginFailure(name, f"{type(error).__name__}: {error}"))
            if self._manager.has_plugin(name):
                self._manager.unregister(name=name)
            return
        for claim in claims:
            others = self._parts[claim.kind].setdefault(claim.name, [])
            others.append(claim)
            if len(others) > 1:
                self.failures.append(PluginFailure(name, _clash(claim.kind, claim.name, others)))

    def _collect(self, plugin: str) -> list[Registration]:
        claims: list[Registration] = []
        for kind, plural in KINDS.items():

            def register(
                name: str,
                target: str,
                summary: str = "",
                *,
                extra: str | None = None,
                kind: str = kind,
            ) -> None:
                if not _is_name(name):
                    raise ValueError(
                        f"{kind} name {name!r}: a name has letters, digits, '.', '_' and '-' only"
                    )
                if ":" not in target:
                    raise ValueError(f"{kind} {name!r}: {target!r} is not 'module:attribute'")
                claims.append(
                    Registration(
                        kind, name, target, summary, plugin, extra, self._code_digests.get(plugin)
                    )
                )

            for implementation in getattr(self._manager.hook, f"fgbench_{plural}").get_hookimpls():
                if implementation.plugin_name == plugin:
                    implementation.function(register)
        return claims

    def _add_local(self, path: Path) -> None:
        from fgbench.digests import digest_bytes

        name = f"{path.name} ({path})"

        def load() -> Any:
            code = path.read_bytes()
            self._code_digests[name] = digest_bytes(code)
            return _import_file(path, code)

        self._add_plugin(name, load)

    def _failure_note(self) -> str:
        if not self.failures:
            return ""
        plugins = ", ".join(dict.fromkeys(failure.plugin for failure in self.failures))
        return f" Left out because of errors: {plugins} (see `fgbench doctor`)."


def _import_file(path: Path, code: bytes) -> Any:
    """Run a file's code as a module under its own stem, so that "stem:Class" finds what it has.

    A module that was made of this very code is taken as it is; one made of an older version is
    replaced, as its results would be stored under the new version's digest.
    """
    name = path.stem
    present = sys.modules.get(name)
    if present is not None:
        if getattr(present, "__file__", None) != str(path):
            raise ImportError(f"a module called {name!r} is loaded already: rename the file")
        if getattr(present, _CODE, None) == code:
            return present
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    setattr(module, _CODE, code)
    sys.modules[name] = module
    try:
        exec(compile(code, str(path), "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _is_name(name: str) -> bool:
    return bool(name) and all(char.isalnum() or char in "._-" for char in name)


def _clash(kind: str, name: str, claims: list[Registration]) -> str:
    plugins = " and ".join(claim.plugin for claim in claims)
    return f"{kind} {name!r} is claimed by {plugins}: uninstall or rename one of them."
