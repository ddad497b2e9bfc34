"""Histogram binning (Zadrozny and Elkan 2001)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from fgbench import DataError, Predictions
from fgbench_plugins.calibrators.one_vs_rest import OneVsRest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fgbench_plugins.calibrators.one_vs_rest import Map, Scores


class HistogramBinning(OneVsRest):
    """The fraction of positive rows among the held-out rows of the same equal-mass bin.

    Equal scores share a bin, so ties lead to fewer and larger bins. Fractions of 0 and 1 become
    1e−6 and 1 − 1e−6. More than two classes: one-vs-rest, normalized.
    """

    bins: Annotated[int, Field(ge=1)] = 15

    def fit(self, held_out: Predictions) -> None:
        """Fit the bins of each class; `DataError` for fewer held-out rows than bins."""
        if 0 < len(held_out) < self.bins:
            raise DataError(
                f"calibrator histogram: {len(held_out)} held-out rows cannot fill {self.bins} "
                "bins; use fewer bins or a larger validation split."
            )
        super().fit(held_out)

    def fit_map(self, scores: Scores, positive: NDArray[np.bool_]) -> Map:
        """Fit a step function with edges at quantiles of the scores."""
        edges = np.unique(np.quantile(scores, np.linspace(0, 1, self.bins + 1)[1:-1]))
        index = np.searchsorted(edges, scores, side="right")
        counts = np.bincount(index, minlength=len(edges) + 1)
        hits = np.bincount(index, weights=positive, minlength=len(edges) + 1)
        filled = np.flatnonzero(counts)
        edges, fractions = edges[filled[1:] - 1], hits[filled] / counts[filled]
        return lambda values: fractions[np.searchsorted(edges, values, side="right")]
