"""The leakage filter: reject synthetic inputs that duplicate held-out rows or each other.

Texts are compared as sets of character 5-grams after normalization of case, punctuation and
spacing. A Jaccard similarity of at least 0.8 is a near duplicate; equal normalized texts are exact
duplicates. Numbers are duplicates if they are equal.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from fgbench.data import is_numeric, take_inputs

if TYPE_CHECKING:
    from fgbench.data import Dataset, Input, Inputs, IntArray

T = TypeVar("T")

NEAR_DUPLICATE = 0.8
"""Jaccard similarity from which two texts count as near duplicates."""

DropRule: TypeAlias = Literal["none", "test", "all"]
"""Which near duplicates are rejected: none, of held-out rows, or of training rows as well."""

NEAR_TEST = "near duplicate of test"
NEAR_CALIBRATION = "near duplicate of calibration"
NEAR_TRAINING = "near duplicate of training"
REPEATED = "repeats a synthetic one"
EMPTY = "empty"

_SHINGLE = 5
_SHARED_IN_PREFIX = 12
_MAX_CHARACTERS = 20_000
_MAX_CACHED = 100_000


class LeakageFilter:
    """Decides which synthetic inputs may be used.

    A text may not duplicate an accepted text, nor any input a held-out row: of the test split and
    the calibration rows unless `drop` is "none", of the training split if `drop` is "all". Numbers
    may repeat accepted ones, since one probability may have only one point.
    """

    def __init__(self, dataset: Dataset, calibration: IntArray, drop: DropRule) -> None:
        """Index the test and training split, and the validation rows that fit calibrators."""
        indices = dataset.derived(SplitIndices.of)
        self.test = indices.test
        self.training = indices.training
        held_out = take_inputs(dataset.splits["validation"].inputs, calibration)
        self._indices = {
            NEAR_TEST: self.test,
            NEAR_CALIBRATION: DuplicateIndex(held_out),
            NEAR_TRAINING: self.training,
        }
        if drop != "all":
            del self._indices[NEAR_TRAINING]
        if drop == "none":
            self._indices.clear()
        self._accepted: set[str] = set()

    def rejection(self, candidate: Input) -> str | None:
        """Return why an input may not be used, or None."""
        if isinstance(candidate, str):
            if not candidate.strip():
                return EMPTY
            if normalize(candidate) in self._accepted:
                return REPEATED
        for reason, index in self._indices.items():
            if index.is_duplicate(candidate):
                return reason
        return None

    def accept(self, candidate: Input) -> None:
        """Record an accepted input; its duplicates are rejected from now on."""
        if isinstance(candidate, str):
            self._accepted.add(normalize(candidate))


@dataclass(frozen=True)
class SplitIndices:
    """The indices of the splits that every generation stage of a data set compares with."""

    test: DuplicateIndex
    training: DuplicateIndex

    @classmethod
    def of(cls, dataset: Dataset) -> SplitIndices:
        """Index the test and the training split of a data set."""
        return cls(
            DuplicateIndex(dataset.splits["test"].inputs),
            DuplicateIndex(dataset.splits["train"].inputs),
        )


class DuplicateIndex:
    """Finds inputs that are exact or near duplicates of an input of one split.

    Two texts can reach the threshold only if they share several of their rarest shingles. Only
    those are looked up, so that few texts are compared in full, and none that is much longer or
    shorter (prefixes that must share more than one element: Wang, Li and Feng, SIGMOD 2012). The
    result is exact.
    """

    def __init__(self, inputs: Inputs) -> None:
        self._exact: set[Input] = set()
        self._shingles: list[frozenset[str]] = []
        self._postings: dict[str, list[int]] = {}
        self._frequency: Counter[str] = Counter()
        self._sizes: list[int] = []
        self._needed: list[int] = []
        self._verdicts: dict[str, bool] = {}
        if is_numeric(inputs):
            self._exact = {tuple(row) for row in inputs.tolist()}
            return
        normalized = {normalize(text) for text in inputs}
        self._exact = set(normalized)
        self._shingles = [_shingles(text) for text in sorted(normalized)]
        for shingles in self._shingles:
            self._frequency.update(shingles)
        self._sizes = [len(shingles) for shingles in self._shingles]
        self._needed = [_required(size) for size in self._sizes]
        for index, shingles in enumerate(self._shingles):
            for shingle in self._prefix(shingles):
                self._postings.setdefault(shingle, []).append(index)

    def is_duplicate(self, candidate: Input) -> bool:
        """Return whether `candidate` is an exact or near duplicate of an input of the split."""
        if not isinstance(candidate, str):
            return tuple(candidate) in self._exact
        text = normalize(candidate)
        if text not in self._verdicts:
            # The loop checks a text up to three times: as candidate, before acceptance, for counts.
            if len(self._verdicts) >= _MAX_CACHED:
                self._verdicts.clear()
            self._verdicts[text] = text in self._exact or self._is_near(_shingles(text))
        return self._verdicts[text]

    def _is_near(self, shingles: frozenset[str]) -> bool:
        shared: Counter[int] = Counter()
        for shingle in self._prefix(shingles):
            shared.update(self._postings.get(shingle, ()))
        required = _required(len(shingles))
        smallest = _least_shared(len(shingles))
        largest = math.floor(len(shingles) / NEAR_DUPLICATE + 1e-9)
        needed, sizes = self._needed, self._sizes
        return any(
            jaccard(shingles, self._shingles[index]) >= NEAR_DUPLICATE
            for index, count in shared.items()
            if smallest <= sizes[index] <= largest and (count >= required or count >= needed[index])
        )

    def _prefix(self, shingles: frozenset[str]) -> list[str]:
        """Return the rarest shingles; any near duplicate has at least `_required` of them."""
        ordered = sorted(shingles, key=lambda shingle: (self._frequency[shingle], shingle))
        return ordered[: len(ordered) - _least_shared(len(ordered)) + _required(len(ordered))]


def normalize(text: str) -> str:
    """Return the text in lower case, without punctuation, with single spaces."""
    folded = unicodedata.normalize("NFKC", text[:_MAX_CHARACTERS]).casefold()
    return " ".join(re.findall(r"\w+", folded)) or " ".join(folded.split())


def jaccard(first: Set[T], second: Set[T]) -> float:
    """Return |A ∩ B| / |A ∪ B| of two sets that are not both empty."""
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared)


def count_duplicates(index: DuplicateIndex, inputs: Iterable[Input]) -> int:
    """Return how many of `inputs` are duplicates of an input of the index's split."""
    return sum(index.is_duplicate(item) for item in inputs)


def _least_shared(size: int) -> int:
    """Return the minimum number of its shingles that a text shares with a near duplicate."""
    return math.ceil(NEAR_DUPLICATE * size - 1e-9)  # 0.8 is not exact in binary


def _required(size: int) -> int:
    return min(_SHARED_IN_PREFIX, _least_shared(size))


def _shingles(text: str) -> frozenset[str]:
    if len(text) <= _SHINGLE:
        return frozenset([text])
    return frozenset(text[start : start + _SHINGLE] for start in range(len(text) - _SHINGLE + 1))
