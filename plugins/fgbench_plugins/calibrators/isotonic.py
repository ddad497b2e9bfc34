"""Isotonic regression (Zadrozny and Elkan 2002), by scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fgbench_plugins.calibrators.one_vs_rest import OneVsRest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fgbench_plugins.calibrators.one_vs_rest import Map, Scores


class Isotonic(OneVsRest):
    """The nondecreasing map from scores to probabilities with the smallest squared error.

    Scores outside of the held-out range get the value at its end. Values of 0 and 1 become 1e−6 and
    1 − 1e−6. More than two classes: one-vs-rest, normalized.
    """

    def fit_map(self, scores: Scores, positive: NDArray[np.bool_]) -> Map:
        """Fit the map by pool adjacent violators."""
        from sklearn.isotonic import IsotonicRegression

        model = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        model.fit(scores, positive.astype(np.float64))
        return lambda values: np.asarray(model.predict(values), dtype=np.float64)
