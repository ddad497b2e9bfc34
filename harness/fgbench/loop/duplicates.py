"""Leakage guards: does a synthetic input repeat one of the test or training split?

Texts are compared as sets of character 5-grams after case, punctuation and spacing are evened
out; a Jaccard similarity of at least 0.8 counts as a near duplicate, 1.0 or equal evened text as
an exact one. Numbers are duplicates when they are equal.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from fgbench.data import is_numeric

if TYPE_CHECKING:
    from fgbench.data import Inputs
    from fgbench.parts.generation import Input

NEAR_DUPLICATE = 0.8
"""Jaccard similarity from which two texts count as near duplicates."""

_SHINGLE = 5
_MAX_CHARACTERS = 20_000
_REMEMBERED = 100_000


class DuplicateIndex:
    """Finds the inputs of one split that a new input repeats.

    Only shingles that are rare enough can decide that a similarity reaches the threshold, so of
    each text just the rarest are looked up (prefix filtering, Chaudhuri et al. 2006); the answer
    is exact for all that.
    """

    def __init__(self, inputs: Inputs) -> None:
        self._exact: set[Input] = set()
        self._shingles: list[frozenset[str]] = []
        self._postings: dict[str, list[int]] = {}
        self._frequency: Counter[str] = Counter()
        self._verdicts: dict[str, bool] = {}
        if is_numeric(inputs):
            self._exact = {tuple(row) for row in inputs.tolist()}
            return
        evened = {even_out(text) for text in inputs}
        self._exact = set(evened)
        self._shingles = [_shingles(text) for text in sorted(evened)]
        for shingles in self._shingles:
            self._frequency.update(shingles)
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
        smallest, largest = NEAR_DUPLICATE * len(shingles), len(shingles) / NEAR_DUPLICATE
        seen: set[int] = set()
        for shingle in self._prefix(shingles):
            for index in self._postings.get(shingle, ()):
                other = self._shingles[index]
                if index not in seen and smallest <= len(other) <= largest:
                    seen.add(index)
                    if _jaccard(shingles, other) >= NEAR_DUPLICATE:
                        return True
        return False

    def _prefix(self, shingles: frozenset[str]) -> list[str]:
        """Return the rarest shingles, enough that any near duplicate shares one of them."""
        ordered = sorted(shingles, key=lambda shingle: (self._frequency[shingle], shingle))
        length = len(ordered) - int(-(-NEAR_DUPLICATE * len(ordered) // 1)) + 1
        return ordered[:length]


def even_out(text: str) -> str:
    """Return the text in one case, without punctuation, with single spaces."""
    folded = unicodedata.normalize("NFKC", text[:_MAX_CHARACTERS]).casefold()
    evened = " ".join(re.findall(r"\w+", folded))
    return evened or " ".join(folded.split())


def count_repeats(index: DuplicateIndex, inputs: Iterable[Input]) -> int:
    """Return how many of `inputs` repeat one of the index's split."""
    return sum(index.repeats(item) for item in inputs)


def _shingles(text: str) -> frozenset[str]:
    if len(text) <= _SHINGLE:
        return frozenset([text])
    return frozenset(text[start : start + _SHINGLE] for start in range(len(text) - _SHINGLE + 1))


def _jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared)
