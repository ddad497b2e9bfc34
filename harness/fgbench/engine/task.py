"""What crosses a process: the task of one stage, and its outcome, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Status = Literal["finished", "cached", "failed"]


@dataclass(frozen=True)
class StageTask:
    """All that a worker needs to know of a stage.

    `parts` holds the identity of the part in each role, with all its parameters, local paths
    included; `inputs` the artifact key of each input role. `affinity` identifies what the stage
    loads and keeps loaded: see `fgbench.resident`.
    """

    key: str
    stage: str
    label: str
    parts: Mapping[str, Mapping[str, Any]]
    params: Mapping[str, Any]
    inputs: Mapping[str, str]
    affinity: str | None = None

    def to_json(self) -> str:
        """Return the task as a JSON text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> StageTask:
        """Read what `to_json` returned."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Outcome:
    """How a task ended.

    A task that is `finished` or `cached` has an artifact. One that `failed` has an `error`; then
    `fatal` marks an unusable store, where continuing is pointless, and `lost_input` is the key of
    an input artifact that turned out to be missing or corrupt.
    """

    status: Status
    digest: str | None = None
    value: Any = None
    seconds: float = 0.0
    error: str | None = None
    traceback: str | None = None
    fatal: bool = False
    lost_input: str | None = None

    def to_json(self) -> str:
        """Return the outcome as a JSON text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Outcome:
        """Read what `to_json` returned."""
        return cls(**json.loads(text))
