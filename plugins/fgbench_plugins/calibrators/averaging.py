"""The mean of several predictions of the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MIN_PROBABILITY = 1e-30


def log_mean_probabilities(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the log of the mean softmax over the first axis of (s, n, K), at least log 1e−30."""
    from scipy.special import softmax

    mean = softmax(np.asarray(logits, dtype=np.float64), axis=2).mean(axis=0)
    return np.log(np.maximum(mean, _MIN_PROBABILITY))
