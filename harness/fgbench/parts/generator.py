"""Interface of generators, with their requests and results.

The loop sends one `GenerationRequest` per source, all requests of a round in one call, so that a
generator can batch them. Each request gets a `GenerationResult` with any number of `Candidate`s.
Candidates that pass the filters are sent to `relabel`, again in one call, and each gets a
`Relabeling`.
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
    """The task as a generator sees it, without any row of the calibration or test split.

    `training` is the real training split. `examples` are few-shot examples drawn from it by seed, a
    tuple of inputs per class. `dataset` is the loader, for generators that use its generating
    process.
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
    """Request for inputs that are similar to `source`, but have other class probabilities.

    `label` is the true class of the source. `bin_probabilities` (K,) are the classifier's mean
    probabilities in the source's bin, `asked_probabilities` (K,) those requested of the new inputs;
    both are in the order of the classes. `bin_inputs` are all inputs of the bin. `draw` numbers the
    requests for a source, from 0; together with the seed it makes a request unique.
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
    """A new input, with the raw reply and the probabilities that the generator claims for it.

    For an unusable reply, `input` is None and `rejection` is the reason.
    """

    input: Input | None
    raw: str | None = None
    claimed_probabilities: tuple[float, ...] | None = None
    rejection: str | None = None


@dataclass(frozen=True)
class GenerationResult:
    """The result of one request."""

    candidates: Sequence[Candidate]
    messages: Sequence[Mapping[str, str]] = ()
    """The exact prompt as chat messages, for generators with prompts."""
    usage: Usage = field(default_factory=Usage)
    notes: tuple[str, ...] = ()
    """Deviations of replies from the request, one entry per reply: "no structured output", …"""


@dataclass(frozen=True)
class RelabelRequest:
    """Request for the class of `input`, which was generated for `request`."""

    input: Input
    request: GenerationRequest


@dataclass(frozen=True)
class Relabeling:
    """The class that a generator assigns to a candidate; None with a `rejection` if unusable."""

    label: int | None
    probabilities: tuple[float, ...] | None = None
    raw: str | None = None
    rejection: str | None = None
    usage: Usage = field(default_factory=Usage)
    notes: tuple[str, ...] = ()
    """Deviations of the reply from the request."""


class Generator(Part, ABC):
    """Generates inputs with requested class probabilities, and labels them."""

    kind = "generator"
    relabeler: ClassVar[str] = ""
    """A reference to another generator that labels the candidates instead of this one. A generator
    that supports this declares it as a parameter: `relabeler: str = ""`."""

    @abstractmethod
    def prepare(self, task: GenerationTask) -> None:
        """Prepare for a task; called once, before all other methods."""

    @abstractmethod
    def generate(self, requests: Sequence[GenerationRequest]) -> Sequence[GenerationResult]:
        """Return the result of each request, in order; it depends on request and seed only."""

    @abstractmethod
    def relabel(self, requests: Sequence[RelabelRequest]) -> Sequence[Relabeling]:
        """Label each candidate, in order, without using the label that it was requested for."""

    def close(self) -> None:
        """Release models and connections; called once at the end, also after an error."""

    @property
    def candidates_per_request(self) -> int:
        """Estimated number of candidates per request, for plans."""
        return 1

    def expected_usage(self, task: GenerationTask, requests: Sequence[GenerationRequest]) -> Usage:
        """Estimate the usage of answering `requests` once, for plans.

        Includes labeling the candidates, unless another generator does (`relabeler`). Called
        without `prepare`, before any work. It must neither load a model nor send requests.
        """
        return Usage(requests=len(requests))

    def expected_relabeling(self, task: GenerationTask, inputs: Sequence[Input]) -> Usage:
        """Estimate the usage of labeling `inputs`, for plans; see `expected_usage`."""
        return Usage()
