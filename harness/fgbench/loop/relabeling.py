"""Screen the candidates of a generator and relabel those that remain.

FITG, section 3.2: the generator labels each new text; only texts with their source's label are
accepted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fgbench.errors import PluginError
from fgbench.parts.generator import Candidate, GenerationRequest, GenerationResult, RelabelRequest
from fgbench.samples import Sample, Source, Verdict
from fgbench.usage import Usage

if TYPE_CHECKING:
    from fgbench.data import Input
    from fgbench.parts.generator import Generator

OTHER_LABEL = "other label"
"""Why a candidate is rejected whose label is not its source's."""


@dataclass
class ScreenedCandidate:
    """A candidate while the loop decides on it; `to_sample` returns the record of the decision.

    `rejection` is the reason not to use it; `surplus` marks a good one whose source has another.
    """

    request: GenerationRequest
    candidate: Candidate
    messages: Sequence[Mapping[str, str]] = ()
    notes: Sequence[str] = ()
    relabeled: int | None = None
    relabeled_probabilities: tuple[float, ...] | None = None
    relabel_raw: str | None = None
    relabel_notes: Sequence[str] = ()
    rejection: str | None = None
    surplus: bool = False

    @property
    def verdict(self) -> Verdict:
        """Return accepted, surplus or rejected."""
        if self.rejection is not None:
            return "rejected"
        return "surplus" if self.surplus else "accepted"

    def to_sample(self, row: int, posterior: tuple[float, ...] | None) -> Sample:
        """Return the sample; `row` is the source's validation row, `posterior` the true P(y|x)."""
        request, candidate = self.request, self.candidate
        return Sample(
            source=Source(index=row, input=request.source, label=request.label),
            draw=request.draw,
            bin=request.bin,
            bin_probabilities=request.bin_probabilities,
            asked_probabilities=request.asked_probabilities,
            verdict=self.verdict,
            input=candidate.input,
            reason=self.rejection,
            messages=tuple(dict(message) for message in self.messages),
            raw=candidate.raw,
            claimed_probabilities=candidate.claimed_probabilities,
            achieved_probabilities=posterior,
            relabeled=self.relabeled,
            relabeled_probabilities=self.relabeled_probabilities,
            relabel_raw=self.relabel_raw,
            notes=tuple(sorted({*self.notes, *self.relabel_notes})),
        )


def relabel(generator: Generator, candidates: Sequence[ScreenedCandidate], n_classes: int) -> Usage:
    """Record the class that the generator gives to each candidate without a rejection.

    Raises `PluginError` for a generator that breaks its contract.
    """
    open_candidates = [item for item in candidates if item.rejection is None]
    if not open_candidates:
        return Usage()
    requests = [RelabelRequest(_input(item), item.request) for item in open_candidates]
    answers = generator.relabel(requests)
    if len(answers) != len(requests):
        raise PluginError(
            f"generator {type(generator).__name__}: relabel returned {len(answers)} answers for "
            f"{len(requests)} requests."
        )
    usage = Usage()
    for item, answer in zip(open_candidates, answers, strict=True):
        usage += answer.usage
        item.relabeled = answer.label
        item.relabeled_probabilities = answer.probabilities
        item.relabel_raw = answer.raw
        item.relabel_notes = answer.notes
        if answer.label is None:
            item.rejection = answer.rejection or "no label"
        elif not 0 <= answer.label < n_classes:
            raise PluginError(
                f"generator {type(generator).__name__}: relabel returned class {answer.label}, but "
                f"there are {n_classes} classes."
            )
        elif answer.label != item.request.label:
            item.rejection = OTHER_LABEL
    return usage


def screen_results(
    generator: Generator,
    requests: Sequence[GenerationRequest],
    results: Sequence[GenerationResult],
) -> tuple[list[ScreenedCandidate], Usage]:
    """Pair each candidate with its request; candidates without an input are rejected.

    Raises `PluginError` unless there is one result per request and inputs are like the sources.
    """
    if len(results) != len(requests):
        raise PluginError(
            f"generator {type(generator).__name__}: generate returned {len(results)} results for "
            f"{len(requests)} requests."
        )
    candidates: list[ScreenedCandidate] = []
    usage = Usage()
    for request, result in zip(requests, results, strict=True):
        usage += result.usage
        for candidate in result.candidates or [Candidate(None, rejection="no candidate")]:
            rejection = candidate.rejection
            if candidate.input is None and rejection is None:
                rejection = "no text"
            if candidate.input is not None and not _is_like(candidate.input, request.source):
                raise PluginError(
                    f"generator {type(generator).__name__}: generate returned "
                    f"{candidate.input!r:.80}, but inputs of this data set are "
                    f"{_kind(request.source)}."
                )
            candidates.append(
                ScreenedCandidate(
                    request, candidate, result.messages, result.notes, rejection=rejection
                )
            )
    return candidates, usage


def _is_like(candidate: Any, source: Input) -> bool:
    """Return whether a generator's input can join the source in a training set."""
    if isinstance(source, str):
        return isinstance(candidate, str)
    return (
        isinstance(candidate, tuple)
        and len(candidate) == len(source)
        and all(isinstance(value, int | float) and math.isfinite(value) for value in candidate)
    )


def _kind(source: Input) -> str:
    return "texts" if isinstance(source, str) else f"tuples of {len(source)} finite numbers"


def _input(item: ScreenedCandidate) -> Input:
    assert item.candidate.input is not None
    return item.candidate.input
