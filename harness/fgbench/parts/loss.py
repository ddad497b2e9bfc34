"""Interface of training losses."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from fgbench.parts.base import Part

if TYPE_CHECKING:
    import numpy as np

Tensor: TypeAlias = Any
"""A tensor of the framework that the classifier uses; torch for the built-in classifiers."""


class LossBatch(NamedTuple):
    """The b rows of a batch, without their logits; all tensors are on one device."""

    labels: Tensor
    """int64 (b,): the hard labels."""
    soft_labels: Tensor
    """float32 (b, K): requested probabilities of synthetic rows, one-hot labels of real rows."""
    synthetic: Tensor
    """bool (b,): whether a row was generated."""


class Loss(Part, ABC):
    """The objective that a classifier minimizes.

    `needs` must have "gradient" if the classifier has to differentiate the loss. A loss without it
    is the one that every probabilistic classifier minimizes anyway, and is never called.
    """

    kind = "loss"

    @property
    def is_neutral(self) -> bool:
        """Whether it is the loss that every probabilistic classifier minimizes by itself."""
        return "gradient" not in self.needs

    def __call__(self, logits: Tensor, batch: LossBatch) -> Tensor:
        """Return the mean loss of a batch, a differentiable scalar, from float32 logits (b, K)."""
        raise TypeError(f"{type(self).__name__} has no value; classifiers minimize it natively.")

    def of_features(
        self,
        features: Tensor,
        head: Callable[[Tensor], Tensor],
        batch: LossBatch,
        rng: np.random.Generator,
    ) -> Tensor:
        """Return the mean loss from penultimate features (b, d), which `head` maps to logits.

        Classifiers call this method. Override it for a loss that acts on the features, such as
        mixup; `rng` is the source of all randomness.
        """
        return self(head(features), batch)
