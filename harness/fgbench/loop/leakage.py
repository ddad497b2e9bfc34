"""The leakage filter: reject synthetic inputs that duplicate held-out rows or each other.

Texts are compared as sets of character 5-grams after normalization of case, punctuation and
spacing. A Jaccard similarity of at least 0.8 is a near duplicate; equal normalized texts are exact
duplicates. Numbers are duplicates if they are equal.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Set
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, TypeVar

import numpy as np

from fgbench.data import is_numeric, take_inputs
from fgbench.texts import normalize

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
_SHARED_IN_PREFIX = 32
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
            NEAR_CALIBRATION: DuplicateIndex(held_out, indices.order),
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
            if _normalized(candidate) in self._accepted:
                return REPEATED
        for reason, index in self._indices.items():
            if index.is_duplicate(candidate):
                return reason
        return None

    def accept(self, candidate: Input) -> None:
        """Record an accepted input; its duplicates are rejected from now on."""
        if isinstance(candidate, str):
            self._accepted.add(_normalized(candidate))


@dataclass(frozen=True)
class SplitIndices:
    """The indices of the splits that every generation stage of a data set compares with."""

    test: DuplicateIndex
    training: DuplicateIndex
    order: ShingleOrder | None

    @classmethod
    def of(cls, dataset: Dataset) -> SplitIndices:
        """Index the test and the training split of a data set."""
        splits, order = dataset.splits, None
        if dataset.is_text:
            corpus = chain.from_iterable(split.inputs for split in splits.values())
            order = ShingleOrder({_normalized(text) for text in corpus})
        test, training = (DuplicateIndex(splits[name].inputs, order) for name in ("test", "train"))
        return cls(test, training, order)


class ShingleOrder:
    """Orders the shingles of texts from rare to common in a corpus."""

    def __init__(self, corpus: Iterable[str]) -> None:
        """Count the shingles of normalized texts."""
        frequencies = Counter(chain.from_iterable(map(_shingles, corpus)))
        ascending = sorted(frequencies.items(), key=itemgetter(1, 0))
        self._ranks = _Ranks((shingle, rank) for rank, (shingle, _) in enumerate(ascending))
        self._last: tuple[str, Signature] | None = None

    def signature(self, text: str) -> Signature:
        """Return the shingles of a normalized text, and the rarest of them.

        The last signature is cached, since a candidate is compared with several splits in a row.
        """
        if self._last is None or self._last[0] != text:
            shingles = _shingles(text)
            rarest = sorted(shingles, key=self._ranks.__getitem__)[: _prefix_length(len(shingles))]
            self._last = text, Signature(shingles, rarest)
        return self._last[1]


class Signature(NamedTuple):
    """The shingles of a text, and the prefix that any near duplicate has `_required` of."""

    shingles: frozenset[str]
    rarest: list[str]


class _Ranks(dict[str, int]):
    def __missing__(self, shingle: str) -> int:
        return -1  # rarer than any in the corpus; no text of the corpus has it


class DuplicateIndex:
    """Finds inputs that are exact or near duplicates of an input of one split.

    Two texts can reach the threshold only if they share several of their rarest shingles. Only
    those are looked up, so that few texts are compared in full, and none that is much longer or
    shorter (prefixes that must share more than one element: Wang, Li and Feng, SIGMOD 2012). The
    result is exact.
    """

    def __init__(self, inputs: Inputs, order: ShingleOrder | None = None) -> None:
        """Index texts (n,) or numbers (n, d); the corpus of `order` must contain the texts."""
        self._exact: set[Input] = set()
        self._verdicts: dict[str, bool] = {}
        if is_numeric(inputs):
            self._exact = {tuple(row) for row in inputs.tolist()}
            return
        texts = sorted({_normalized(text) for text in inputs})
        self._exact = set(texts)
        self._order = order or ShingleOrder(texts)
        self._shingles: list[frozenset[str]] = []
        postings: defaultdict[str, list[int]] = defaultdict(list)
        for index, signature in enumerate(map(self._order.signature, texts)):
            self._shingles.append(signature.shingles)
            for shingle in signature.rarest:
                postings[shingle].append(index)
        self._postings = {shingle: np.array(indices) for shingle, indices in postings.items()}
        self._sizes = np.array([len(shingles) for shingles in self._shingles])
        self._needed = np.array([_required(size) for size in self._sizes.tolist()])

    def is_duplicate(self, candidate: Input) -> bool:
        """Return whether `candidate` is an exact or near duplicate of an input of the split."""
        if not isinstance(candidate, str):
            return tuple(candidate) in self._exact
        text = _normalized(candidate)
        if text not in self._verdicts:
            # The loop checks a text up to three times: as candidate, before acceptance, for counts.
            if len(self._verdicts) >= _MAX_CACHED:
                self._verdicts.clear()
            self._verdicts[text] = text in self._exact or self._is_near(text)
        return self._verdicts[text]

    def _is_near(self, text: str) -> bool:
        shingles, rarest = self._order.signature(text)
        hits = [self._postings[shingle] for shingle in rarest if shingle in self._postings]
        if not hits:
            return False
        size = len(shingles)
        smallest, largest = _least_shared(size), math.floor(size / NEAR_DUPLICATE + 1e-9)
        shared = np.bincount(np.concatenate(hits), minlength=len(self._sizes))
        screened = shared >= np.minimum(self._needed, _required(size))
        screened &= (self._sizes >= smallest) & (self._sizes <= largest)
        return any(
            jaccard(shingles, self._shingles[index]) >= NEAR_DUPLICATE
            for index in np.flatnonzero(screened).tolist()
        )


@lru_cache(maxsize=16)  # the filter and each index normalize a candidate
def _normalized(text: str) -> str:
    return normalize(text[:_MAX_CHARACTERS])


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


def _prefix_length(size: int) -> int:
    return size - _least_shared(size) + _required(size)


def _shingles(text: str) -> frozenset[str]:
    if len(text) <= _SHINGLE:
        return frozenset([text])
    return frozenset([text[start : start + _SHINGLE] for start in range(len(text) - _SHINGLE + 1)])
