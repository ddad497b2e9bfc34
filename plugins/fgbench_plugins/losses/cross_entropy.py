"""Cross-entropy, the loss of maximum likelihood."""

from __future__ import annotations

from fgbench import Loss


class CrossEntropy(Loss):
    """−log p_y: what every probabilistic classifier minimises by itself, so it needs nothing."""
