"""How diverse texts are and how similar to their sources, compared with real texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations
from typing import TypeAlias

import numpy as np

from fgbench.diagnostics.models import DiversityRecord, TextsRecord
from fgbench.digests import seed_for
from fgbench.loop.leakage import jaccard

MAX_PAIRS = 1000
"""Number of pairs drawn at random from larger sets."""
COPY = 0.5
"""Similarity from which a text counts as a copy of its source."""

Words: TypeAlias = list[str]
Bigrams: TypeAlias = frozenset[tuple[str, ...]]


def diversity(
    texts: Sequence[str], sources: Sequence[str], labels: Sequence[int], *, seed: int
) -> DiversityRecord:
    """Return the diversity of n texts and of their sources.

    `sources` (n,) and `labels` (n,) belong to the texts; a source of several texts counts once in
    the sources' own figures. Pairs and orders are drawn by `seed`.
    """
    rng = np.random.default_rng(seed_for("diversity", seed))
    text_words = [words(text) for text in texts]
    source_words = [words(text) for text in sources]
    first_row = {text: row for row, text in reversed(list(enumerate(sources)))}
    distinct_rows = sorted(first_row.values())
    shuffled_texts = [text_words[int(row)] for row in rng.permutation(len(texts))]
    shuffled_sources = [
        source_words[distinct_rows[int(position)]]
        for position in rng.permutation(len(distinct_rows))
    ]
    similarities = [
        jaccard(first, second)
        for first, second in zip(map(bigrams, text_words), map(bigrams, source_words), strict=True)
        if first or second
    ]
    neighbors = _neighbor_similarity(
        [bigrams(source_words[row]) for row in distinct_rows],
        [labels[row] for row in distinct_rows],
        rng,
    )
    undefined: dict[str, str] = {}
    if not similarities:
        undefined |= dict.fromkeys(
            ("source_similarity", "copies"), "no text and source of two words or more"
        )
    if neighbors is None:
        undefined["neighbour_similarity"] = "no two sources of a class"
    source_length = sum(map(len, source_words))
    if not source_length:
        undefined["length_ratio"] = "the sources have no words"
    limits = {n: min(_count(text_words, n), _count(shuffled_sources, n)) for n in (1, 2)}
    return DiversityRecord(
        texts=_figures(shuffled_texts, limits, rng),
        sources=_figures(shuffled_sources, limits, rng),
        source_similarity=_mean(similarities),
        neighbour_similarity=neighbors,
        copies=_mean([float(similarity >= COPY) for similarity in similarities]),
        length_ratio=sum(map(len, text_words)) / source_length if source_length else None,
        undefined=undefined,
    )


def words(text: str) -> Words:
    """Return the words of a text, in lower case."""
    return re.findall(r"\w+", text.lower())


def distinct(texts: Sequence[Words], n: int, limit: int | None = None) -> float | None:
    """Return distinct-n, the share of distinct n-grams among all (Li et al. 2016, section 5).

    It falls with the number of texts; with `limit`, only that many n-grams count, so that two sets
    can be compared. None if there is no n-gram.
    """
    grams = [gram for text in texts for gram in ngrams(text, n)][:limit]
    return len(set(grams)) / len(grams) if grams else None


def self_similarity(
    sets: Sequence[Bigrams], rng: np.random.Generator, max_pairs: int = MAX_PAIRS
) -> float | None:
    """Return the mean Jaccard index of pairs of sets: all pairs, or `max_pairs` random ones."""
    nonempty = [item for item in sets if item]
    n = len(nonempty)
    if n * (n - 1) // 2 <= max_pairs:
        pairs = list(combinations(range(n), 2))
    else:
        first = rng.integers(0, n, max_pairs)
        second = (first + rng.integers(1, n, max_pairs)) % n
        pairs = list(zip(first.tolist(), second.tolist(), strict=True))
    return _mean([jaccard(nonempty[i], nonempty[j]) for i, j in pairs])


def bigrams(text: Words) -> Bigrams:
    """Return the set of a text's word bigrams."""
    return frozenset(ngrams(text, 2))


def ngrams(text: Words, n: int) -> list[tuple[str, ...]]:
    """Return the n-grams of a text, in order."""
    return list(zip(*(text[start:] for start in range(n)), strict=False))


def _figures(
    texts: Sequence[Words], limits: dict[int, int], rng: np.random.Generator
) -> TextsRecord:
    return TextsRecord(
        n=len(texts),
        words=sum(map(len, texts)) / len(texts) if texts else 0.0,
        distinct_1=distinct(texts, 1, limits[1]),
        distinct_2=distinct(texts, 2, limits[2]),
        self_similarity=self_similarity([bigrams(text) for text in texts], rng),
    )


def _neighbor_similarity(
    sets: Sequence[Bigrams], labels: Sequence[int], rng: np.random.Generator
) -> float | None:
    """Return the mean Jaccard index of each set and a random other one of the same label."""
    groups: dict[int, list[Bigrams]] = {}
    for item, label in zip(sets, labels, strict=True):
        if item:
            groups.setdefault(label, []).append(item)
    values = []
    for _, group in sorted(groups.items()):
        if len(group) > 1:
            steps = rng.integers(1, len(group), len(group)).tolist()
            values += [
                jaccard(item, group[(position + step) % len(group)])
                for position, (item, step) in enumerate(zip(group, steps, strict=True))
            ]
    return _mean(values)


def _count(texts: Sequence[Words], n: int) -> int:
    return sum(max(len(text) - n + 1, 0) for text in texts)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
