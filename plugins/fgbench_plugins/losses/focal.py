"""Losses that weight the cross-entropy of a row by its error: focal, dual focal, BSCE-GRA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from fgbench import Loss

if TYPE_CHECKING:
    from fgbench import LossBatch

Exponent = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Focal(Loss):
    """−(1 − p_y)^γ log p_y (Lin et al. 2017); γ = 3 as in Mukhoti et al. 2020 for calibration."""

    gamma: Exponent = 3.0
    needs = frozenset({"gradient"})

    def __call__(self, logits: Any, batch: LossBatch) -> Any:
        """Return the mean over the rows."""
        log_p, log_p_y = _log_probabilities(logits, batch)
        return -_power(_one_minus(log_p, batch), self.gamma, log_p_y).mean()


class DualFocal(Loss):
    """−(1 − p_y + p_j)^γ log p_y (Tao et al. 2023, arXiv 2305.13665).

    p_j is the largest probability strictly below p_y, or 0 if there is none, and is part of the
    gradient. The loss is therefore discontinuous where p_y becomes the largest probability: with
    two classes, by a factor of 2^γ at p_y = ½.

    The authors choose γ per data set and network, from 2.3 to 6.1 (table in the README of their
    repository); the default here, 5, is their value for ResNet-50 on CIFAR-10 and CIFAR-100.
    """

    gamma: Exponent = 5.0
    needs = frozenset({"gradient"})

    def __call__(self, logits: Any, batch: LossBatch) -> Any:
        """Return the mean over the rows."""
        log_p, log_p_y = _log_probabilities(logits, batch)
        below = log_p.masked_fill(log_p >= log_p_y[:, None], float("-inf"))
        p_j = below.amax(dim=1).exp()
        return -_power(_one_minus(log_p, batch) + p_j, self.gamma, log_p_y).mean()


class BsceGra(Loss):
    """‖onehot − p‖₂^γ · (−log p_y), with a constant weight (Lin et al. 2025, arXiv 2503.22725).

    The weight has no gradient. With two classes it is 2^{γ/2}(1 − p_y)^γ: a focal loss with a
    constant weight, up to scale.
    """

    gamma: Exponent = 1.0
    needs = frozenset({"gradient"})

    def __call__(self, logits: Any, batch: LossBatch) -> Any:
        """Return the mean over the rows."""
        from torch.nn.functional import one_hot

        log_p, log_p_y = _log_probabilities(logits, batch)
        error = one_hot(batch.labels, log_p.shape[1]) - log_p.detach().exp()
        return -(error.norm(dim=1) ** self.gamma * log_p_y).mean()


def _log_probabilities(logits: Any, batch: LossBatch) -> tuple[Any, Any]:
    """Return log p (b, K) and log p_y (b,)."""
    log_p = logits.log_softmax(dim=1)
    return log_p, log_p.gather(1, batch.labels[:, None])[:, 0]


def _one_minus(log_p: Any, batch: LossBatch) -> Any:
    """Return 1 − p_y as the sum of the other probabilities, exact even if p_y is nearly 1."""
    others = log_p.exp().scatter(1, batch.labels[:, None], 0.0)
    return others.sum(dim=1)


def _power(weight: Any, gamma: float, log_p_y: Any) -> Any:
    """Return weight^γ · log p_y; clamped, as for γ < 1 the derivative at weight 0 is infinite."""
    return weight.clamp_min(1e-30) ** gamma * log_p_y
