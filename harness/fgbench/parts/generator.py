"""Generators: what a generator plugin implements, and what it exchanges with the loop.

The loop sends one `GenerationRequest` a source, all of a round in one call, so that a generator
can batch them; each gets a `GenerationResult` with any number of `Candidate`s. Candidates that
survive the filters go back to `relabel`, again all in one call, and each gets a `Relabeling`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from fgbench.parts.base import Part
from fgbench.usage import Usage

if TYPE_CHECKING:
    from fgbench.data import Input, Split
    from fgbench.parts.dataset import DatasetLoader


@dataclass(frozen=True)
class GenerationTask:
    """What a generator may know of the task: never a row of the calibration or test split.

    `training` is the real training split; `examples` holds the few-shot examples, a tuple of
    inputs for each class, drawn from it by seed; `dataset` is the loader, for generators that need
    its generative process.
    """

    dataset_name: str
    task: str
    label_names: tuple[str, ...]
    label_descriptions: tuple[str, ...]
    training: Split
    examples: tuple[tuple[Input, ...], ...]
    dataset: DatasetLoader
    seed: int

    @property
    def n_classes(self) -> int:
        """The number of classes, K."""
        return len(self.label_names)


@dataclass(frozen=True)
class GenerationRequest:
    """Ask for inputs like `source`, but at another class probability.

    `label` is the source's true class; `bin_probabilities` (K,) what the classifier says of the
    source's bin on average, and `asked_probabilities` (K,) what the new inputs should have: each
    value belongs to the class at its position. `bin_inputs` are the inputs of the whole bin.
    `draw` counts the requests for one source, from 0: with the seed it makes a request unique.
    """

    source: Input
    label: int
    bin: int
    bin_probabilities: tuple[float, ...]
    asked_probabilities: tuple[float, ...]
    source_id: int
    draw: int = 0
    bin_inputs: tuple[Input, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Candidate:
    """One new input; `raw` is what the generator really said, `claimed` the probability it claims.

    An unusable answer has `input` None and says in `rejection` why.
    """

    input: Input | None
    raw: str | None = None
    claimed_probabilities: tuple[float, ...] | None = None
    rejection: str | None = None


@dataclass(frozen=True)
class GenerationResult:
    """The answer to one request, in the order of the requests."""

    candidates: Sequence[Candidate]
    messages: Sequence[Mapping[str, str]] = ()
    """The exact prompt, as chat messages, for generators that have one."""
    usage: Usage = field(default_factory=Usage)
    notes: tuple[str, ...] = ()
    """What was not as asked for in the replies, one entry a reply: "no structured output", …"""


@dataclass(frozen=True)
class RelabelRequest:
    """Ask for the class of `input`, which was generated for `request`."""

    input: Input
    request: GenerationRequest


@dataclass(frozen=True)
class Relabeling:
    """The class that the generator gives to a candidate; None, with a `rejection`, if unusable."""

    label: int | None
    probabilities: tuple[float, ...] | None = None
    raw: str | None = None
    rejection: str | None = None
    usage: Usage = field(default_factory=Usage)
    notes: tuple[str, ...] = ()
    """What was not as asked for in the reply."""


class Generator(Part, ABC):
    """Writes new inputs at an asked class probability, and labels them."""

    kind = "generator"
    relabeler: ClassVar[str] = ""
    """A reference to another generator that labels the candidates instead of this one; a generator
    that offers the choice declares it as a parameter, `relabeler: str = ""`."""

    @abstractmethod
    def prepare(self, task: GenerationTask) -> None:
        """Get ready for one task; called once, before anything else."""

    @abstractmethod
    def generate(self, requests: Sequence[GenerationRequest]) -> Sequence[GenerationResult]:
        """Answer each request, in order. The answer depends on the request and the seed alone."""

    @abstractmethod
    def relabel(self, requests: Sequence[RelabelRequest]) -> Sequence[Relabeling]:
        """Label each candidate, in order, without looking at the label that it is meant to have."""

    def close(self) -> None:
        """Let go of models and connections; called once, at the end, also after an error."""

    @property
    def candidates_per_request(self) -> int:
        """About how many candidates a request brings: for plans."""
        return 1

    def expected_usage(self, task: GenerationTask, requests: Sequence[GenerationRequest]) -> Usage:
        """Return about what it takes to answer `requests` once: for plans.

        Labelling the candidates is in it, unless `relabeler` names another one for that. Called
        without `prepare`, before any work; it must neither load a model nor ask one.
        """
        return Usage(requests=len(requests))

    def expected_relabeling(self, task: GenerationTask, inputs: Sequence[Input]) -> Usage:
        """Return about what it takes to label `inputs`; as `expected_usage`, for plans."""
        return Usage()
