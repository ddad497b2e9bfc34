"""`truncated-normal`: FITG's toy generator for numeric inputs (section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field
from scipy.special import log_ndtr, ndtri_exp

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


class TruncatedNormal(Generator):
    """Draws each feature from a left-truncated normal with the bin's mean and standard deviation.

    One input is generated per point of a bin (μ = μ_bin, SD = SD_bin, n = |bin|). FITG specifies
    neither the truncation point nor the labeling. Here no value is below the minimum of the bin,
    and a logistic regression fitted on the training split labels, by a "draw" from its
    probabilities or by "argmax", which never yields the rarer label of a bin, so that it is in
    short supply. The requested probability is ignored. `candidates` inputs are drawn per request,
    because a rare label needs several draws.
    """

    candidates: Annotated[int, Field(ge=1, le=1000)] = 5
    relabel_by: Literal["draw", "argmax"] = "draw"
    needs = frozenset({"numeric"})

    def prepare(self, task: GenerationTask) -> None:
        """Fit the labeling model on the training split."""
        from sklearn.linear_model import LogisticRegression as Model
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        self._task = task
        self._model = make_pipeline(StandardScaler(), Model(max_iter=1000))
        self._model.fit(task.training.inputs, task.training.labels)

    def generate(self, requests: Sequence[GenerationRequest]) -> list[GenerationResult]:
        """Draw from the bin of each request; a bin without inputs is replaced by the source."""
        results = []
        for request in requests:
            rng = request_rng("truncated-normal", self._task.seed, request)
            drawn = draw_left_truncated(
                np.asarray(request.bin_inputs or [request.source], dtype=np.float64),
                self.candidates,
                rng,
            )
            claims = self._probabilities(drawn)
            results.append(
                GenerationResult(
                    candidates=[
                        Candidate(input=tuple(row), claimed_probabilities=tuple(claim))
                        for row, claim in zip(drawn.tolist(), claims, strict=True)
                    ],
                    usage=Usage(requests=1),
                )
            )
        return results

    def relabel(self, requests: Sequence[RelabelRequest]) -> list[Relabeling]:
        """Label by the logistic regression."""
        if not requests:
            return []
        inputs = np.asarray([item.input for item in requests], dtype=np.float64)
        return [
            Relabeling(
                label=draw_label(self.relabel_by, "truncated-normal", self._task.seed, item, row),
                probabilities=tuple(row),
            )
            for item, row in zip(requests, self._probabilities(inputs), strict=True)
        ]

    def _probabilities(self, inputs: Any) -> list[list[float]]:
        result = np.zeros((len(inputs), self._task.n_classes))
        result[:, self._model.classes_] = self._model.predict_proba(inputs)
        rows: list[list[float]] = result.tolist()
        return rows


def draw_left_truncated(members: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return (n, d) draws from a normal with the mean and standard deviation of each column of
    `members` (m, d), conditional on not being below the minimum of the column.

    Inverts the logarithm of the upper tail, which is exact for any truncation point.
    """
    mean, deviation, lowest = members.mean(axis=0), members.std(axis=0), members.min(axis=0)
    scale = np.where(deviation > 0, deviation, 1.0)
    log_tail = log_ndtr(-(lowest - mean) / scale)
    log_uniform = np.log1p(-rng.random((n, members.shape[1])))
    drawn = mean - scale * ndtri_exp(log_tail + log_uniform)
    return np.where(deviation > 0, np.maximum(drawn, lowest), mean)
