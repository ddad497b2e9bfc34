"""False positives and coverage of inference, by simulation with seeds that differ.

Larger simulations are in tests/benchmarks/test_inference_simulation.py; docs/metrics.md has their
results.
"""

import numpy as np
import pytest

from fgbench.calibration import ece as exact_ece
from fgbench.data import Predictions
from fgbench.inference import evaluate_metrics, summarize
from fgbench.plugins.references import PartReference
from fgbench.plugins.registry import Registry
from support import simulated

pytestmark = pytest.mark.slow

REGISTRY = Registry.load()
NAMES = ("accuracy", "macro_f1", "auroc", "aurc", "nll", "brier", "ece", "ece_positive")
METRICS = {name: REGISTRY.create("metric", PartReference.parse(name)) for name in NAMES}
DRAWS = 200


def test_fast_ece_is_ece():
    rng = np.random.default_rng(0)
    u, v, y = simulated.world(rng, 200)
    p = simulated.models(rng, u, v, 3, (1.0, 0.5), "high")
    (found,) = simulated.ece(np.ones((1, 200), np.float32), simulated.ece_sums(p, y), 3).T
    expected = [exact_ece(np.stack([1 - row, row], axis=1), y) for row in p]
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.fixture(scope="module")
def false_positives():
    """The share of p < .05, by null, seeds, rows, seed variance and metric."""
    return {
        (null, seeds, n, level, name): found.rejected()
        for null in simulated.NULLS
        for seeds in (3, 5)
        for n in (80, 345)
        for level in simulated.LEVELS
        for name, found in simulated.differences(null, n, seeds, level, DRAWS).items()
    }


def test_false_positive_rate_on_average(false_positives):
    assert np.mean(list(false_positives.values())) <= 0.055


@pytest.mark.parametrize("axis", range(5))
def test_false_positive_rate_of_each_value_of_each_axis(false_positives, axis):
    for value in {key[axis] for key in false_positives}:
        rates = [rate for key, rate in false_positives.items() if key[axis] == value]
        assert np.mean(rates) <= 0.065, value


def test_false_positive_rate_of_each_cell(false_positives):
    assert max(false_positives.values()) <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / DRAWS)


def test_paired_t_test_over_seeds_is_not_enough():
    """The simulation can fail: a paired t-test calls methods different that are equal."""
    found = simulated.differences("different methods", 345, 5, "low", 50)
    assert min(item.rejected_by_seeds() for item in found.values()) > 0.2


def draw(rng, n, slope):
    """Return predictions whose true P(y=1) is σ(slope · logit)."""
    z = 2 * rng.normal(size=n)
    logits = np.stack([np.zeros(n), z], axis=1).astype(np.float32)
    return Predictions(logits, (rng.random(n) < 1 / (1 + np.exp(-slope * z))).astype(np.int64))


@pytest.fixture(scope="module", params=[1.0, 0.6], ids=["calibrated", "overconfident"])
def covered(request):
    """Whether each interval holds the value of a large sample, by metric; (draws,)."""
    many = draw(np.random.default_rng(99), 250_000, request.param)
    truth = evaluate_metrics(many, METRICS, replicates=0).values
    held = {name: [] for name in NAMES}
    for simulation in range(250):
        few = draw(np.random.default_rng([simulation, 7]), 200, request.param)
        for name, record in summarize([evaluate_metrics(few, METRICS, replicates=150)]).items():
            low, high = record.ci95
            assert low <= record.estimate <= high
            held[name].append(low <= truth[name] <= high)
    return held


@pytest.mark.parametrize("name", NAMES)
def test_interval_coverage(covered, name):
    assert 0.91 <= np.mean(covered[name]) <= 0.985  # .95 and two and a half standard errors


def test_chance_limit_is_exceeded_by_one_in_twenty():
    above = 0
    for simulation in range(400):
        few = draw(np.random.default_rng([simulation, 8]), 200, 1.0)
        found = evaluate_metrics(few, {"ece": METRICS["ece"]}, replicates=0)
        above += found.values["ece"] > found.corrected["ece"].chance_limit
    assert 0.02 <= above / 400 <= 0.08


def test_rank_intervals_hold_the_rank_and_tell_entries_apart():
    """Eight methods of ECE .04 to .11 on 2,000 rows, three seeds each."""
    weights = simulated.draw_weights(np.random.default_rng(1), 2000, 200)
    held, lengths = [], []
    for simulation in range(20):
        found = simulated.ranks(np.random.default_rng([simulation, 9]), 2000, 3, weights)
        best, worst = found.T
        held.append((best <= np.arange(1, 9)) & (np.arange(1, 9) <= worst))
        lengths.append(worst - best + 1)
    assert np.mean(held) >= 0.95
    assert np.mean(lengths) <= 3.5
