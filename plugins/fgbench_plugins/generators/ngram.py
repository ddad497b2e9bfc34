"""`ngram`: rewrites the source text with class-conditional n-gram models; needs no network.

The embedded default for any text. From the source, spans are resampled by the trigram model of a
class, chosen at random so that the text moves towards the asked class probability as a reference
model sees it; of all versions the nearest ones are the candidates. Language models and reference
model are fitted on the training split, and on nothing else. What such a text is worth depends on
how good that reference is: see docs/generators.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

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
)
from fgbench_plugins.generators.drawing import draw_label, request_rng
from fgbench_plugins.generators.language_model import (
    TrigramModel,
    Uniforms,
    detokenize,
    resample_span,
    tokenize,
    write_freely,
)
from fgbench_plugins.generators.reference import ReferenceModel

_LONGEST_SPAN = 6
_FREE_LENGTH = 25
_TRIES = 6


class NgramGenerator(Generator):
    """Anchored, steered n-gram texts.

    `candidates` texts are returned for each request, out of `proposals` versions in each of
    `rounds` rounds; the first round starts from the source, of which about the part `keep` stays,
    later ones from the best version so far. `relabel_by` is the reference model's "argmax", or a
    "draw" from its probabilities.
    """

    candidates: Annotated[int, Field(ge=1, le=100)] = 3
    proposals: Annotated[int, Field(ge=1, le=1000)] = 6
    rounds: Annotated[int, Field(ge=1, le=100)] = 3
    keep: Annotated[float, Field(ge=0, le=1)] = 0.6
    relabel_by: Literal["argmax", "draw"] = "argmax"
    needs = frozenset({"text"})

    def prepare(self, task: GenerationTask) -> None:
        """Fit the language models and the reference model on the training split."""
        self._task = task
        texts = [tokenize(text) for text in task.training.inputs]
        labels = np.asarray(task.training.labels)
        self._reference = ReferenceModel(texts, labels, task.n_classes)
        everything = TrigramModel(texts) if len(np.unique(labels)) < task.n_classes else None
        self._models = []
        for label in range(task.n_classes):
            own = [texts[row] for row in np.flatnonzero(labels == label)]
            model = TrigramModel(own) if own else everything
            assert model is not None  # some class is missing exactly if `everything` was built
            self._models.append(model)

    def generate(self, requests: Sequence[GenerationRequest]) -> list[GenerationResult]:
        """Answer all requests, round by round; the answer to each depends on it and the seed."""
        searches = [
            _Search(request, self, request_rng("ngram", self._task.seed, request))
            for request in requests
        ]
        sources = self._reference.probabilities([search.source for search in searches])
        for search, probabilities in zip(searches, sources, strict=True):
            search.start(probabilities)
        for turn in range(self.rounds):
            proposals = [search.propose(first=turn == 0) for search in searches]
            flat = [tokens for group in proposals for tokens in group]
            scored = self._reference.probabilities(flat)
            for at, (search, group) in enumerate(zip(searches, proposals, strict=True)):
                search.score(group, scored[at * self.proposals : (at + 1) * self.proposals])
        return [search.result() for search in searches]

    def relabel(self, requests: Sequence[RelabelRequest]) -> list[Relabeling]:
        """Label each text by the reference model."""
        rows = self._reference.probabilities([tokenize(str(item.input)) for item in requests])
        return [
            Relabeling(
                label=draw_label(self.relabel_by, "ngram", self._task.seed, item, row),
                probabilities=tuple(row),
            )
            for item, row in zip(requests, rows.tolist(), strict=True)
        ]

    @property
    def models(self) -> Sequence[TrigramModel]:
        """The trigram model of each class."""
        return self._models


class _Search:
    """The versions of one source."""

    def __init__(
        self, request: GenerationRequest, generator: NgramGenerator, rng: np.random.Generator
    ) -> None:
        self.source = tokenize(str(request.source))
        self._generator = generator
        self._asked = np.asarray(request.asked_probabilities, dtype=np.float64)
        self._uniform = Uniforms(rng)
        self._found: dict[str, tuple[float, tuple[float, ...]]] = {}

    def start(self, probabilities: np.ndarray) -> None:
        """Take the source, with its reference probabilities (K,), as what to improve."""
        self._best, self._best_probabilities = self.source, probabilities
        self._best_distance = np.inf

    def propose(self, *, first: bool) -> list[list[str]]:
        """Return new versions of the best text."""
        # Steer: a class that the best text has too little of is used the more.
        pull = 2 * self._asked - self._best_probabilities
        weights = np.clip(pull, 0.02, None).tolist()
        return [self._version(weights, first=first) for _ in range(self._generator.proposals)]

    def score(self, proposals: Sequence[list[str]], probabilities: np.ndarray) -> None:
        """Remember the versions and how far each is from what was asked."""
        distances = np.abs(probabilities - self._asked).max(axis=1).tolist()
        for tokens, row, distance in zip(proposals, probabilities.tolist(), distances, strict=True):
            text = detokenize(tokens)
            if not text:
                continue
            self._found[text] = (distance, tuple(row))
            if distance < self._best_distance:
                self._best, self._best_distance = tokens, distance
                self._best_probabilities = np.asarray(row)

    def result(self) -> GenerationResult:
        """Return the versions that came nearest."""
        original = detokenize(self.source)
        ranked = sorted(
            (distance, text, row)
            for text, (distance, row) in self._found.items()
            if text != original
        )[: self._generator.candidates]
        found = [Candidate(input=text, claimed_probabilities=row) for _, text, row in ranked]
        if not found:
            found = [Candidate(input=None, rejection="no version differs from the source")]
        return GenerationResult(candidates=found, usage=Usage(requests=1))

    def _version(self, weights: Sequence[float], *, first: bool) -> list[str]:
        tokens = list(self._best)
        uniform = self._uniform
        if not tokens:
            return write_freely(_FREE_LENGTH, self._model(weights), uniform)
        budget = (1 - self._generator.keep) * len(tokens) if first else 1.0
        while budget > 0 and tokens:
            start = uniform.below(len(tokens))
            stop = min(len(tokens), start + 1 + uniform.below(_LONGEST_SPAN))
            budget -= stop - start
            for _ in range(_TRIES):
                rewritten = resample_span(tokens, start, stop, self._model(weights), uniform)
                if rewritten is not None:
                    tokens = rewritten
                    break
        return tokens

    def _model(self, weights: Sequence[float]) -> TrigramModel:
        return self._generator.models[self._uniform.choose(weights)]
