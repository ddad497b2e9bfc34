"""Mixup of the penultimate features (Zhang et al. 2018; Verma et al. 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from fgbench import Loss

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from fgbench import LossBatch


class Mixup(Loss):
    """λ·CE(y) + (1 − λ)·CE(y') of the features λ·h + (1 − λ)·h', λ ~ Beta(α, α).

    h' and y' are the rows of the batch in another order; λ is drawn once per batch, as in Zhang
    et al. Pooled embeddings are mixed because texts cannot be.
    """

    alpha: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.2
    needs = frozenset({"gradient"})

    def __call__(self, logits: Any, batch: LossBatch) -> Any:
        """Return the cross-entropy of unmixed rows."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(logits, batch.labels)

    def of_features(
        self,
        features: Any,
        head: Callable[[Any], Any],
        batch: LossBatch,
        rng: np.random.Generator,
    ) -> Any:
        """Mix the rows with a permutation of them and return the mixed cross-entropy."""
        import torch

        share = float(rng.beta(self.alpha, self.alpha))
        order = torch.from_numpy(rng.permutation(len(features))).to(features.device)
        logits = head(share * features + (1 - share) * features[order])
        other = batch._replace(labels=batch.labels[order])
        return share * self(logits, batch) + (1 - share) * self(logits, other)
