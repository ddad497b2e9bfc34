"""Platt scaling (Platt 1999), scikit-learn's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fgbench_plugins.calibrators.one_vs_rest import OneVsRest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fgbench_plugins.calibrators.one_vs_rest import Map, Scores


class Platt(OneVsRest):
    """P(k) = 1/(1 + exp(a·s + b)) of the log-odds s of class k, with Platt's smoothed targets.

    More than two classes: one against the rest, divided by the sum.
    """

    def fit_map(self, scores: Scores, positive: NDArray[np.bool_]) -> Map:
        """Fit a and b by maximum likelihood."""
        from sklearn.base import BaseEstimator, ClassifierMixin
        from sklearn.calibration import CalibratedClassifierCV
        from sklearn.frozen import FrozenEstimator

        class Given(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
            """A classifier whose decision function is its only feature."""

            classes_ = np.array([False, True])

            def decision_function(self, column: Any) -> Any:
                return np.asarray(column)[:, 0]

            def fit(self, column: Any, labels: Any) -> Any:
                return self

            def predict(self, column: Any) -> Any:
                return self.decision_function(column) > 0

            def __sklearn_is_fitted__(self) -> bool:
                return True

        model = CalibratedClassifierCV(FrozenEstimator(Given()), method="sigmoid", ensemble=False)
        model.fit(scores[:, None], positive)
        return lambda values: model.predict_proba(values[:, None])[:, 1]
