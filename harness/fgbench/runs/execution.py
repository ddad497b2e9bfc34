"""How a run is executed: what runs its stages, and what they may ask of language models."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fgbench.errors import ConfigurationError
from fgbench.llm.budget import Caps
from fgbench.plugins.references import PartReference

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Execution:
    """The executor, the caps, and the file of answers to replay instead of asking.

    Caps hold for everything that is asked in the name of `account`, earlier attempts included; by
    default a run has an account of its own.
    """

    executor: PartReference = field(default_factory=lambda: PartReference("local"))
    caps: Caps = field(default_factory=Caps)
    replay: Path | None = None
    account: str | None = None


def executor_reference(executor: str | None, jobs: int) -> PartReference:
    """Return the executor that is asked for by name or by a number of jobs.

    Raises `ConfigurationError` if both are given.
    """
    if executor is not None and jobs != 1:
        raise ConfigurationError(
            "jobs belong to the local executor: name it with them, as local:jobs=N."
        )
    return PartReference.parse(executor or f"local:jobs={jobs}")
