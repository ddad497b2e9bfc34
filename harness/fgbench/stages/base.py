"""What a stage of the loop is: one declaration that the planner, the engine and reports share.

A stage is a pure function from parts, typed parameters and input artifacts to one product. It sees
only what its `StageContext` holds, and all of that enters its key. Raise a stage's `version` when
its products change for equal inputs.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from fgbench.data import Dataset, Predictions
from fgbench.samples import Sample, load_samples
from fgbench.stages.dataset import DATASET_ROLE, read_stored_dataset

if TYPE_CHECKING:
    from pathlib import Path

    from fgbench.store import Artifact, Product
    from fgbench.usage import Usage


SAMPLES_FILE = "samples.jsonl"
"""The file of a `synthesise` artifact."""


class Params(BaseModel):
    """Base of a stage's parameters; their JSON form is part of the stage key.

    A parameter with a default is younger than the first stored stages: where it has its default,
    it is left out of the key.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Resources:
    """What a stage takes while it runs.

    `whole_host`: at most one such stage runs at a time, for it takes all cores or a GPU's memory.
    """

    whole_host: bool = False


@dataclass(frozen=True)
class Cost:
    """About what a stage will ask of a language model, or of any other generator.

    `role` names the part that asks. A generating stage asks in up to `rounds` rounds, none larger
    than the first, which `requests` and `usage` describe. `at_most` marks an upper bound: the
    inputs that decide the number of requests are not stored yet.
    """

    role: str
    usage: Usage
    requests: int = 0
    rounds: int = 1
    at_most: bool = False


@dataclass(frozen=True)
class PlanContext:
    """What a stage may look at to estimate its cost, before any work."""

    params: Any
    dataset: Dataset
    part: Callable[[str], Any]
    """Create the part of a role; None for a role that the node leaves empty."""
    stored: Mapping[str, Artifact]
    """The stored input artifacts by role; those that are not stored yet are missing."""


class PartTraits(Protocol):
    """What the planner knows of a part."""

    @property
    def exclusive(self) -> bool:
        """Whether the part takes the whole host while it works."""


class Stage(ABC):
    """One stage: subclass it, set the class attributes, implement `run`.

    `roles` maps each role to the kind of part that fills it; parts in other roles are of the kind
    `other_roles`. `inputs` names the roles of input artifacts that the stage may read, as patterns;
    "dataset" is the graph's source.
    """

    name: ClassVar[str]
    version: ClassVar[str] = "1"
    roles: ClassVar[Mapping[str, str]] = {}
    other_roles: ClassVar[str | None] = None
    inputs: ClassVar[tuple[str, ...]] = ()
    Params: ClassVar[type[Params]] = Params

    @abstractmethod
    def run(self, ctx: StageContext) -> Product:
        """Return the product of the parts, parameters and inputs in `ctx`."""

    def check_roles(self, parts: Iterable[str], inputs: Iterable[str]) -> None:
        """Raise `TypeError` for roles of parts or inputs that the stage does not declare."""
        for role in parts:
            self.kind_of(role)
        for role in inputs:
            if not any(fnmatchcase(role, pattern) for pattern in self.inputs):
                raise TypeError(f"stage {self.name!r} has no input {role!r}.")

    def kind_of(self, role: str) -> str:
        """Return the kind of part that a role takes."""
        kind = self.roles.get(role, self.other_roles)
        if kind is None:
            raise TypeError(f"stage {self.name!r} has no part {role!r}.")
        return kind

    def resources(self, parts: Mapping[str, PartTraits]) -> Resources:
        """Return what the stage takes while it runs, given its parts by role."""
        return Resources(whole_host=any(part.exclusive for part in parts.values()))

    def facts(self, value: Any) -> Mapping[str, Any]:
        """Return the fields of the product's value to log."""
        return {}

    def cost(self, ctx: PlanContext) -> Cost | None:
        """Return about what the stage will ask of its parts; None for a stage that asks nothing."""
        return None


@dataclass(frozen=True)
class StageContext:
    """What a running stage may use."""

    params: Any
    """The stage's `Params`."""
    parts: Mapping[str, Any]
    artifacts: Mapping[str, Artifact]
    scratch: Path
    """An empty folder for files that become part of the product."""

    def part(self, role: str) -> Any:
        """Return the part of a role."""
        return self.parts[role]

    def input(self, role: str) -> Artifact:
        """Return the input artifact of a role."""
        return self.artifacts[role]

    def dataset(self) -> Dataset:
        """Return the data set (kept in memory between the stages of a process)."""
        return read_stored_dataset(self.artifacts[DATASET_ROLE])

    def predictions(self, role: str, split: str) -> Predictions:
        """Return the predictions of a split that the artifact of `role` holds."""
        return stored_predictions(self.artifacts[role], split)


def stored_predictions(artifact: Artifact, split: str) -> Predictions:
    """Return the predictions of one split that an artifact holds."""
    return Predictions.load(artifact.open(f"{split}.npz"))


def predictions_bytes(predictions: Predictions) -> bytes:
    """Return predictions as the bytes of an npz file."""
    stream = io.BytesIO()
    predictions.write(stream)
    return stream.getvalue()


def stored_samples(artifact: Artifact) -> list[Sample]:
    """Return every sample of a `synthesise` artifact, in the order of its candidates."""
    return load_samples(artifact.open(SAMPLES_FILE), Sample)


def npz_bytes(arrays: Mapping[str, Any]) -> bytes:
    """Return arrays as the bytes of an npz file."""
    import numpy as np

    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def stored_arrays(artifact: Artifact, file: str) -> dict[str, Any]:
    """Return the arrays of an npz file that an artifact holds."""
    import numpy as np

    with np.load(artifact.open(file), allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
