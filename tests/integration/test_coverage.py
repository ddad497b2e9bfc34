"""Coverage of intervals and false positives of paired tests, by simulation."""

import numpy as np
import pytest

from fgbench.data import Predictions
from fgbench.inference import compare, evaluate_metrics, summarize
from fgbench.plugins.references import PartReference
from fgbench.plugins.registry import Registry

pytestmark = pytest.mark.slow

REGISTRY = Registry.load()
NAMES = ("accuracy", "nll", "brier", "ece", "ece_positive", "ece_mass")
METRICS = {name: REGISTRY.create("metric", PartReference.parse(name)) for name in NAMES}
SIMULATIONS, REPLICATES, N = 300, 200, 300


def logits(z):
    return np.stack([np.zeros(len(z)), z], axis=1).astype(np.float32)


def draw(rng, n, slope):
    """Return predictions whose true P(y=1) is sigmoid(slope · logit)."""
    z = 2 * rng.normal(size=n)
    return Predictions(logits(z), (rng.random(n) < 1 / (1 + np.exp(-slope * z))).astype(np.int64))


@pytest.fixture(scope="module", params=[1.0, 0.6], ids=["calibrated", "overconfident"])
def coverage(request):
    """Return how many intervals hold the value of a large sample, by metric."""
    slope = request.param
    many = draw(np.random.default_rng(99), 250_000, slope)
    truth = evaluate_metrics(many, METRICS, replicates=0).values
    held = dict.fromkeys(NAMES, 0)
    for simulation in range(SIMULATIONS):
        few = draw(np.random.default_rng(simulation), N, slope)
        found = summarize([evaluate_metrics(few, METRICS, replicates=REPLICATES)])
        for name in NAMES:
            low, high = found[name].ci95
            held[name] += low <= truth[name] <= high
    return {name: count / SIMULATIONS for name, count in held.items()}


@pytest.mark.parametrize("name", ["accuracy", "nll", "brier"])
def test_mean_metric_interval_coverage(coverage, name):
    assert 0.92 <= coverage[name] <= 0.98  # 95 % and two and a half standard errors


@pytest.mark.parametrize("name", ["ece", "ece_positive", "ece_mass"])
def test_binned_error_interval_coverage(coverage, name):
    assert coverage[name] >= 0.93


@pytest.fixture(scope="module")
def alarms():
    """Return how often two classifiers that differ by noise alone are told apart, by metric."""
    alarms = dict.fromkeys(NAMES, 0)
    for simulation in range(SIMULATIONS):
        rng = np.random.default_rng(simulation)
        x = 2 * rng.normal(size=N)
        y = (rng.random(N) < 1 / (1 + np.exp(-0.7 * x))).astype(np.int64)
        both = [
            evaluate_metrics(
                Predictions(logits(x + 0.7 * rng.normal(size=N)), y), METRICS, replicates=REPLICATES
            )
            for _ in range(2)
        ]
        for name, found in compare(both[:1], both[1:]).items():
            alarms[name] += found.p_value < 0.05
    return {name: count / SIMULATIONS for name, count in alarms.items()}


@pytest.mark.parametrize("name", NAMES)
def test_paired_test_false_positive_rate(alarms, name):
    assert alarms[name] <= 0.06
