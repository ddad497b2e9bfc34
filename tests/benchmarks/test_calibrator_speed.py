"""How long calibrators take, beside scikit-learn's on the same predictions in the same run."""

import time

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from fgbench_plugins.calibrators.temperature import Temperature
from support.calibrators import overconfident


class GivenLogits(ClassifierMixin, BaseEstimator):
    """A classifier whose decision values are its inputs."""

    def fit(self, inputs, labels):
        self.classes_ = np.unique(labels)
        return self

    def predict(self, inputs):
        return inputs.argmax(axis=1)

    def decision_function(self, inputs):
        return inputs


def best_of(turns, *functions):
    """Return the shortest time of each function; they take turns, so that both meet the same."""
    times = np.full((turns, len(functions)), np.inf)
    for turn in range(turns):
        for at, function in enumerate(functions):
            start = time.perf_counter()
            function()
            times[turn, at] = time.perf_counter() - start
    return times.min(axis=0)


def test_temperature_is_as_fast_as_scikit_learn(record_property):
    held_out = overconfident(100_000, 10, 3.0)
    logits = held_out.logits.astype(np.float64)
    given = FrozenEstimator(GivenLogits().fit(logits, held_out.labels))
    ours = Temperature()
    theirs = CalibratedClassifierCV(given, method="temperature", ensemble=False)
    mine, other = best_of(
        5, lambda: ours.fit(held_out), lambda: theirs.fit(logits, held_out.labels)
    )
    record_property("ratio", other / mine)
    print(f"temperature, 10⁵ × 10: {1e3 * mine:.1f} ms, scikit-learn {1e3 * other:.1f} ms")
    beta = theirs.calibrated_classifiers_[0].calibrators[0].beta_
    assert ours.temperature_ == pytest.approx(1 / beta, abs=1e-5)
    assert mine <= other
