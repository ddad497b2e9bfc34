"""Training losses: what a loss plugin implements."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from fgbench.parts.base import Part

if TYPE_CHECKING:
    import numpy as np

Tensor: TypeAlias = Any
"""A tensor of the framework that the classifier trains with: for the built-in ones, torch's."""


class LossBatch(NamedTuple):
    """What a loss knows of the b rows of a batch, beside their logits; tensors on one device."""

    labels: Tensor
    """int64 (b,): the hard labels."""
    soft_labels: Tensor
    """float32 (b, K): asked probabilities of synthetic rows, the one-hot label of real ones."""
    synthetic: Tensor
    """bool (b,): which rows were generated."""


class Loss(Part, ABC):
    """What a classifier minimises.

    `needs` has "gradient" for any loss that a classifier must be able to differentiate; without
    it, the loss is the one that every probabilistic classifier minimises by itself, and is never
    called.
    """

    kind = "loss"

    def __call__(self, logits: Tensor, batch: LossBatch) -> Tensor:
        """Return the mean loss of a batch, a differentiable scalar, from float32 logits (b, K)."""
        raise TypeError(f"{type(self).__name__} has no value: a classifier minimises it by itself.")

    def of_features(
        self,
        features: Tensor,
        head: Callable[[Tensor], Tensor],
        batch: LossBatch,
        rng: np.random.Generator,
    ) -> Tensor:
        """Return the mean loss from penultimate features (b, d), which `head` maps to logits.

        This is what a classifier calls. Override it for a loss that acts on the features, as mixup
        does; what is random in it is drawn from `rng`.
        """
        return self(head(features), batch)
