"""Run one stage in whatever process: a JSON text in, a JSON text out, the artefact in the store."""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgbench.engine.residents import PROCESS, release_resident
from fgbench.errors import DamagedArtifactError, FgbenchError, PluginError, StoreError
from fgbench.llm.asking import Answers
from fgbench.loop.stages import STAGES, StageInputs
from fgbench.plugins.references import PartReference
from fgbench.plugins.registry import Registry
from fgbench.store import Artifact, Store

if TYPE_CHECKING:
    from fgbench.parts.executor import WorkerSetup

_KIND_OF = {"relabeler": "generator"}
_LIBRARIES = {"numpy", "scipy.linalg", "scipy.special", "sklearn.utils", "torch"}


def run_stage(setup: WorkerSetup, text: str) -> str:
    """Run the stage that `text` describes and return its outcome.

    The outcome is `{"status": "finished" | "cached", "digest", "value", "seconds"}`, or
    `{"status": "failed", "error", "traceback", "fatal"}`; `fatal` says that the store itself cannot
    be written, so that going on is no use.
    """
    task = json.loads(text)
    outcome = _caught(_run, setup, task)
    failed = outcome["status"] == "failed"
    if failed or not setup.keep_residents:
        # Only now that the parts are gone, and with them what they refer to.
        unreleased = _caught(release_resident)
        outcome = outcome if failed else unreleased or outcome
    return json.dumps(outcome)


def _caught(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function returns, or the outcome that says how it failed."""
    try:
        return function(*arguments)
    except FgbenchError as error:
        fatal = isinstance(error, StoreError) and not isinstance(error, DamagedArtifactError)
        return _failure(str(error), fatal)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a failure is an outcome; so is exit()
        message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return _failure(message, fatal=False)


def _run(setup: WorkerSetup, task: Mapping[str, Any]) -> dict[str, Any]:
    store = _store(setup.store)
    with store.lock(task["key"]):
        present = store.get(task["key"])
        if present is not None:
            return _outcome("cached", present)
        with store.scratch() as scratch:
            inputs = StageInputs(
                parts=_parts(setup.plugins, task),
                parameters=task["parameters"],
                artifacts={role: _input(store, role, key) for role, key in task["inputs"].items()},
                scratch=scratch,
            )
            PROCESS.enter(task["occupant"])
            started = time.perf_counter()
            with _one_thread(), closing(Answers.from_settings(setup.answers or {})) as answers:
                for part in inputs.parts.values():
                    part.answers = answers
                product = STAGES[task["stage"]](inputs)
            seconds = time.perf_counter() - started
            artifact = store.put(task["key"], product, stage=task["stage"], seconds=seconds)
    return _outcome("finished", artifact)


def _parts(plugins: tuple[str, ...], task: Mapping[str, Any]) -> dict[str, Any]:
    """Create the parts of a stage; a part's role is its kind, but for metrics and relabelers.

    Raises `PluginError` for a local plugin that is not the one that the plan was made with.
    """
    parts = {}
    for role, identity in task["parts"].items():
        kind = "metric" if task["stage"] == "evaluate" else _KIND_OF.get(role, role)
        name, code = identity["name"], identity.get("code")
        registry = _registry(plugins)
        if registry.find(kind, name).code_digest != code:
            _registry.cache_clear()  # this process may have served another version before
            registry = _registry(plugins)
            if registry.find(kind, name).code_digest != code:
                raise PluginError(
                    f"{kind} {name!r}: the file of its plugin was changed while the run was going "
                    "on: run the same command again."
                )
        parts[role] = registry.create(kind, PartReference(name, identity["parameters"]))
    return parts


def _input(store: Store, role: str, key: str) -> Artifact:
    artifact = store.get(key)
    if artifact is None:
        raise DamagedArtifactError(
            f"the stored input {role!r} ({key[:12]}) is missing or damaged: run the same command "
            "again to make it anew."
        )
    return artifact


def _outcome(status: str, artifact: Artifact) -> dict[str, Any]:
    return {
        "status": status,
        "digest": artifact.digest,
        "value": artifact.value,
        "seconds": artifact.seconds,
    }


def _failure(message: str, fatal: bool) -> dict[str, Any]:
    return {
        "status": "failed",
        "error": message,
        "traceback": traceback.format_exc(),
        "fatal": fatal,
    }


def _one_thread() -> Any:
    """Keep BLAS to one thread, so that sums do not depend on how many workers there are."""
    # Looking for thread pools costs a millisecond: look again only after a library came with one.
    return _thread_pools(frozenset(_LIBRARIES & sys.modules.keys())).limit(limits=1)


@lru_cache(maxsize=8)
def _thread_pools(loaded: frozenset[str]) -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@lru_cache(maxsize=4)
def _store(root: str) -> Store:
    return Store(Path(root))


@lru_cache(maxsize=4)
def _registry(plugins: tuple[str, ...]) -> Registry:
    return Registry.load(plugins)
