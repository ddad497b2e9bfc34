"""Cross-entropy of real rows with labels, of synthetic rows with requested probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from fgbench import Loss

if TYPE_CHECKING:
    from fgbench import LossBatch


class SoftLabel(Loss):
    """Cross-entropy on real rows; on synthetic rows, a distance to the requested probabilities q.

    `distance` is "cross-entropy", −Σ_k q_k log p_k, or "l2", ‖p − q‖² as in CSM (arXiv 2504.13548).
    The mean is over all rows of a batch, so real and synthetic rows have equal weight.
    """

    distance: Literal["cross-entropy", "l2"] = "cross-entropy"
    needs = frozenset({"gradient"})

    def __call__(self, logits: Any, batch: LossBatch) -> Any:
        """Return the mean over the rows."""
        from torch.nn.functional import cross_entropy

        real = cross_entropy(logits, batch.labels, reduction="none")
        if self.distance == "l2":
            synthetic = (logits.softmax(dim=1) - batch.soft_labels).square().sum(dim=1)
        else:
            synthetic = cross_entropy(logits, batch.soft_labels, reduction="none")
        return real.where(~batch.synthetic, synthetic).mean()
