"""The reliability diagram: one edge convention, checked against a naive search of the bin."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fgbench.calibration.reliability import (
    bin_edges,
    bin_index,
    positive_class,
    reliability_diagram,
    top_label,
)
from fgbench.data import Predictions
from fgbench.errors import DataError

BINS = st.integers(1, 60)


def naive_bin(p, bins):
    """The bin [lo, hi) that holds p, the last one closed, found by looking at each."""
    edges = np.linspace(0.0, 1.0, bins + 1)
    for m in range(bins):
        if edges[m] <= p < edges[m + 1] or (m == bins - 1 and p == edges[-1]):
            return m
    raise AssertionError(p)


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=40), BINS)
def test_each_probability_is_in_the_bin_whose_edges_enclose_it(p, bins):
    assert bin_index(p, bins).tolist() == [naive_bin(each, bins) for each in p]


@given(BINS, st.integers(0, 60), st.sampled_from([-1, 0, 1]))
def test_edge_belongs_to_upper_bin(bins, edge, step):
    value = bin_edges(bins)[edge % (bins + 1)]
    if step:
        value = np.nextafter(value, np.inf * step)
    value = min(1.0, max(0.0, value))
    assert bin_index([value], bins)[0] == naive_bin(value, bins)


def test_zero_one_and_edges_are_binned():
    for bins in (1, 10, 15, 20):
        edges = bin_edges(bins)
        assert bin_index([0.0, 1.0], bins).tolist() == [0, bins - 1]
        assert bin_index(edges[:-1], bins).tolist() == list(range(bins))


def test_rounding_does_not_move_probabilities_across_edges():
    # 0.29 * 100 == 28.999999999999996, but 0.29 is not below the edge 0.29.
    assert bin_index([0.29], 100)[0] == naive_bin(0.29, 100)
    for k in range(101):
        assert bin_index([k / 100], 100)[0] == naive_bin(k / 100, 100)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf")])
def test_invalid_probability_error_names_position(value):
    with pytest.raises(DataError, match="position 1"):
        bin_index([0.5, value], 10)


def test_diagram_by_hand():
    diagram = reliability_diagram([0.1, 0.3, 0.6, 0.6, 1.0], [0, 1, 1, 0, 1], 2)
    assert diagram.counts.tolist() == [2, 3]
    np.testing.assert_allclose(diagram.mean_confidence, [0.2, 2.2 / 3])
    np.testing.assert_allclose(diagram.mean_outcome, [0.5, 2 / 3])
    np.testing.assert_allclose(diagram.gaps, [0.3, -0.2 / 3])
    assert diagram.expected_calibration_error == pytest.approx(0.4 * 0.3 + 0.6 * 0.2 / 3)


def test_empty_bin_is_nan_and_does_not_count():
    diagram = reliability_diagram([0.9, 0.9], [1, 1], 10)
    assert np.isnan(diagram.gaps[:9]).all()
    assert diagram.expected_calibration_error == pytest.approx(0.1)


def test_top_label_takes_first_of_ties_and_handles_extreme_logits():
    predictions = Predictions([[0.0, 0.0], [1000.0, -1000.0], [-np.inf, 3.0]], [0, 1, 1])
    confidence, correct = top_label(predictions)
    np.testing.assert_allclose(confidence, [0.5, 1.0, 1.0])
    assert correct.tolist() == [True, False, True]


def test_positive_class_is_class_one():
    p, y = positive_class(Predictions(np.log([[0.7, 0.3], [0.2, 0.8]]), [0, 1]))
    np.testing.assert_allclose(p, [0.3, 0.8], rtol=1e-6)
    assert y.tolist() == [False, True]
    with pytest.raises(DataError, match="two classes"):
        positive_class(Predictions(np.zeros((1, 3)), [0]))
