"""Reliability diagrams over seeds: their band against scipy's, and its coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from fgbench.calibration import pooled_diagram, reliability_diagram, wilson_interval
from fgbench.errors import DataError


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_matches_scipy(counts):
    k, n = counts
    low, high = wilson_interval(np.array([k / n]), np.array([float(n)]))
    theirs = binomtest(k, n).proportion_ci(method="wilson")
    assert low[0] == pytest.approx(theirs.low, abs=1e-12)
    assert high[0] == pytest.approx(theirs.high, abs=1e-12)


def test_single_seed_pooling_is_plain_diagram_with_wilson_band():
    p = np.array([0.05, 0.15, 0.15, 0.95, 1.0])
    y = np.array([0, 0, 1, 1, 1])
    pooled = pooled_diagram([p], [y], 10, same_points=True)
    plain = reliability_diagram(p, y, 10)
    assert np.array_equal(pooled.diagram.counts, plain.counts)
    assert np.array_equal(pooled.diagram.mean_outcome, plain.mean_outcome, equal_nan=True)
    for m, (k, n) in {0: (0, 1), 1: (1, 2), 9: (2, 2)}.items():
        theirs = binomtest(k, n).proportion_ci(method="wilson")
        assert (pooled.low[m], pooled.high[m]) == pytest.approx((theirs.low, theirs.high))
    assert np.isnan(pooled.low[2])
    assert np.isnan(pooled.high[2])


def test_identical_seeds_do_not_narrow_band():
    rng = np.random.default_rng(3)
    p = rng.uniform(size=200)
    y = rng.uniform(size=200) < p
    one = pooled_diagram([p], [y], 10, same_points=True)
    three = pooled_diagram([p] * 3, [y] * 3, 10, same_points=True)
    assert np.array_equal(three.diagram.counts, 3 * one.diagram.counts)
    assert three.low == pytest.approx(one.low)
    assert three.high == pytest.approx(one.high)
    apart = pooled_diagram([p] * 3, [y] * 3, 10, same_points=False)
    assert (apart.high - apart.low < one.high - one.low).all()


def test_point_in_two_bins_counts_in_both():
    """By hand: bin 0 holds point 0 twice and point 1 once, so that n = 3² / (2² + 1²) = 1.8."""
    first, second = np.array([0.1, 0.2]), np.array([0.3, 0.8])
    y = np.array([1, 0])
    pooled = pooled_diagram([first, second], [y, y], 2, same_points=True)
    assert pooled.diagram.counts.tolist() == [3, 1]
    low, high = wilson_interval(np.array([2 / 3, 0.0]), np.array([1.8, 1.0]))
    assert pooled.low == pytest.approx(low)
    assert pooled.high == pytest.approx(high)


def test_pooled_band_coverage():
    """Three classifiers that see one test set alike: the band of 95 % holds in 93 to 99 %."""
    rng = np.random.default_rng(11)
    held = filled = 0
    for _ in range(400):
        truth = rng.uniform(size=300)
        y = rng.uniform(size=300) < truth
        seeds = [np.clip(truth + rng.normal(scale=0.02, size=300), 0, 1) for _ in range(3)]
        pooled = pooled_diagram(seeds, [y] * 3, 10, same_points=True)
        true = reliability_diagram(np.concatenate(seeds), np.concatenate([truth] * 3), 10)
        there = true.counts > 0
        inside = (pooled.low <= true.mean_outcome) & (true.mean_outcome <= pooled.high)
        held += int(inside[there].sum())
        filled += int(there.sum())
    assert 0.93 <= held / filled <= 0.99


def test_unpoolable_predictions_are_refused():
    with pytest.raises(DataError, match="at least one"):
        pooled_diagram([], [], 10, same_points=False)
    with pytest.raises(DataError, match="different shapes"):
        pooled_diagram([np.zeros(2), np.zeros(3)], [np.zeros(2), np.zeros(3)], 10, same_points=True)
