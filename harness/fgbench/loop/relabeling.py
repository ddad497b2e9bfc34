"""The second stage: filter what was generated, have it relabelled, keep what has the right class.

FITG, section 3.2: the generator labels each new text; only those given the source's own label stay.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fgbench.errors import PluginError
from fgbench.loop.leakage import DuplicateIndex, even_out
from fgbench.parts.generator import Candidate, GenerationRequest, GenerationResult, RelabelRequest
from fgbench.usage import Usage

if TYPE_CHECKING:
    from fgbench.data import Input
    from fgbench.parts.generator import Generator


NEAR_TEST = "near duplicate of test"
NEAR_CALIBRATION = "near duplicate of calibration"
NEAR_TRAINING = "near duplicate of training"


@dataclass
class Judged:
    """A candidate and its verdict.

    `rejection` says why it is not used; `surplus` marks a good one whose source had one already.
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
    def verdict(self) -> str:
        """Return accepted, surplus or rejected."""
        if self.rejection is not None:
            return "rejected"
        return "surplus" if self.surplus else "accepted"


class Guards:
    """What a synthetic input may not repeat: held-out ones, and, if a text, another synthetic one.

    Numbers may coincide: what is asked for at one probability can be one point and no other.
    """

    def __init__(
        self,
        *,
        test: DuplicateIndex,
        calibration: DuplicateIndex,
        training: DuplicateIndex,
        drop: str,
    ) -> None:
        self._test = test
        self._calibration = calibration
        self._training = training
        self._drop = drop
        self._seen: set[str] = set()

    def rejection(self, candidate: Input) -> str | None:
        """Return why an input may not be used, or None."""
        if isinstance(candidate, str):
            if not candidate.strip():
                return "empty"
            if even_out(candidate) in self._seen:
                return "repeats a synthetic one"
        if self._drop in ("test", "all") and self._test.repeats(candidate):
            return NEAR_TEST
        if self._drop in ("test", "all") and self._calibration.repeats(candidate):
            return NEAR_CALIBRATION
        if self._drop == "all" and self._training.repeats(candidate):
            return NEAR_TRAINING
        return None

    def accept(self, candidate: Input) -> None:
        """Remember an accepted input."""
        if isinstance(candidate, str):
            self._seen.add(even_out(candidate))


def relabel(generator: Generator, judged: Sequence[Judged], n_classes: int) -> Usage:
    """Fill in the class that the generator gives to each candidate that has no rejection yet.

    Raises `PluginError` for a generator that breaks its contract.
    """
    waiting = [item for item in judged if item.rejection is None]
    if not waiting:
        return Usage()
    asked = [RelabelRequest(_input(item), item.request) for item in waiting]
    answers = generator.relabel(asked)
    if len(answers) != len(asked):
        raise PluginError(
            f"generator {type(generator).__name__}: relabel gave {len(answers)} answers to "
            f"{len(asked)} requests."
        )
    usage = Usage()
    for item, answer in zip(waiting, answers, strict=True):
        usage += answer.usage
        item.relabeled = answer.label
        item.relabeled_probabilities = answer.probabilities
        item.relabel_raw = answer.raw
        item.relabel_notes = answer.notes
        if answer.label is None:
            item.rejection = answer.rejection or "no label"
        elif not 0 <= answer.label < n_classes:
            raise PluginError(
                f"generator {type(generator).__name__}: relabel gave class {answer.label}, and "
                f"there are {n_classes}."
            )
        elif answer.label != item.request.label:
            item.rejection = "other label"
    return usage


def judge_results(
    generator: Generator,
    requests: Sequence[GenerationRequest],
    results: Sequence[GenerationResult],
) -> tuple[list[Judged], Usage]:
    """Pair each candidate with its request; those that the generator gave up on are rejected.

    Raises `PluginError` for other results than were asked for, or inputs of another kind.
    """
    if len(results) != len(requests):
        raise PluginError(
            f"generator {type(generator).__name__}: generate gave {len(results)} results to "
            f"{len(requests)} requests."
        )
    judged: list[Judged] = []
    usage = Usage()
    for request, result in zip(requests, results, strict=True):
        usage += result.usage
        for candidate in result.candidates or [Candidate(None, rejection="no candidate")]:
            rejection = candidate.rejection
            if candidate.input is None and rejection is None:
                rejection = "no text"
            if candidate.input is not None and not _is_like(candidate.input, request.source):
                raise PluginError(
                    f"generator {type(generator).__name__}: generate gave {candidate.input!r:.80}, "
                    f"which is no {_kind(request.source)}, as the data set's inputs are."
                )
            judged.append(
                Judged(request, candidate, result.messages, result.notes, rejection=rejection)
            )
    return judged, usage


def _is_like(candidate: Any, source: Input) -> bool:
    """Return whether a generator's input can stand beside the source in a training set."""
    if isinstance(source, str):
        return isinstance(candidate, str)
    return (
        isinstance(candidate, tuple)
        and len(candidate) == len(source)
        and all(isinstance(value, int | float) and math.isfinite(value) for value in candidate)
    )


def _kind(source: Input) -> str:
    return "text" if isinstance(source, str) else f"tuple of {len(source)} finite numbers"


def _input(item: Judged) -> Input:
    assert item.candidate.input is not None
    return item.candidate.input
