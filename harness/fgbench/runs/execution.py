"""How a run is executed: what runs its stages, and what they may ask of language models."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fgbench.errors import ConfigurationError
from fgbench.llm.budget import Caps
from fgbench.plugins.references import PartReference

if TYPE_CHECKING:
    from pathlib import Path

    from fgbench.plugins.registry import Registry


@dataclass(frozen=True)
class Execution:
    """The executor, the caps, and the file of answers to replay instead of asking.

    `executor` is a reference; by default the default executor runs `jobs` processes. Caps hold for
    everything that is asked in the name of `account`, earlier attempts included; by default a run
    has an account of its own. Raises `ConfigurationError` if both `executor` and `jobs` are given.
    """

    executor: str | None = None
    jobs: int = 1
    caps: Caps = field(default_factory=Caps)
    replay: Path | None = None
    account: str | None = None

    def __post_init__(self) -> None:
        if self.executor is not None and self.jobs != 1:
            raise ConfigurationError(
                "jobs belong to the default executor: name another one with its own parameters, as "
                "NAME:key=value."
            )

    def create_executor(self, registry: Registry) -> Any:
        """Return the executor, not yet open."""
        if self.executor is not None:
            reference = PartReference.parse(self.executor)
        else:
            reference = PartReference(registry.defaults("executor")[0], {"jobs": self.jobs})
        return registry.create("executor", reference)
