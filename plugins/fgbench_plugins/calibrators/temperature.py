"""Temperature scaling (Guo et al. 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fgbench import Calibrator, Predictions
from fgbench_plugins.calibrators.one_vs_rest import require_labelled

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LOWEST, _HIGHEST = 0.01, 100.0


class Temperature(Calibrator):
    """Divides the logits by the T > 0 that minimises the held-out NLL; keeps the predicted class.

    T is sought within [0.01, 100]: held-out rows that are all right (or no better than chance)
    would send it to 0 (or infinity). The NLL is convex in 1/T, so a minimum within is the one.
    Held-out rows of a single class suffice. scikit-learn's own (`method="temperature"` of its
    `CalibratedClassifierCV`) gives the same T where all classes are held out, and cannot be fitted
    where one is missing, hence this one.
    """

    preserves_accuracy = True

    def fit(self, held_out: Predictions) -> None:
        """Find T, `temperature_`."""
        from scipy.optimize import minimize_scalar
        from scipy.special import logsumexp

        require_labelled("temperature", held_out, classes=1)
        logits = _relative(held_out)
        own = logits[np.arange(len(logits)), held_out.labels]

        def nll(log_temperature: float) -> float:
            inverse = np.exp(-log_temperature)
            return float(np.mean(logsumexp(logits * inverse, axis=1) - own * inverse))

        bounds = (np.log(_LOWEST), np.log(_HIGHEST))
        found: Any = minimize_scalar(nll, bounds=bounds, options={"xatol": 1e-9})
        # The bounded search stops short of its bounds, and where the NLL is flat, T stays 1.
        candidates = [0.0, float(found.x), *bounds]
        self.temperature_ = float(np.exp(min(candidates, key=nll)))

    def transform(self, predictions: Predictions) -> Predictions:
        """Return logits / T, shifted so that the largest is 0."""
        return predictions.with_logits(_relative(predictions) / self.temperature_)


def _relative(predictions: Predictions) -> NDArray[np.float64]:
    """Return the logits less the largest of each row; −∞ becomes −1e6, which stays below all."""
    logits = np.asarray(predictions.logits, dtype=np.float64)
    return np.maximum(logits - logits.max(axis=1, keepdims=True), -1e6)
