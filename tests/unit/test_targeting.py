"""Targeting: which bins are miscalibrated, and which probabilities are requested (METHODS §1)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fgbench.data import Predictions
from fgbench.loop.targeting import (
    Targets,
    asked_multiclass,
    asked_probability,
    random_bins,
    target_bins,
)

# FITG footnote 3, worked by hand: (mean probability, gap, asked).
FOOTNOTE = [
    (0.30, +0.10, 0.40),  # low, underconfident: towards the boundary
    (0.45, +0.10, 0.45),  # … and never across it
    (0.40, +0.10, 0.45),  # … the boundary itself included
    (0.30, -0.10, 0.20),  # low, overconfident: away from the boundary
    (0.10, -0.10, 0.05),  # … and never to zero
    (0.70, +0.10, 0.80),  # high, underconfident: away from the boundary
    (0.95, +0.05, 0.95),  # … and never to one
    (0.80, -0.10, 0.70),  # high, overconfident: decrease, as the paper's own prompt code does
    (0.60, -0.10, 0.55),  # … and never across the boundary
    (0.55, -0.30, 0.55),
    (0.50, +0.00, 0.45),  # on the boundary, and at home there: below it all the same
    (0.50, -0.10, 0.40),  # a mean of exactly 0.5 is low
]


def binary(probabilities, labels):
    p = np.asarray(probabilities, dtype=np.float64)
    return Predictions(np.log(np.stack([1 - p, p], axis=1)), np.asarray(labels))


@pytest.mark.parametrize(("confidence", "gap", "asked"), FOOTNOTE)
def test_requested_probability_follows_papers_four_scenarios(confidence, gap, asked):
    assert asked_probability(confidence, gap) == pytest.approx(asked)


@given(st.floats(0.001, 0.999), st.floats(-0.999, 0.999))
def test_requested_probability_stays_on_its_side_of_boundary(confidence, gap):
    asked = asked_probability(confidence, gap)
    assert 0 < asked < 1
    assert (asked < 0.5) == (confidence <= 0.5)


@given(
    st.lists(st.floats(0.01, 1.0), min_size=2, max_size=6).map(
        lambda values: np.array(values) / sum(values)
    ),
    st.floats(-1, 1),
)
def test_multiclass_request_shifts_between_top_two_classes(probabilities, gap):
    order = np.argsort(-probabilities, kind="stable")
    asked = asked_multiclass(probabilities, gap, int(order[0]))
    assert asked.sum() == pytest.approx(1)
    assert (asked >= -1e-12).all()
    assert asked[order[2:]] == pytest.approx(probabilities[order[2:]])
    assert asked[order[0]] >= asked[order[1]] - 1e-12  # the predicted class stays ahead


def test_multiclass_request_with_two_classes_is_papers_high_scenario():
    for confidence, gap in [(0.7, 0.1), (0.95, 0.05), (0.8, -0.1), (0.6, -0.1)]:
        asked = asked_multiclass(np.array([1 - confidence, confidence]), gap, 1)
        assert asked[1] == pytest.approx(asked_probability(confidence, gap))


def test_threshold_selector_takes_bins_beyond_threshold():
    # Bin 7 of 10: ten points at 0.75, all positive (gap 0.25). Bin 2: gap exactly 0.02.
    p = [0.75] * 10 + [0.28] * 10
    y = [1] * 10 + [1] * 3 + [0] * 7
    targets = target_bins(binary(p, y), bins=10, selector="threshold", threshold=0.03, alpha=0.05)
    assert [item.bin for item in targets.bins] == [7]
    assert targets.bins[0].gap == pytest.approx(0.25, abs=1e-6)
    assert [source.row for source in targets.sources] == list(range(10))
    # 0.75 + 0.25 = 1 → the ceiling; each value belongs to the class at its position.
    assert targets.sources[0].asked_probabilities == pytest.approx((0.05, 0.95))
    assert targets.sources[0].bin_probabilities == pytest.approx((0.25, 0.75), abs=1e-6)


def test_significant_selector_excludes_chance_gaps():
    few = binary([0.75] * 2, [1, 1])  # P(2 of 2) = 0.56
    many = binary([0.75] * 40, [1] * 40)  # P(40 of 40) = 1e-5
    options = {"bins": 10, "selector": "significant", "threshold": 0.03, "alpha": 0.05}
    assert target_bins(few, **options).bins == ()
    assert len(target_bins(many, **options).bins) == 1
    assert len(target_bins(few, **(options | {"selector": "threshold"})).bins) == 1


def test_threshold_selector_flags_calibrated_predictions():
    """METHODS §1: at the paper's sizes 51–94 % of the non-empty bins exceed 0.03 by chance."""
    rng = np.random.default_rng(0)
    flagged = {"threshold": 0, "significant": 0}
    filled = 0
    for _ in range(50):
        p = rng.beta(1, 1, 300)
        predictions = binary(p, rng.random(300) < p)
        filled += len(np.unique(np.minimum((p * 15).astype(int), 14)))
        for selector in flagged:
            targets = target_bins(
                predictions, bins=15, selector=selector, threshold=0.03, alpha=0.05
            )
            flagged[selector] += len(targets.bins)
    assert 0.51 < flagged["threshold"] / filled < 0.94
    assert flagged["significant"] / filled < 0.07


def test_multiclass_targets_use_top_label_diagram():
    logits = np.log(np.array([[0.7, 0.2, 0.1]] * 20))
    predictions = Predictions(logits, np.array([0] * 8 + [1] * 12))  # accuracy 0.4, gap −0.3
    targets = target_bins(predictions, bins=10, selector="threshold", threshold=0.03, alpha=0.05)
    assert len(targets.sources) == 20
    # 0.7 − 0.2 = 0.5 ahead: the lead may shrink to 0.1, so 0.2 changes hands.
    assert targets.sources[0].asked_probabilities == pytest.approx((0.5, 0.4, 0.1), abs=1e-6)


def test_near_tie_keeps_predicted_class():
    # One bin, mean confidence 0.43: beside that, the runner-up of the first point (0.45) is ahead.
    rows = np.array([[0.46, 0.45, 0.09]] + [[0.415, 0.30, 0.285]] * 2)
    predictions = Predictions(np.log(rows), np.zeros(3, dtype=int))  # all right: underconfident
    targets = target_bins(predictions, bins=15, selector="threshold", threshold=0.03, alpha=0.05)
    assert [source.row for source in targets.sources] == [0, 1, 2]
    for source in targets.sources:
        before, asked = source.bin_probabilities, source.asked_probabilities
        assert asked[0] > before[0], "the predicted class gains"
        assert asked[1] < before[1], "at its runner-up's cost"
        assert asked[2] == pytest.approx(before[2])


def test_random_bins_match_target_count_and_depend_on_seed():
    rng = np.random.default_rng(1)
    p = rng.beta(1, 1, 400)
    predictions = binary(p, rng.random(400) < p**2)
    targets = target_bins(predictions, bins=20, selector="significant", threshold=0.03, alpha=0.05)
    assert 0 < len(targets.sources) < 400
    drawn = [random_bins(predictions, targets, bins=20, seed=seed) for seed in range(5)]
    for item in drawn:
        assert len(item.sources) == len(targets.sources)
        assert len({source.row for source in item.sources}) == len(item.sources)
        assert item.design == "random"
    assert len({tuple(each.bin for each in item.bins) for item in drawn}) > 1
    assert drawn[0] == random_bins(predictions, targets, bins=20, seed=0)


def test_targets_round_trip_through_json():
    targets = target_bins(
        binary([0.75] * 4, [1] * 4), bins=10, selector="threshold", threshold=0.03, alpha=0.05
    )
    assert Targets.from_value(targets.to_value()) == targets
