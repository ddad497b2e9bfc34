"""False positives, power, coverage and rank intervals over the whole grid: docs/metrics.md.

FGBENCH_DRAWS sets the draws per cell (1,000). Each test prints a table.
"""

import os

import numpy as np
import pytest

from fgbench.data import Predictions
from fgbench.inference import applicable, evaluate_metrics, holm, summarize
from fgbench.plan.resolve import all_metrics
from fgbench.plugins.registry import Registry
from support import simulated

pytestmark = pytest.mark.slow

DRAWS = int(os.environ.get("FGBENCH_DRAWS", "1000"))
SIZES, SEEDS = (80, 345, 2000), (3, 5, 10)


def test_false_positives_and_power():
    """Both nulls × S × n × seed variance × metric, next to a paired t-test over seeds."""
    rates, power, paired, worst = [], [], [], []
    print("\nnull | S | n | rejected (mean, largest) | paired t | power, paired t's")
    for null in simulated.NULLS:
        for seeds in SEEDS:
            for n in SIZES:
                cells = [
                    found
                    for level in simulated.LEVELS
                    for found in simulated.differences(null, n, seeds, level, DRAWS).values()
                ]
                rejected = [cell.rejected() for cell in cells]
                naive = [cell.rejected_by_seeds() for cell in cells]
                able = [cell.rejected(2.0) for cell in cells]
                able_paired = [cell.rejected_by_seeds(2.0) for cell in cells]
                print(
                    f"{null} | {seeds} | {n} | {np.mean(rejected):.3f}, {max(rejected):.3f} | "
                    f"{np.mean(naive):.3f}, {max(naive):.3f} | {np.mean(able):.2f}, "
                    f"{np.mean(able_paired):.2f}",
                    flush=True,
                )
                rates += rejected
                worst.append(max(rejected))
                power += able
                paired += able_paired
    print(f"all: {np.mean(rates):.4f}, largest {max(rates):.3f}")
    assert np.mean(rates) <= 0.055
    assert max(rates) <= 0.07


def test_families_of_equal_arms():
    """Boards of 12 equal arms; the primary family is ECE of one arm against four controls."""
    for seeds in SEEDS:
        for n in (345, 2000):
            marked = sum(_marks(np.random.default_rng([b, seeds, n]), seeds, n) for b in range(300))
            print(f"S={seeds} n={n}: {marked / 300:.3f} of boards have a mark", flush=True)
            assert marked / 300 <= 0.06 + 2 * np.sqrt(0.05 * 0.95 / 300)


def _marks(rng, seeds, n):
    from fgbench.inference import contrast

    u, v, y = simulated.world(rng, n)
    weights = simulated.draw_weights(np.random.default_rng(1), n, 150)
    p = np.concatenate(
        [simulated.models(rng, u, v, seeds, (0.75, 0.75), "medium") for _ in range(12)]
    )
    sums = simulated.ece_sums(p, y)
    values = np.abs(sums.sum(axis=0).reshape(12 * seeds, -1)).sum(axis=1).reshape(12, seeds) / n
    resampled = simulated.ece(weights, sums, 12 * seeds).reshape(12, seeds, -1)
    family = [
        contrast(values[0], values[k], resampled[0], resampled[k], units=n) for k in range(1, 5)
    ]
    return min(holm([item.p_value for item in family])) < 0.05


def draw(rng, n, classes, slope, shift):
    """Return predictions whose true posterior is softmax(slope · logits + shift of class 0)."""
    z = 1.5 * rng.normal(size=(n, classes))
    true = slope * z
    true[:, 0] += shift
    posterior = np.exp(true - true.max(axis=1, keepdims=True))
    posterior /= posterior.sum(axis=1, keepdims=True)
    labels = (posterior.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return Predictions(z.astype(np.float32), np.minimum(labels, classes - 1))


TRUTHS = {"calibrated": (1.0, 0.0), "overconfident": (0.6, 0.0), "shifted": (1.0, 0.7)}


@pytest.mark.parametrize("classes", [2, 5, 20])
def test_coverage(classes):
    """Every printed interval: calibrated, overconfident and shifted, one seed."""
    draws, outside = min(DRAWS, 400), []
    everything = {resolved.label: metric for resolved, metric in all_metrics(Registry.load())}
    for truth, (slope, shift) in TRUTHS.items():
        many = draw(np.random.default_rng(99), 250_000, classes, slope, shift)
        metrics = {
            name: metric
            for name, metric in applicable(everything, many).items()
            if metric.has_interval or metric.gaps(many) is not None
        }
        target = evaluate_metrics(many, metrics, replicates=0).values
        for n in SIZES:
            held = {name: [] for name in metrics}
            for number in range(draws if n < 2000 else draws // 2):
                few = draw(np.random.default_rng([number, n]), n, classes, slope, shift)
                for name, record in summarize(
                    [evaluate_metrics(few, metrics, replicates=150)]
                ).items():
                    if record.ci95 is None:
                        continue
                    low, high = record.ci95
                    outside.append(not low <= record.estimate <= high)
                    held[name].append(low <= target[name] <= high)
            rates = {name: np.mean(values) for name, values in held.items() if values}
            text = ", ".join(f"{name} {rate:.3f}" for name, rate in rates.items())
            print(f"K={classes} {truth} n={n}: {text}", flush=True)
            assert min(rates.values()) >= 0.90
    assert not any(outside)


def test_rank_intervals():
    """Eight entries of ECE .04 to .11: mean length, and share that holds the rank."""
    for seeds in SEEDS:
        for n in (345, 2000):
            weights = simulated.draw_weights(np.random.default_rng(1), n, 200)
            held, lengths = [], []
            for number in range(100):
                rng = np.random.default_rng([number, seeds, n])
                best, worst = simulated.ranks(rng, n, seeds, weights).T
                held.append((best <= np.arange(1, 9)) & (np.arange(1, 9) <= worst))
                lengths.append(worst - best + 1)
            print(f"S={seeds} n={n}: length {np.mean(lengths):.2f}, holds {np.mean(held):.3f}")
            assert np.mean(held) >= 0.95
