"""Isotonic regression (Zadrozny and Elkan 2002), scikit-learn's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fgbench_plugins.calibrators.one_vs_rest import OneVsRest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fgbench_plugins.calibrators.one_vs_rest import Map, Scores


class Isotonic(OneVsRest):
    """The non-decreasing map from scores to probabilities with the least squared error.

    Scores outside the held-out range get the value of its end. Steps at 0 and 1 become 1e−6 and
    1 − 1e−6. More than two classes: one against the rest, divided by the sum.
    """

    def fit_map(self, scores: Scores, positive: NDArray[np.bool_]) -> Map:
        """Fit the map by pool adjacent violators."""
        from sklearn.isotonic import IsotonicRegression

        model = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        model.fit(scores, positive.astype(np.float64))
        return lambda values: np.asarray(model.predict(values), dtype=np.float64)
