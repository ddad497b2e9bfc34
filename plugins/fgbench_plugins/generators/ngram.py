"""`ngram`: rewrites the source text with class-conditional n-gram models; needs no network.

The embedded default for texts. Spans of the source are resampled from the trigram models of the
classes, drawn at random so that the text moves toward the requested class probabilities, as a
reference model estimates them. The versions that come nearest are the candidates. All models are
fitted on the training split alone. The quality of the texts depends on the reference model; see
docs/generators.md.
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
    Span,
    TrigramModel,
    detokenize,
    tokenize,
    uniforms,
    weighted_choice,
    write_freely,
)
from fgbench_plugins.generators.reference import ReferenceModel

_LONGEST_SPAN = 6
_FREE_LENGTH = 25
_TRIES = 6


class NgramGenerator(Generator):
    """N-gram texts that start from the source and are steered to the requested probabilities.

    Each request gets `candidates` texts, the best of `proposals` versions in each of `rounds`
    rounds. The first round starts from the source and keeps about the fraction `keep` of it; later
    rounds start from the best version so far. `relabel_by` is the reference model's "argmax", or a
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
        # A class without training texts is written by a model of all texts.
        fallback = TrigramModel(texts) if len(np.unique(labels)) < task.n_classes else None
        self._models = []
        for label in range(task.n_classes):
            corpus = [texts[row] for row in np.flatnonzero(labels == label)]
            model = TrigramModel(corpus) if corpus else fallback
            assert model is not None  # a class is missing exactly if there is a fallback
            self._models.append(model)

    def generate(self, requests: Sequence[GenerationRequest]) -> list[GenerationResult]:
        """Return candidates for all requests; each depends on the request and the seed alone."""
        searches = [
            _Search(request, self, request_rng("ngram", self._task.seed, request))
            for request in requests
        ]
        sources = self._reference.probabilities([search.source for search in searches])
        for search, probabilities in zip(searches, sources, strict=True):
            search.start(probabilities)
        for round_ in range(self.rounds):
            proposals = [search.propose(first=round_ == 0) for search in searches]
            flat = [tokens for group in proposals for tokens in group]
            scored = self._reference.probabilities(flat)
            for index, (search, group) in enumerate(zip(searches, proposals, strict=True)):
                first = index * self.proposals
                search.score(group, scored[first : first + self.proposals])
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
    """The search for versions of one source near the requested probabilities."""

    def __init__(
        self, request: GenerationRequest, generator: NgramGenerator, rng: np.random.Generator
    ) -> None:
        self.source = tokenize(str(request.source))
        self._generator = generator
        self._asked = np.asarray(request.asked_probabilities, dtype=np.float64)
        self._uniform = uniforms(rng)
        self._versions: dict[str, tuple[float, tuple[float, ...]]] = {}

    def start(self, probabilities: np.ndarray) -> None:
        """Start from the source, which has the reference probabilities (K,)."""
        self._best, self._best_probabilities = self.source, probabilities
        self._best_distance = np.inf

    def propose(self, *, first: bool) -> list[list[str]]:
        """Return new versions of the best text."""
        # Steering: classes whose probability is still too low get a higher weight.
        pull = 2 * self._asked - self._best_probabilities
        weights = np.clip(pull, 0.02, None).tolist()
        return [self._version(weights, first=first) for _ in range(self._generator.proposals)]

    def score(self, proposals: Sequence[list[str]], probabilities: np.ndarray) -> None:
        """Record the versions and their distance from the requested probabilities."""
        distances = np.abs(probabilities - self._asked).max(axis=1).tolist()
        for tokens, row, distance in zip(proposals, probabilities.tolist(), distances, strict=True):
            text = detokenize(tokens)
            if not text:
                continue
            self._versions[text] = (distance, tuple(row))
            if distance < self._best_distance:
                self._best, self._best_distance = tokens, distance
                self._best_probabilities = np.asarray(row)

    def result(self) -> GenerationResult:
        """Return the nearest versions."""
        original = detokenize(self.source)
        ranked = sorted(
            (distance, text, row)
            for text, (distance, row) in self._versions.items()
            if text != original
        )[: self._generator.candidates]
        candidates = [Candidate(input=text, claimed_probabilities=row) for _, text, row in ranked]
        if not candidates:
            candidates = [Candidate(input=None, rejection="no version differs from the source")]
        return GenerationResult(candidates=candidates, usage=Usage(requests=1))

    def _version(self, weights: Sequence[float], *, first: bool) -> list[str]:
        tokens = list(self._best)
        uniform, models, total = self._uniform, self._generator.models, sum(weights)
        if not tokens:
            model = models[weighted_choice(weights, total, uniform)]
            return write_freely(_FREE_LENGTH, model, uniform)
        budget = (1 - self._generator.keep) * len(tokens) if first else 1.0
        while budget > 0 and tokens:
            start = int(uniform() * len(tokens))
            stop = min(len(tokens), start + 1 + int(uniform() * _LONGEST_SPAN))
            budget -= stop - start
            span = Span(tokens, start, stop)
            for _ in range(_TRIES):
                rewritten = span.resample(models[weighted_choice(weights, total, uniform)], uniform)
                if rewritten is not None:
                    tokens = rewritten
                    break
        return tokens
