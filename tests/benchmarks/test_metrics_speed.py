"""Metrics beside bare numpy, torchmetrics, netcal and relplot, in one run.

`extra_info` holds what a row is to be compared with; a peer that is not installed is skipped.
"""

import numpy as np
import pytest

from fgbench.calibration import (
    applicable,
    ece,
    evaluate_metrics,
    smooth_ece,
)
from fgbench.calibration.grid import measure
from fgbench.data import Predictions
from fgbench.plugins.references import PartReference
from fgbench.plugins.registry import Registry

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


@pytest.mark.benchmark(group="ece, a million binary predictions")
class TestBinaryEce:
    def test_fgbench(self, benchmark):
        p, y = binary(MILLION)
        found = benchmark(ece, p, y)
        assert found == pytest.approx(bincount_ece(p, y), abs=1e-9)

    def test_bare_bincount(self, benchmark):
        benchmark(bincount_ece, *binary(MILLION))

    def test_torchmetrics(self, benchmark):
        functional = pytest.importorskip("torchmetrics.functional.classification")
        torch = pytest.importorskip("torch")
        torch.set_num_threads(1)
        p, y = binary(MILLION)
        scores, labels = torch.from_numpy(p.astype(np.float32)), torch.from_numpy(y)
        benchmark(
            functional.binary_calibration_error, scores, labels, n_bins=15, validate_args=False
        )

    def test_netcal(self, benchmark):
        metrics = pytest.importorskip("netcal.metrics")
        p, y = binary(MILLION)
        benchmark.pedantic(metrics.ECE(15).measure, (p, y), rounds=3)


@pytest.mark.benchmark(group="top-label ece, a million predictions of ten classes")
class TestTenClasses:
    @pytest.fixture
    def rows(self):
        rng = np.random.default_rng(0)
        p = rng.dirichlet(np.ones(10), size=MILLION)
        return p, rng.integers(0, 10, size=MILLION)

    def test_fgbench(self, benchmark, rows):
        p, y = rows

        benchmark(ece, p, y)

    def test_argmax_alone(self, benchmark, rows):
        benchmark(rows[0].argmax, axis=1)


@pytest.mark.benchmark(group="smooth ece, a million binary predictions")
class TestSmoothEce:
    def test_fgbench(self, benchmark):
        benchmark.pedantic(smooth_ece, binary(MILLION), rounds=3, warmup_rounds=1)

    def test_relplot(self, benchmark):
        relplot = pytest.importorskip("relplot")
        p, y = binary(MILLION)
        found = benchmark.pedantic(relplot.smECE, (p, y), rounds=3, warmup_rounds=1)
        assert smooth_ece(p, y) == pytest.approx(found, abs=3e-4)


@pytest.mark.benchmark(group="all metrics of 100,000 × 2 predictions")
class TestBootstrap:
    @pytest.fixture
    def metrics(self):
        registry = Registry.load()
        parts = {
            name: registry.create("metric", PartReference.parse(name))
            for name in registry.names("metric")
        }
        return applicable(parts, as_predictions(*binary(10)))

    def test_once(self, benchmark, metrics):
        benchmark.pedantic(
            lambda predictions: evaluate_metrics(predictions, metrics, replicates=0),
            setup=lambda: ((as_predictions(*binary(100_000)),), {}),
            rounds=15,
            warmup_rounds=1,
        )

    def test_a_thousand_replicates(self, benchmark, metrics):
        benchmark.pedantic(
            lambda predictions: evaluate_metrics(predictions, metrics, replicates=1000),
            setup=lambda: ((as_predictions(*binary(100_000)),), {}),
            rounds=1,
        )


@pytest.mark.benchmark(group="the whole grid of 100,000 predictions")
@pytest.mark.parametrize("classes", [2, 10])
def test_grid(benchmark, classes):
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(100_000, classes)).astype(np.float32)
    labels = rng.integers(0, classes, size=100_000)
    benchmark.pedantic(
        measure, setup=lambda: ((Predictions(logits, labels),), {}), rounds=5, warmup_rounds=1
    )


@pytest.mark.benchmark(group="linear in the rows")
@pytest.mark.parametrize("n", [1_000_000, 10_000_000])
def test_rows(benchmark, n):
    predictions = as_predictions(*binary(n))
    registry = Registry.load()
    names = ("accuracy", "brier", "nll", "ece", "ece_mass", "smooth_ece", "auroc")
    metrics = {name: registry.create("metric", PartReference.parse(name)) for name in names}
    benchmark.pedantic(evaluate_metrics, (predictions, metrics), {"replicates": 0}, rounds=1)
