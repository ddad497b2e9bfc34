"""Run one stage in a worker process: JSON text in, JSON text out, the artifact in the store."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgbench.engine.task import Outcome, StageTask
from fgbench.engine.warm_models import PROCESS, release_resident
from fgbench.errors import CorruptArtifactError, FgbenchError, PluginError, StoreError
from fgbench.llm.asking import Answers
from fgbench.plugins.references import PartReference
from fgbench.plugins.registry import Registry
from fgbench.stages import STAGES, StageContext
from fgbench.store import Artifact, Store, open_store

if TYPE_CHECKING:
    from fgbench.parts.executor import WorkerSetup

_THREADED_LIBRARIES = {"numpy", "scipy.linalg", "scipy.special", "sklearn.utils", "torch"}


def run_stage(setup: WorkerSetup, task: str) -> str:
    """Run the stage that the JSON text `task` describes and return its outcome as a JSON text.

    Failures are returned as outcomes; only `KeyboardInterrupt` is raised.
    """
    outcome = _caught(_run, setup, StageTask.from_json(task))
    if outcome.status == "failed" or not setup.keep_residents:
        # Here the parts of the stage, which may refer to the model, no longer exist.
        release = _caught(_release)
        outcome = outcome if outcome.status == "failed" or release is _RELEASED else release
    return outcome.to_json()


_RELEASED = Outcome("finished")


def _release() -> Outcome:
    release_resident()
    return _RELEASED


def _caught(function: Callable[..., Outcome], *arguments: Any) -> Outcome:
    """Return the outcome of a function, or a failed outcome for its exception."""
    try:
        return function(*arguments)
    except CorruptArtifactError as error:
        return _failure(str(error), lost_input=error.key)
    except FgbenchError as error:
        return _failure(str(error), fatal=isinstance(error, StoreError))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - any failure is an outcome, even exit()
        return _failure(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)


def _run(setup: WorkerSetup, task: StageTask) -> Outcome:
    store = open_store(Path(setup.store))
    with store.lock(task.key):
        existing = store.find(task.key)
        if existing is not None:
            return _success("cached", existing)
        with store.scratch() as scratch:
            stage = STAGES[task.stage]
            ctx = StageContext(
                params=stage.Params.model_validate(task.params),
                parts=_parts(setup.plugins, task),
                artifacts={role: _input(store, role, key) for role, key in task.inputs.items()},
                scratch=scratch,
            )
            PROCESS.enter(task.affinity)
            started = time.perf_counter()
            with _one_thread(), closing(Answers.from_settings(setup.answers or {})) as answers:
                for part in ctx.parts.values():
                    part.answers = answers
                product = stage.run(ctx)
            seconds = time.perf_counter() - started
            artifact = store.put(task.key, product, stage=task.stage, seconds=seconds)
    return _success("finished", artifact)


def _parts(plugins: tuple[str, ...], task: StageTask) -> dict[str, Any]:
    """Create the parts of a stage.

    Raises `PluginError` for a local plugin that differs from the one that the plan was made with.
    """
    parts = {}
    for role, identity in task.parts.items():
        kind = STAGES[task.stage].kind_of(role)
        name, code = identity["name"], identity.get("code")
        registry = _registry(plugins)
        if registry.find(kind, name).code_digest != code:
            _registry.cache_clear()  # this process may have loaded another version before
            registry = _registry(plugins)
            if registry.find(kind, name).code_digest != code:
                raise PluginError(
                    f"{kind} {name!r}: its plugin file changed during the run; rerun to use the "
                    "new version."
                )
        parts[role] = registry.create(kind, PartReference(name, identity["parameters"]))
    return parts


def _input(store: Store, role: str, key: str) -> Artifact:
    artifact = store.find(key)
    if artifact is None:
        raise CorruptArtifactError(
            f"input artifact {role!r} ({key[:12]}) is missing or corrupt; rerun to rebuild it.", key
        )
    return artifact


def _success(status: Any, artifact: Artifact) -> Outcome:
    return Outcome(status, artifact.digest, artifact.value, artifact.seconds)


def _failure(error: str, *, fatal: bool = False, lost_input: str | None = None) -> Outcome:
    return Outcome(
        "failed",
        error=error,
        traceback=traceback.format_exc(),
        fatal=fatal,
        lost_input=lost_input,
    )


def _one_thread() -> Any:
    """Limit BLAS to one thread, so that sums do not depend on the number of workers."""
    # Searching for thread pools costs a millisecond: repeat it only after a new library is loaded.
    return _thread_pools(frozenset(_THREADED_LIBRARIES & sys.modules.keys())).limit(limits=1)


@lru_cache(maxsize=8)
def _thread_pools(loaded: frozenset[str]) -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@lru_cache(maxsize=4)
def _registry(plugins: tuple[str, ...]) -> Registry:
    return Registry.load(plugins)
