"""Cross-entropy, the loss of maximum likelihood, and its label-smoothed form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from fgbench import Loss

if TYPE_CHECKING:
    from fgbench import LossBatch


class CrossEntropy(Loss):
    """−log p_y, which every probabilistic classifier minimizes by default, so it needs nothing."""

    def __call__(self, logits: Any, batch: LossBatch) -> Any:
        """Return the mean of −log p_y."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(logits, batch.labels)


class LabelSmoothing(Loss):
    """Cross-entropy against (1 − ε)·onehot + ε/K (Szegedy et al. 2016, section 7)."""

    epsilon: Annotated[float, Field(ge=0, le=1)] = 0.05
    needs = frozenset({"gradient"})

    def __call__(self, logits: Any, batch: LossBatch) -> Any:
        """Return the mean of −Σ_k q_k log p_k, with q the smoothed label."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(logits, batch.labels, label_smoothing=self.epsilon)
