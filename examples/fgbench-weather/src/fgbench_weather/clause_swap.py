"""Generator for any data set of texts: swaps clauses between texts of different classes."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from fgbench import (
    Candidate,
    GenerationRequest,
    GenerationResult,
    GenerationTask,
    Generator,
    Relabeling,
    RelabelRequest,
    Usage,
    seed_for,
)

_END_OF_CLAUSE = re.compile(r"(?<=[,;:.!?])\s+")
_WORD = re.compile(r"\w+")


class ClauseSwap(Generator):
    """Builds texts from clauses of training texts, mixed in the requested proportion.

    One clause of the source is kept. Each other clause is replaced: a class is drawn from the
    requested probabilities, and a clause of a training text of that class is inserted. Of
    `proposals` such texts, the generator returns the one whose probability, by a naive Bayes model
    of the training words, is closest to the requested one. The same model relabels, by a draw from
    its probabilities.
    """

    proposals: Annotated[int, Field(ge=1, le=200)] = 8
    needs = frozenset({"text"})

    def prepare(self, task: GenerationTask) -> None:
        """Collect the clauses and count the words of each class, in the training split only."""
        self._seed = task.seed
        texts = [[] for _ in task.label_names]
        for text, label in zip(task.training.inputs, task.training.labels, strict=True):
            texts[label].append(text)
        self._clauses = [[clause for text in group for clause in clauses(text)] for group in texts]
        self._words = NaiveBayes(texts)

    def generate(self, requests: Sequence[GenerationRequest]) -> list[GenerationResult]:
        return [self._answer(request) for request in requests]

    def relabel(self, requests: Sequence[RelabelRequest]) -> list[Relabeling]:
        answers = []
        for request in requests:
            origin = [request.input, request.request.source_id, request.request.draw]
            rng = np.random.default_rng(seed_for("clause-swap", "relabel", self._seed, origin))
            probabilities = self._words.probabilities(request.input)
            label = int(rng.choice(len(probabilities), p=probabilities))
            answers.append(Relabeling(label, probabilities=probabilities))
        return answers

    def _answer(self, request: GenerationRequest) -> GenerationResult:
        # The random stream depends only on the request, not on other requests or their order.
        about = [request.source, request.asked_probabilities, request.source_id, request.draw]
        rng = np.random.default_rng(seed_for("clause-swap", "generate", self._seed, about))
        asked = np.array(request.asked_probabilities) / sum(request.asked_probabilities)
        texts = [self._swap(request.source, asked, rng) for _ in range(self.proposals)]
        claims = [self._words.probabilities(text) for text in texts]
        best = int(np.argmin([np.abs(np.subtract(claim, asked)).sum() for claim in claims]))
        candidate = Candidate(texts[best], claimed_probabilities=claims[best])
        return GenerationResult([candidate], usage=Usage(requests=1))

    def _swap(self, source: str, asked: np.ndarray, rng: np.random.Generator) -> str:
        """Return `source` with all clauses but one replaced, by classes drawn from `asked`."""
        parts = clauses(source)
        stays = rng.integers(len(parts))
        for at in range(len(parts)):
            pool = self._clauses[rng.choice(len(asked), p=asked)]
            if at != stays and pool:
                parts[at] = _in_the_place_of(parts[at], pool[rng.integers(len(pool))])
        return " ".join(parts)


class NaiveBayes:
    """P(class | words of a text), with add-one smoothing; a word counts once per text."""

    def __init__(self, texts: Sequence[Sequence[str]]) -> None:
        """Count the words of the texts of each class."""
        total = sum(len(group) for group in texts)
        self._prior = [math.log((len(group) + 1) / (total + len(texts))) for group in texts]
        self._sizes = [len(group) for group in texts]
        self._counts = [Counter(word for text in group for word in words(text)) for group in texts]

    def probabilities(self, text: str) -> tuple[float, ...]:
        """Return one probability per class; words that are in no training text are ignored.

        The words of a clause are dependent, so the evidence of a clause is averaged, not summed.
        """
        scores = list(self._prior)
        for clause in clauses(text):
            known = sorted(word for word in words(clause) if any(c[word] for c in self._counts))
            for k, (counts, size) in enumerate(zip(self._counts, self._sizes, strict=True)):
                evidence = [math.log((counts[word] + 1) / (size + 2)) for word in known]
                scores[k] += sum(evidence) / max(1, len(evidence))
        top = max(scores)
        odds = [math.exp(score - top) for score in scores]
        return tuple(value / sum(odds) for value in odds)


def clauses(text: str) -> list[str]:
    """Return the clauses of a text with their punctuation; a single clause is split in half."""
    parts = _END_OF_CLAUSE.split(text.strip())
    if len(parts) > 1:
        return parts
    tokens = text.split()
    middle = len(tokens) // 2
    return [" ".join(half) for half in (tokens[:middle], tokens[middle:]) if half] or [text]


def words(text: str) -> set[str]:
    """Return the set of words of a text."""
    return set(_WORD.findall(text.lower()))


def _in_the_place_of(old: str, new: str) -> str:
    """Return `new` with the capitalization and the punctuation of `old`."""
    mark = old[-1] if old[-1:] in tuple(",;:.!?") else ""
    new = new.rstrip(",;:.!?")
    first = new[:1].upper() if old[:1].isupper() else new[:1].lower()
    return first + new[1:] + mark
