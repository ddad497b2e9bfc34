"""Interface of executors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from fgbench.parts.base import Part

if TYPE_CHECKING:
    from concurrent.futures import Future


class WorkerSetup(NamedTuple):
    """Settings of a worker process: the folder of the store and the local plugins.

    An executor that runs all stages in one process sets `keep_residents`: a model loaded by a stage
    then stays loaded for the next (`fgbench.resident`), and the executor must call
    `fgbench.release_resident` when it closes.
    """

    store: str
    plugins: tuple[str, ...]
    keep_residents: bool = False
    answers: Mapping[str, Any] | None = None
    """Settings for the use of language models, as JSON values: see `Answers.from_settings`."""


class Executor(Part, ABC):
    """Runs stages. A stage is opaque to it: JSON text in, JSON text out."""

    kind = "executor"

    @abstractmethod
    def open(self, worker: WorkerSetup) -> None:
        """Start the workers."""

    @abstractmethod
    def submit(self, stage: str) -> Future[str]:
        """Submit `fgbench.run_stage(worker, stage)` and return a future of its result."""

    @abstractmethod
    def close(self, *, cancel: bool) -> None:
        """Stop the workers; with `cancel`, stop at once and discard unfinished stages."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """Number of stages that can run at the same time."""
