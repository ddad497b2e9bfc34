"""Executors: what an executor plugin implements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from fgbench.parts.base import Part

if TYPE_CHECKING:
    from concurrent.futures import Future


class WorkerSetup(NamedTuple):
    """What a worker process needs to know: the store's folder and the local plugins.

    `keep_residents` is set by an executor of one process: what a stage loaded may then stay for the
    next (`fgbench.resident`), and the executor calls `fgbench.release_resident` when it closes.
    """

    store: str
    plugins: tuple[str, ...]
    keep_residents: bool = False
    answers: Mapping[str, Any] | None = None
    """How parts ask language models, as JSON values: see `Answers.from_settings`."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, for executors that start workers by command."""
        return self._asdict() | {"plugins": list(self.plugins)}


class Executor(Part, ABC):
    """Runs stages somewhere. A stage is opaque: a JSON text in, a JSON text out."""

    kind = "executor"

    @abstractmethod
    def open(self, worker: WorkerSetup) -> None:
        """Start whatever runs the stages."""

    @abstractmethod
    def submit(self, stage: str) -> Future[str]:
        """Run `fgbench.run_stage(worker, stage)` somewhere and return its answer."""

    @abstractmethod
    def close(self, *, cancel: bool) -> None:
        """Stop; with `cancel`, at once, dropping what has not finished."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many stages can run at once."""
