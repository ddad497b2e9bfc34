"""Leakage guards: does a synthetic input repeat one of the test or training split?

Texts are compared as sets of character 5-grams after case, punctuation and spacing are evened
out; a Jaccard similarity of at least 0.8 counts as a near duplicate, 1.0 or equal evened text as
an exact one. Numbers are duplicates when they are equal.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from fgbench.data import is_numeric

if TYPE_CHECKING:
    from fgbench.data import Input, Inputs

NEAR_DUPLICATE = 0.8
"""Jaccard similarity from which two texts count as near duplicates."""

_SHINGLE = 5
_SHARED_IN_PREFIX = 12
_MAX_CHARACTERS = 20_000
_REMEMBERED = 100_000


class DuplicateIndex:
    """Finds the inputs of one split that a new input repeats.

    Two texts are as similar as the threshold only if they share several of their rarest shingles,
    so just those are looked up, and few texts are compared whole (prefixes that must share more
    than one element: Wang, Li and Feng, SIGMOD 2012), none that is much longer or shorter. The
    answer is exact for all that.
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
        evened = {even_out(text) for text in inputs}
        self._exact = set(evened)
        self._shingles = [_shingles(text) for text in sorted(evened)]
        for shingles in self._shingles:
            self._frequency.update(shingles)
        self._sizes = [len(shingles) for shingles in self._shingles]
        self._needed = [_required(size) for size in self._sizes]
        for index, shingles in enumerate(self._shingles):
            for shingle in self._prefix(shingles):
                self._postings.setdefault(shingle, []).append(index)

    def repeats(self, candidate: Input) -> bool:
        """Return whether `candidate` is an exact or near duplicate of an input of the split."""
        if not isinstance(candidate, str):
            return tuple(candidate) in self._exact
        text = even_out(candidate)
        if text not in self._verdicts:
            # The loop asks for one text several times: as a candidate, as accepted, for the count.
            if len(self._verdicts) >= _REMEMBERED:
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
            _jaccard(shingles, self._shingles[index]) >= NEAR_DUPLICATE
            for index, count in shared.items()
            if smallest <= sizes[index] <= largest and (count >= required or count >= needed[index])
        )

    def _prefix(self, shingles: frozenset[str]) -> list[str]:
        """Return the rarest shingles, of which any near duplicate has `_required` at least."""
        ordered = sorted(shingles, key=lambda shingle: (self._frequency[shingle], shingle))
        return ordered[: len(ordered) - _least_shared(len(ordered)) + _required(len(ordered))]


def even_out(text: str) -> str:
    """Return the text in one case, without punctuation, with single spaces."""
    folded = unicodedata.normalize("NFKC", text[:_MAX_CHARACTERS]).casefold()
    evened = " ".join(re.findall(r"\w+", folded))
    return evened or " ".join(folded.split())


def count_repeats(index: DuplicateIndex, inputs: Iterable[Input]) -> int:
    """Return how many of `inputs` repeat one of the index's split."""
    return sum(index.repeats(item) for item in inputs)


def _least_shared(size: int) -> int:
    """Return how many of its shingles a text shares with any near duplicate, at the least."""
    return math.ceil(NEAR_DUPLICATE * size - 1e-9)  # 0.8 is not exact in binary


def _required(size: int) -> int:
    return min(_SHARED_IN_PREFIX, _least_shared(size))


def _shingles(text: str) -> frozenset[str]:
    if len(text) <= _SHINGLE:
        return frozenset([text])
    return frozenset(text[start : start + _SHINGLE] for start in range(len(text) - _SHINGLE + 1))


def _jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared)
