"""Calibrators of the optional package probmetrics (Berta, Holzmüller and others)."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Literal

import numpy as np

from fgbench import Calibrator, Predictions
from fgbench_plugins.calibrators.one_vs_rest import require_labeled

for _package in ("probmetrics", "numba"):  # probmetrics 1.3.0 imports numba without declaring it
    if find_spec(_package) is None:
        raise ModuleNotFoundError(f"No module named {_package!r}", name=_package)

_MIN_PROBABILITY = 1e-6


class Probmetrics(Calibrator):
    """Structured scaling (Berta et al. 2026, arXiv 2511.03685) by probmetrics.

    `sms` is matrix scaling and `svs` vector scaling, both after temperature scaling. The ridge
    penalties are fixed, 1·K/n on intercepts and diagonal and K(K − 1)/n off the diagonal, instead
    of searched. Probabilities below 1e−6 become 1e−6.
    """

    method: Literal["sms", "svs"] = "sms"

    def fit(self, held_out: Predictions) -> None:
        """Fit the calibrator of probmetrics; `DataError` without two held-out classes."""
        from probmetrics.calibrators import get_calibrator

        require_labeled("probmetrics", held_out, classes=2)
        self._calibrator: Any = get_calibrator(self.method)
        self._calibrator.fit(held_out.probabilities(), held_out.labels)

    def transform(self, predictions: Predictions) -> Predictions:
        """Return the logarithms of the calibrated probabilities as logits."""
        probabilities = np.asarray(self._calibrator.predict_proba(predictions.probabilities()))
        return predictions.with_logits(np.log(np.maximum(probabilities, _MIN_PROBABILITY)))
