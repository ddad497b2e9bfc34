"""Messages between the scheduler and workers: the task of a stage and its outcome, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["finished", "cached", "failed"]


@dataclass(frozen=True)
class StageTask:
    """Everything that a worker needs to run a stage.

    `parts` maps roles to the identity of a part, with all parameters including local paths.
    `inputs` maps input roles to artifact keys. `affinity` identifies the model that the stage keeps
    loaded: see `fgbench.resident`.
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
        return json.dumps(vars(self))

    @classmethod
    def from_json(cls, text: str) -> StageTask:
        """Create a task from the text of `to_json`."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Outcome:
    """The outcome of a task.

    A `finished` or `cached` task has an artifact. A `failed` task has an `error`. Its `fatal` is
    true if the store is unusable and the run cannot continue; its `lost_input` is the key of an
    input artifact that is missing or corrupt, if that is the reason.
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
        return json.dumps(vars(self))

    @classmethod
    def from_json(cls, text: str) -> Outcome:
        """Create an outcome from the text of `to_json`."""
        return cls(**json.loads(text))
