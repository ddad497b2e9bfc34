"""`oracle`: inputs at exactly the requested posterior, an upper bound for all generators."""

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


class Oracle(Generator):
    """Samples inputs from the data set and labels them by the true posterior.

    `relabel_by="draw"` draws a label from P(y|x), like a perfectly informed annotator;
    `relabel_by="argmax"` takes the most probable class, which hides the uncertainty, as an LLM at
    temperature 0 does. Each request gets `candidates` inputs, because an unlikely label needs
    several draws.
    """

    candidates: Annotated[int, Field(ge=1, le=1000)] = 5
    relabel_by: Literal["draw", "argmax"] = "draw"
    needs = frozenset({"sampling"})

    def prepare(self, task: GenerationTask) -> None:
        """Keep the loader of the data set; the training split is not used."""
        self._task = task

    def generate(self, requests: Sequence[GenerationRequest]) -> list[GenerationResult]:
        """Sample at each requested posterior; the claimed probability is the exact posterior."""
        dataset = self._task.dataset
        texts = []
        for request in requests:
            rng = request_rng("oracle", self._task.seed, request)
            requested = np.asarray(request.asked_probabilities, dtype=np.float64)
            texts.append(dataset.sample([requested] * self.candidates, rng))
        inputs = [item for group in texts for item in group]
        posterior = self._posterior(inputs)
        results = []
        for index, group in enumerate(texts):
            start = index * self.candidates
            claims = posterior[start : start + self.candidates]
            results.append(
                GenerationResult(
                    candidates=[
                        Candidate(input=item, claimed_probabilities=tuple(claim))
                        for item, claim in zip(group, claims, strict=True)
                    ],
                    usage=Usage(requests=1),
                )
            )
        return results

    def relabel(self, requests: Sequence[RelabelRequest]) -> list[Relabeling]:
        """Label by the true posterior."""
        posterior = self._posterior([item.input for item in requests])
        return [
            Relabeling(
                label=draw_label(self.relabel_by, "oracle", self._task.seed, item, row),
                probabilities=tuple(row),
            )
            for item, row in zip(requests, posterior, strict=True)
        ]

    def _posterior(self, inputs: Sequence[object]) -> list[list[float]]:
        if not inputs:
            return []
        values = list(inputs) if isinstance(inputs[0], str) else np.array(inputs, dtype=np.float64)
        result: list[list[float]] = self._task.dataset.posterior(values).tolist()  # type: ignore[arg-type]
        return result
