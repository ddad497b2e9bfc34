"""A generative grammar of help-desk messages with an exact posterior P(y|x).

A message is drawn in two independent parts. The *evidence*: the class y is drawn uniformly; each
slot is used with a fixed probability, independent of y; a used slot gets the phrase v with
probability P(v|slot, y) ∝ exp(unit · score[v, y] / ambiguity). The *rest* (the sentence around a
phrase, openings, remarks, names, places) is drawn independently of y. With V(x) the phrases of x,
therefore

    P(y|x) = Π_{v ∈ V(x)} P(v|y) / Σ_k Π_{v ∈ V(x)} P(v|k),

because all other factors of P(x|y) are the same for all classes. `parse` extracts V(x) from any
text. For texts of the grammar, these are the phrases that the text was written with, because no
phrase contains another or can arise from the rest; for other texts the formula is a definition.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from string import Formatter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import softmax

from fgbench import seed_for
from fgbench_plugins.datasets.help_desk_frames import (
    CLOSINGS,
    FILLERS,
    FRAMES,
    OPENINGS,
    REMARKS,
)
from fgbench_plugins.datasets.help_desk_phrases import SLOTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLASS_LETTERS = "anhb"
UNIT = 0.7
"""Log-odds of one unit of score at ambiguity 1."""
NUANCE = 0.45
"""Maximum offset of the score of a phrase from its integer score."""
USED = {"symptom": 1.0, "detail": 0.5, "cause": 0.45, "tried": 0.4, "guess": 0.3, "request": 0.5}
"""Slot → the probability that a message uses it, in the order of the sentences of a message."""
REMARK = 0.3
"""Probability of a remark after each sentence of a message."""

_TOKEN = re.compile(r"\w+(?:'\w+)*|[^\w\s]")
_FRAME_PARTS = Formatter()


class Phrase(NamedTuple):
    """An evidence phrase: its text, and its score for each class (K,)."""

    text: str
    scores: tuple[float, ...]


class HelpDeskGrammar:
    """The grammar for the first `classes` classes.

    A phrase that scores only for other classes is not part of the grammar. `ambiguity` divides all
    scores: the larger it is, the closer all posteriors are to 1/K.
    """

    def __init__(self, classes: int, ambiguity: float) -> None:
        letters = CLASS_LETTERS[:classes]
        self.classes = classes
        self.phrases = {slot: _phrases(SLOTS[slot], letters) for slot in USED}
        self.log_likelihoods: dict[str, NDArray[np.float64]] = {
            slot: np.log(
                softmax(UNIT * np.array([phrase.scores for phrase in phrases]) / ambiguity, axis=0)
            )
            for slot, phrases in self.phrases.items()
        }
        """Slot → log P(phrase|slot, y), (phrases, K)."""

    def draw(self, n: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the evidence of n messages, (n, slots) phrase indices with −1 for an unused slot,
        and their classes (n,), drawn from the joint distribution."""
        labels = rng.integers(self.classes, size=n)
        evidence = np.full((n, len(USED)), -1, dtype=np.int64)
        for column, (slot, used) in enumerate(USED.items()):
            cumulative = np.cumsum(np.exp(self.log_likelihoods[slot]), axis=0)[:, labels]
            drawn = (rng.random(n) > cumulative[:-1]).sum(axis=0)
            evidence[:, column] = np.where(rng.random(n) < used, drawn, -1)
        return evidence, labels

    def evidence_posterior(self, evidence: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return P(y|evidence), (n, K), of evidence (n, slots) as `draw` returns it."""
        total = np.zeros((len(evidence), self.classes))
        for column, slot in enumerate(USED):
            padded = np.vstack([self.log_likelihoods[slot], np.zeros(self.classes)])
            total += padded[evidence[:, column]]
        result: NDArray[np.float64] = softmax(total, axis=1)
        return result

    def write(self, evidence: Sequence[int], rng: np.random.Generator) -> str:
        """Return a message with this evidence, (slots,) phrase indices; the rest is drawn."""
        sentences = [_fill(_pick(OPENINGS, rng), rng)]
        for (slot, phrases), index in zip(self.phrases.items(), evidence, strict=True):
            if index >= 0:
                sentences.append(_fill(_pick(FRAMES[slot], rng), rng, phrases[int(index)].text))
                if rng.random() < REMARK:
                    sentences.append(_fill(_pick(REMARKS, rng), rng))
        sentences.append(_fill(_pick(CLOSINGS, rng), rng))
        return " ".join(sentence for sentence in sentences if sentence)

    def parse(self, text: str) -> frozenset[tuple[str, int]]:
        """Return the evidence in any text: its distinct phrases, as (slot, phrase index).

        The text is split into words and punctuation marks, ignoring case, whitespace and the kind
        of apostrophe. From left to right, the longest phrase that starts at a word is taken, and
        the search continues after it. Punctuation inside of a phrase prevents a match. A phrase
        counts once, no matter how often it occurs.
        """
        tokens = tokenize(text)
        evidence = set()
        position = 0
        while position < len(tokens):
            for phrase, key in self._index.get(tokens[position], ()):
                if tuple(tokens[position : position + len(phrase)]) == phrase:
                    evidence.add(key)
                    position += len(phrase)
                    break
            else:
                position += 1
        return frozenset(evidence)

    def posterior(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return P(y|x), (n, K), of n arbitrary texts; without evidence it is the prior, 1/K."""
        total = np.zeros((len(texts), self.classes))
        for row, text in enumerate(texts):
            for slot, index in sorted(self.parse(text)):
                total[row] += self.log_likelihoods[slot][index]
        result: NDArray[np.float64] = softmax(total, axis=1)
        return result

    @cached_property
    def _index(self) -> dict[str, list[tuple[tuple[str, ...], tuple[str, int]]]]:
        """First word → the phrases that start with it, longest first."""
        index: dict[str, list[tuple[tuple[str, ...], tuple[str, int]]]] = {}
        for slot, phrases in self.phrases.items():
            for number, phrase in enumerate(phrases):
                words = tuple(tokenize(phrase.text))
                index.setdefault(words[0], []).append((words, (slot, number)))
        for entries in index.values():
            entries.sort(key=lambda entry: -len(entry[0]))
        return index


def tokenize(text: str) -> list[str]:
    """Return the words and punctuation marks of a text, case-folded."""
    return _TOKEN.findall(text.replace("’", "'").casefold())


def _phrases(lines: str, letters: str) -> tuple[Phrase, ...]:
    phrases = []
    for line in lines.strip().splitlines():
        units, text = line.split(maxsplit=1)
        if units == "-" or set(units) & set(letters):
            scores = (units.count(letter) + _nuance(text, letter) for letter in letters)
            phrases.append(Phrase(text, tuple(scores)))
    return tuple(phrases)


def _nuance(text: str, letter: str) -> float:
    """Return the offset of a phrase, without which the posteriors would lie on a lattice."""
    return NUANCE * (seed_for("help desk", text, letter) / 2**62 - 1)


def _pick(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(rng.random() * len(choices))]


def _fill(frame: str, rng: np.random.Generator, evidence: str = "") -> str:
    """Fill the fields of a frame and capitalize its first letter."""
    parts = []
    for literal, field, _, _ in _FRAME_PARTS.parse(frame):
        parts.append(literal)
        if field is not None:
            parts.append(evidence if field == "evidence" else _pick(FILLERS[field], rng))
    sentence = "".join(parts)
    return sentence[:1].upper() + sentence[1:]
