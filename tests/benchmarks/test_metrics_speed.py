"""CPU time of metrics, compared with bare NumPy and other packages in the same run.

Both sides of a comparison take turns, so that other load matters little, and the shortest times
count. docs/benchmarks.md has the measured ratios. Peers that are not installed are skipped.
"""

import numpy as np
import pytest

from fgbench.calibration import ece, smooth_ece
from fgbench.calibration.grid import measure
from fgbench.data import Predictions
from fgbench.inference import applicable, evaluate_metrics
from fgbench.plugins.references import PartReference
from fgbench.plugins.registry import Registry
from support.cpu_time import compare_times

pytestmark = pytest.mark.slow
MILLION = 1_000_000


def binary(n, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.beta(0.8, 0.8, size=n)
    return p, (rng.random(n) < p).astype(np.int64)


def as_predictions(p, y):
    z = np.log(p) - np.log1p(-p)
    return Predictions(np.stack([np.zeros(len(z)), z], axis=1).astype(np.float32), y)


def bincount_ece(p, y, bins=15):
    index = np.minimum((p * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(index, y - p, minlength=bins)
    return np.abs(gaps).sum() / len(p)


@pytest.fixture(scope="module")
def metrics():
    registry = Registry.load()
    parts = {
        name: registry.create("metric", PartReference.parse(name))
        for name in registry.names("metric")
    }
    return applicable(parts, as_predictions(*binary(10)))


class TestBinaryEce:
    """`ece` of a million binary predictions."""

    def test_at_most_1_3_times_bare_bincount(self):
        p, y = binary(MILLION)
        assert ece(p, y) == pytest.approx(bincount_ece(p, y), abs=1e-9)
        ours, bare = compare_times(lambda: ece(p, y), lambda: bincount_ece(p, y))
        assert ours <= 1.3 * bare

    def test_torchmetrics_takes_at_least_4_times_as_long(self):
        functional = pytest.importorskip("torchmetrics.functional.classification")
        torch = pytest.importorskip("torch")
        torch.set_num_threads(1)
        p, y = binary(MILLION)
        scores, labels = torch.from_numpy(p.astype(np.float32)), torch.from_numpy(y)

        def peer():
            return functional.binary_calibration_error(
                scores, labels, n_bins=15, validate_args=False
            )

        ours, theirs = compare_times(lambda: ece(p, y), peer)
        assert theirs >= 4 * ours

    def test_netcal_takes_at_least_15_times_as_long(self):
        netcal = pytest.importorskip("netcal.metrics")
        p, y = binary(MILLION)
        ours, theirs = compare_times(lambda: ece(p, y), lambda: netcal.ECE(15).measure(p, y))
        assert theirs >= 15 * ours


def test_top_label_ece_takes_at_most_half_as_long_again_as_argmax():
    """A million predictions of ten classes."""
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(10), size=MILLION)
    y = rng.integers(0, 10, size=MILLION)
    ours, argmax = compare_times(lambda: ece(p, y), lambda: p.argmax(axis=1))
    assert ours <= 1.5 * argmax


class TestSmoothEce:
    """`smooth_ece` of a million binary predictions."""

    def test_at_most_half_the_time_of_a_sort(self):
        p, y = binary(MILLION)
        ours, sorting = compare_times(lambda: smooth_ece(p, y), lambda: np.argsort(p))
        assert ours <= sorting / 2

    def test_relplot_takes_at_least_5_times_as_long(self):
        relplot = pytest.importorskip("relplot")
        p, y = binary(MILLION)
        assert smooth_ece(p, y) == pytest.approx(relplot.smECE(p, y), abs=3e-4)
        ours, theirs = compare_times(lambda: smooth_ece(p, y), lambda: relplot.smECE(p, y), turns=3)
        assert theirs >= 5 * ours


def test_thousand_replicates_take_at_most_60_evaluations(metrics):
    """All metrics of 100,000 × 2 predictions; 200 replicates are measured."""
    p, y = binary(100_000)

    def evaluation(replicates):
        evaluate_metrics(as_predictions(p, y), metrics, replicates=replicates)

    evaluation(200)  # caches the counts of the bootstrap
    once, bootstrap = compare_times(lambda: evaluation(0), lambda: evaluation(200), turns=3)
    assert 5 * (bootstrap - once) <= 60 * once


@pytest.mark.parametrize(("classes", "sorts"), [(2, 15), (10, 60)])
def test_measurement_grid_takes_few_sorts(classes, sorts):
    """The grid of Tao et al. 2024, of 100,000 predictions; it sorts each class once."""
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(100_000, classes)).astype(np.float32)
    labels = rng.integers(0, classes, size=100_000)
    p = rng.random(100_000)
    grid, sorting = compare_times(
        lambda: measure(Predictions(logits, labels)), lambda: np.argsort(p, kind="stable")
    )
    assert grid <= sorts * sorting


def test_time_is_linear_in_rows(metrics):
    """Seven metrics, once, of a million and of ten million predictions."""
    names = ("accuracy", "brier", "nll", "ece", "ece_mass", "smooth_ece", "auroc")
    chosen = {name: metrics[name] for name in names}
    small, large = (as_predictions(*binary(n)) for n in (MILLION, 10 * MILLION))
    one, ten = compare_times(
        lambda: evaluate_metrics(small, chosen, replicates=0),
        lambda: evaluate_metrics(large, chosen, replicates=0),
        turns=2,
    )
    assert ten <= 13 * one
