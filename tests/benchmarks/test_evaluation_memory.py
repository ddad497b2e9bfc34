"""The memory and the time of an evaluation."""

import tracemalloc

import numpy as np

from fgbench.data import Predictions
from fgbench.inference import applicable, evaluate_metrics
from fgbench.plugins.references import PartReference
from fgbench.plugins.registry import Registry


def predictions(n, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 2)).astype(np.float32)
    labels = (rng.uniform(size=n) < 0.3).astype(np.int64)
    return Predictions(logits, labels)


def built_in_metrics(of):
    registry = Registry.load()
    parts = {
        name: registry.create("metric", PartReference.parse(name))
        for name in registry.names("metric")
    }
    return applicable(parts, of)


def test_million_rows_use_less_than_four_times_their_size():
    many = predictions(1_000_000)
    metrics = built_in_metrics(many)
    evaluate_metrics(predictions(100), metrics, replicates=2)  # imports are no matter of rows
    size = many.logits.nbytes + many.labels.nbytes
    tracemalloc.start()
    try:
        evaluation = evaluate_metrics(many, metrics, replicates=3)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(evaluation.values) == len(metrics)
    print(f"peak {peak / 1e6:.1f} MB for {size / 1e6:.1f} MB of predictions")
    assert peak < 4 * size


def test_thousand_replicates_of_every_metric_time(benchmark):
    metrics = built_in_metrics(predictions(10))
    benchmark.pedantic(
        lambda of: evaluate_metrics(of, metrics),
        setup=lambda: ((predictions(1000, 1),), {}),
        rounds=5,
        warmup_rounds=1,  # which draws the replicates
    )
