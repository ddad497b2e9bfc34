"""`oracle`: inputs at exactly the asked posterior, the upper bound of what a generator could do."""

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
    """Asks the data set itself for inputs, and labels them by the true posterior.

    `relabel` is "draw" (a label drawn from P(y|x): one annotator of a population that is right
    about everything that can be known) or "argmax" (the most probable class: an annotator who
    hides the doubt, as an LLM at temperature 0 does). `candidates` is how many inputs each
    request gets: an unlikely label needs several until one draw brings it.
    """

    candidates: Annotated[int, Field(ge=1, le=1000)] = 5
    relabel_by: Literal["draw", "argmax"] = "draw"
    needs = frozenset({"sampling"})

    def prepare(self, task: GenerationTask) -> None:
        """Keep the data set's loader, and nothing of the training split."""
        self._task = task

    def generate(self, requests: Sequence[GenerationRequest]) -> list[GenerationResult]:
        """Sample at each asked posterior; the claimed probability is the one achieved."""
        dataset = self._task.dataset
        texts = []
        for request in requests:
            rng = request_rng("oracle", self._task.seed, request)
            asked = np.asarray(request.asked_probabilities, dtype=np.float64)
            texts.append(dataset.sample([asked] * self.candidates, rng))
        everything = [item for group in texts for item in group]
        achieved = self._posterior(everything)
        results = []
        for at, group in enumerate(texts):
            start = at * self.candidates
            claims = achieved[start : start + self.candidates]
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
