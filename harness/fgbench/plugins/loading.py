"""Loading plugins and calling their hooks; a plugin that raises is reported and left out."""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pluggy

from fgbench.plugins import hookspecs

ENTRY_POINT_GROUP = "fgbench"
_CODE = "__fgbench_code__"

_Isolation = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class PluginFailure:
    """A plugin that was left out, or a registration that was refused, and why."""

    plugin: str
    reason: str


class PluginHost:
    """The loaded plugins, called through pluggy, each isolated from the others.

    A plugin that raises while it is imported or in a hook is unregistered and reported in
    `failures`; the other plugins of the same call are still called. Order (`tryfirst`, `trylast`),
    wrappers and optional hooks are pluggy's.
    """

    def __init__(self) -> None:
        self.failures: list[PluginFailure] = []
        self.code_digests: dict[str, str] = {}
        """By local plugin, the SHA-256 of its file."""
        self.current = ""
        """The plugin that is being called."""
        self._manager = pluggy.PluginManager("fgbench")
        self._manager.add_hookspecs(hookspecs)

    def load_installed(self) -> None:
        """Load the plugins that installed distributions declare as entry points."""
        # Its import takes some 20 ms, which the help of a command can do without.
        from importlib.metadata import entry_points

        for entry_point in entry_points(group=ENTRY_POINT_GROUP):
            distribution = entry_point.dist.name if entry_point.dist else entry_point.value
            self._load(f"{entry_point.name} ({distribution})", entry_point.load)

    def load_file(self, path: Path) -> None:
        """Load a local plugin, a Python file."""
        from fgbench.digests import digest_bytes

        name = f"{path.name} ({path})"

        def load() -> Any:
            code = path.read_bytes()
            self.code_digests[name] = digest_bytes(code)
            return _import_file(path, code)

        self._load(name, load)

    def call(self, hook: str, **arguments: Any) -> None:
        """Call a hook of all plugins."""
        getattr(self._manager.hook, hook)(**arguments)

    def is_loaded(self, plugin: str) -> bool:
        """Return whether a plugin was loaded and has not failed since."""
        return self._manager.has_plugin(plugin)

    def _load(self, name: str, load: Callable[[], Any]) -> None:
        with self._isolated(name):
            hooks = _Hooks(name)
            plugin = load()
            for attribute in dir(plugin):
                options = self._manager.parse_hookimpl_opts(plugin, attribute)
                if options is not None:
                    is_wrapper = options.get("wrapper") or options.get("hookwrapper")
                    guard = _guarded_wrapper if is_wrapper else _guarded
                    isolated = partial(self._isolated, name, f"{attribute} raised ")
                    setattr(hooks, attribute, guard(getattr(plugin, attribute), isolated))
            self._manager.register(hooks, name=name)
            self._manager.check_pending()

    @contextmanager
    def _isolated(self, plugin: str, doing: str = "") -> Iterator[None]:
        caller, self.current = self.current, plugin
        try:
            yield
        except (Exception, SystemExit) as error:  # noqa: BLE001 - reported, and it is left out
            reason = f"{doing}{type(error).__name__}: {error}"
            self.failures.append(PluginFailure(plugin, reason))
            if self.is_loaded(plugin):
                self._manager.unregister(name=plugin)
        finally:
            self.current = caller


class _Hooks:
    """The hooks of one plugin as pluggy sees them: each runs isolated."""

    def __init__(self, plugin: str) -> None:
        self._plugin = plugin

    def __repr__(self) -> str:
        return self._plugin


def _guarded(hook: Callable[..., Any], isolated: _Isolation) -> Callable[..., None]:
    @functools.wraps(hook)
    def call(*arguments: Any) -> None:
        with isolated():
            hook(*arguments)

    return call


def _guarded_wrapper(
    hook: Callable[..., Generator[None, Any, Any]], isolated: _Isolation
) -> Callable[..., Generator[None, Any, Any]]:
    @functools.wraps(hook)
    def call(*arguments: Any) -> Generator[None, Any, Any]:
        wrapper = hook(*arguments)
        with isolated():
            next(wrapper)
        result = yield
        with isolated(), suppress(StopIteration):
            wrapper.send(result)
        return result

    return call


def _import_file(path: Path, code: bytes) -> Any:
    """Run a file's code as a module named after its stem, so that "stem:Class" resolves.

    A module that was loaded from this very code is reused. One from an older version of the file is
    replaced: its results would be stored under the new version's digest.
    """
    name = path.stem
    present = sys.modules.get(name)
    if present is not None:
        if getattr(present, "__file__", None) != str(path):
            raise ImportError(f"a module named {name!r} is already loaded: rename the file")
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
