"""A generative grammar of help-desk messages whose posterior P(y|x) is computed exactly.

A message is drawn in two independent halves. The *evidence*: the class y is drawn uniformly; each
slot is used with a probability of its own, whatever y; a used slot gets the phrase v with
probability P(v|slot, y) ∝ exp(unit · score[v, y] / ambiguity). The *rest* — which sentence a phrase
stands in, openings, remarks, names, places — is drawn without looking at y. So, with V(x) the
phrases of x,

    P(y|x) = Π_{v ∈ V(x)} P(v|y) / Σ_k Π_{v ∈ V(x)} P(v|k),

since every other factor of P(x|y) is the same for all classes. `parse` reads V(x) from any text:
for texts of the grammar that is the set of phrases that they were written with, because no phrase
contains another or can arise from the rest; for other texts the formula is the definition.
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
"""Log-odds of one letter of leaning at ambiguity 1."""
NUANCE = 0.45
"""Largest offset of a phrase's score from the number of letters of its leaning."""
USED = {"symptom": 1.0, "detail": 0.5, "cause": 0.45, "tried": 0.4, "guess": 0.3, "request": 0.5}
"""Slot → the probability that a message has it; their order is that of a message's sentences."""
REMARK = 0.3
"""Probability of a remark after each of the message's sentences."""

_TOKEN = re.compile(r"\w+(?:'\w+)*|[^\w\s]")
_FRAME_PARTS = Formatter()


class Phrase(NamedTuple):
    """An evidence phrase: its text, and its score for each of the classes (K,)."""

    text: str
    scores: tuple[float, ...]


class HelpDeskGrammar:
    """The grammar for the first `classes` classes.

    A phrase that leans to none of them, but to another, is left out of the grammar. `ambiguity`
    divides all scores: the larger it is, the nearer are all posteriors to 1/K.
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
        """Return a message with this evidence, (slots,) phrase indices; all else is drawn."""
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

        The text is cut into words and punctuation marks, without regard to case, white space or
        the kind of apostrophe; from left to right, the longest phrase that starts at a word is
        taken, and the search goes on behind it. Punctuation within a phrase breaks it. A phrase
        counts once, however often it stands there.
        """
        tokens = tokenize(text)
        found = set()
        position = 0
        while position < len(tokens):
            for phrase, key in self._index.get(tokens[position], ()):
                if tuple(tokens[position : position + len(phrase)]) == phrase:
                    found.add(key)
                    position += len(phrase)
                    break
            else:
                position += 1
        return frozenset(found)

    def posterior(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return P(y|x), (n, K), of n texts of any kind; without evidence it is the prior, 1/K."""
        total = np.zeros((len(texts), self.classes))
        for row, text in enumerate(texts):
            for slot, index in sorted(self.parse(text)):
                total[row] += self.log_likelihoods[slot][index]
        result: NDArray[np.float64] = softmax(total, axis=1)
        return result

    @cached_property
    def _index(self) -> dict[str, list[tuple[tuple[str, ...], tuple[str, int]]]]:
        """First word → the phrases that start with it, the longest first."""
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
        leaning, text = line.split(maxsplit=1)
        if leaning == "-" or set(leaning) & set(letters):
            scores = (leaning.count(letter) + _nuance(text, letter) for letter in letters)
            phrases.append(Phrase(text, tuple(scores)))
    return tuple(phrases)


def _nuance(text: str, letter: str) -> float:
    """Return a phrase's own offset: with whole numbers alone, posteriors would lie on a lattice."""
    return NUANCE * (seed_for("help desk", text, letter) / 2**62 - 1)


def _pick(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(rng.random() * len(choices))]


def _fill(frame: str, rng: np.random.Generator, evidence: str = "") -> str:
    """Fill the fields of a frame and capitalise its first letter."""
    parts = []
    for literal, field, _, _ in _FRAME_PARTS.parse(frame):
        parts.append(literal)
        if field is not None:
            parts.append(evidence if field == "evidence" else _pick(FILLERS[field], rng))
    sentence = "".join(parts)
    return sentence[:1].upper() + sentence[1:]
