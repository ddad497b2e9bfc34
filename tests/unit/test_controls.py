"""Controls: each differs from `synthesis+` in one thing, and what does not match is counted."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fgbench.data import RESERVE, SPLITS, Dataset, Predictions, Split
from fgbench.errors import DataError
from fgbench.leaderboard.models import AddedRecord
from fgbench.loop.additions import Design, additions
from fgbench.loop.arms import ARMS, DEFAULT_ARMS, DESIGNS, added_samples, compose, training_set
from fgbench.loop.targeting import (
    Source,
    TargetBin,
    Targets,
    dosed,
    other_bins,
    random_bins,
    reversed_request,
    target_bins,
    with_reversed_shift,
    without_shift,
)
from support.samples import make_sample


def binary(probabilities, labels):
    p = np.asarray(probabilities, dtype=np.float64)
    return Predictions(np.log(np.stack([1 - p, p], axis=1)), np.asarray(labels))


def miscalibrated(n=600, seed=0):
    """Return predictions that are right below ½ and overconfident above it, and their targets."""
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.02, 0.98, n)
    labels = rng.random(n) < np.where(p > 0.5, p - 0.25, p)
    predictions = binary(p, labels)
    options = {"selector": "significant", "threshold": 0.1, "alpha": 0.01}
    return predictions, target_bins(predictions, bins=10, **options)


@pytest.mark.parametrize("dose", [0.5, 1, 2])
def test_other_bins_draw_as_many_rows_of_each_class_outside_the_targeted_bins(dose):
    predictions, targets = miscalibrated()
    assert 0 < len(targets.bins) < 10
    labels = [0] * 21 + [1] * 34
    drawn = other_bins(predictions, targets, labels, bins=10, dose=dose, seed=0)
    rows = [source.row for source in drawn.sources]
    assert Counter(predictions.labels[rows].tolist()) == {0: 21, 1: 34}
    assert not set(rows) & targets.rows
    assert not {item.bin for item in drawn.bins} & {item.bin for item in targets.bins}
    assert max(Counter(rows).values()) <= max(1, dose)
    again = other_bins(predictions, targets, labels, bins=10, dose=dose, seed=0)
    assert again == drawn
    assert other_bins(predictions, targets, labels, bins=10, dose=dose, seed=1) != drawn


def test_other_bins_request_by_their_own_gaps():
    predictions, targets = miscalibrated()
    drawn = other_bins(predictions, targets, [0, 1] * 20, bins=10, dose=1, seed=0)
    gaps = {item.bin: item.gap for item in drawn.bins}
    for source in drawn.sources:
        assert abs(source.shift) <= abs(gaps[source.bin]) + 1e-9


@pytest.mark.parametrize(("dose", "times"), [(1, 1), (2, 2), (2.5, 3)])
def test_too_few_rows_outside_the_targeted_bins_are_a_shortage_of_that_class(dose, times):
    predictions, targets = miscalibrated()
    outside = [row for row in range(600) if row not in targets.rows]
    members = Counter(predictions.labels[outside].tolist())
    drawn = other_bins(predictions, targets, [0] * 5000 + [1] * 3, bins=10, dose=dose, seed=0)
    rows = [source.row for source in drawn.sources]
    assert Counter(predictions.labels[rows].tolist()) == {0: times * members[0], 1: 3}
    everywhere = replace(
        targets, bins=tuple(TargetBin(number, 1, 0.5, 0.1, (number,)) for number in range(10))
    )
    nothing = other_bins(predictions, everywhere, [0, 1], bins=10, dose=1, seed=0)
    assert (nothing.bins, nothing.sources) == ((), ())


SOURCES = (Source(4, 3, (0.7, 0.3), (0.6, 0.4)), Source(9, 3, (0.7, 0.3), (0.6, 0.4)))
TARGETS = Targets("targeted", (TargetBin(3, 2, 0.3, 0.1, (4, 9)),), SOURCES)


def test_no_shift_requests_the_mean_of_the_bin_for_each_text():
    found = without_shift(TARGETS, [9, 4, 9])
    assert found.design == "no-shift"
    assert [source.row for source in found.sources] == [9, 4, 9]
    assert {source.asked_probabilities for source in found.sources} == {(0.7, 0.3)}
    assert found.bins == TARGETS.bins


def test_reversed_requests_the_opposite_shift_for_each_text():
    found = with_reversed_shift(TARGETS, [9, 4, 9])
    assert found.design == "reversed"
    assert [source.row for source in found.sources] == [9, 4, 9]
    for source in found.sources:
        assert source.asked_probabilities == pytest.approx((0.8, 0.2))
    assert found.wrong_way == 3


@pytest.mark.parametrize(
    ("mean", "asked", "opposite"),
    [
        ((0.7, 0.3), (0.6, 0.4), (0.8, 0.2)),
        ((0.55, 0.45), (0.75, 0.25), (0.35, 0.65)),  # may cross the decision boundary
        ((0.9, 0.1), (0.6, 0.4), (0.95, 0.05)),  # ends at 0.05
        ((0.98, 0.02), (0.95, 0.05), (0.98, 0.02)),  # no room below: no shift
        ((0.1, 0.9), (0.1, 0.9), (0.1, 0.9)),
        ((0.5, 0.3, 0.2), (0.6, 0.2, 0.2), (0.4, 0.4, 0.2)),
        ((0.5, 0.4, 0.1), (0.45, 0.45, 0.1), (0.55, 0.35, 0.1)),
        ((0.9, 0.06, 0.04), (0.8, 0.16, 0.04), (0.95, 0.01, 0.04)),  # at most 0.95
    ],
)
def test_reversed_shift_is_as_large_as_its_limits_allow(mean, asked, opposite):
    assert reversed_request(Source(0, 0, mean, asked)) == pytest.approx(opposite)


def test_requests_away_from_the_diagonal_are_counted():
    # A bin of mean .497 and gap +.066 is asked for .45; one of .40 and +.066 for .466 → .466.
    rows = np.arange(1000)
    near = binary(np.full(1000, 0.497), rows < 563)
    far = binary(np.full(1000, 0.40), rows < 466)
    options = {"bins": 10, "selector": "threshold", "threshold": 0.03, "alpha": None}
    assert target_bins(near, **options).wrong_way == 1000
    assert target_bins(far, **options).wrong_way == 0
    three = Predictions(np.log(np.tile([0.42, 0.40, 0.18], (9, 1))), np.zeros(9, dtype=int))
    assert target_bins(three, **options).wrong_way == 0


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1)), min_size=1, max_size=40),
    st.sampled_from([0.25, 0.5, 1, 1.5, 2, 4]),
    st.integers(0, 3),
)
def test_dose_repeats_sources_evenly_in_each_bin_and_class(rows, dose, seed):
    labels = np.array([label for _, label in rows])
    sources = [Source(row, number, (0.5, 0.5), (0.4, 0.6)) for row, (number, _) in enumerate(rows)]
    targets = Targets("targeted", (), tuple(sorted(sources, key=lambda source: source.bin)))
    found = dosed(targets, dose, seed, labels)
    assert len(found.sources) == int(np.floor(len(rows) * dose + 0.5))
    times = Counter(source.row for source in found.sources)
    assert {times[row] for row in range(len(rows))} <= {int(np.floor(dose)), int(np.ceil(dose))}
    for stratum, n in Counter(rows).items():
        drawn = sum(times[row] for row, other in enumerate(rows) if other == stratum)
        assert abs(drawn - n * dose) < 1
    if dose == 1:
        assert found == targets


def test_dose_of_random_bins_multiplies_their_points():
    predictions, targets = miscalibrated()
    random = random_bins(predictions, targets, bins=10, seed=0)
    doubled = dosed(random, 2, 0, predictions.labels)
    assert len(doubled.sources) == 2 * len(targets.sources)
    assert {source.row for source in doubled.sources} == {source.row for source in random.sources}


SELECTION = np.arange(8)


def candidate(index, text, relabeled, *, draw=0, number=0, label=1):
    reason = None if relabeled == label else "other label"
    return make_sample(
        index=index, label=label, input=text, relabeled=relabeled, draw=draw, bin=number,
        reason=reason, verdict="accepted" if reason is None else "rejected",
    )  # fmt: skip


def unfiltered(samples, targeted):
    composition = compose("unfiltered", SELECTION, targeted, samples)
    return [(item["input"], item["label"]) for item in composition["synthetic"]]


def test_unfiltered_keeps_the_first_text_of_each_source_with_its_new_label():
    samples = [
        candidate(0, "zero", 0),  # the filter would drop it …
        candidate(0, "zero again", 1, draw=1),  # … and take the next
        candidate(1, "one", 1),
        make_sample(index=1, label=1, input="one surplus", relabeled=1, verdict="surplus"),
        candidate(2, "two", 0),
        candidate(2, "two again", 1, draw=1),
    ]
    assert unfiltered(samples, [0, 1, 2]) == [("zero", 0), ("one", 1), ("two", 0)]


def test_unfiltered_adds_as_many_as_synthesis_and_nothing_that_other_filters_rejected():
    rejected = make_sample(
        index=0, input="in the test split", reason="near duplicate of test", verdict="rejected",
        relabeled=None,
    )  # fmt: skip
    unread = make_sample(
        index=0, input="unread", reason="no label", verdict="rejected", relabeled=None
    )
    samples = [
        rejected,
        unread,
        candidate(0, "the same text", 1, draw=1),
        candidate(1, "The same text!", 0),
        candidate(1, "another", 0, draw=1),
        candidate(2, "a third", 0),
        candidate(3, "a fourth", 1),
    ]
    # Two are accepted. Without the filter there were four: every second one stays.
    assert unfiltered(samples, [0, 1, 2, 3]) == [("The same text!", 0), ("a third", 0)]
    assert unfiltered([], [0, 1]) == []


def test_other_texts_of_the_bin_fill_in_for_a_source_without_any_label():
    samples = [
        make_sample(index=0, reason="no label", verdict="rejected", relabeled=None, bin=5),
        candidate(1, "first", 1, number=5),
        make_sample(index=1, label=1, input="second", relabeled=0, reason="other label",
                    verdict="rejected", bin=5),
        candidate(1, "third", 1, number=5, draw=1),
    ]  # fmt: skip
    assert unfiltered(samples, [0, 1]) == [("first", 1), ("third", 1)]


def with_reserve(share=0.4):
    def split(tag, n):
        return Split([f"{tag} {i}" for i in range(n)], np.arange(n) % 2)

    splits = {"train": split("train", 20), "validation": split("val", 8), "test": split("test", 4)}
    return Dataset("toy", ("no", "yes"), splits), Dataset("toy", ("no", "yes"), splits).reserved(
        share
    )


def test_reserve_is_a_stratified_part_of_the_training_split_that_no_other_arm_trains_on():
    whole, parted = with_reserve()
    reserve, train = parted.splits[RESERVE], parted.splits["train"]
    assert (len(reserve), len(train)) == (8, 12)
    assert sorted([*reserve.inputs, *train.inputs]) == sorted(whole.splits["train"].inputs)
    assert Counter(reserve.labels.tolist()) == {0: 4, 1: 4}
    assert parted.digest != whole.digest
    assert whole.reserved(0.4).digest == parted.digest
    samples = [candidate(0, "new zero", 0, label=0), candidate(1, "new one", 1)]
    for arm in ARMS:
        composition = compose(arm, SELECTION, [0, 1], samples, reserve=reserve.labels, seed=0)
        texts = set(training_set(parted, composition).inputs)
        assert bool(texts & set(reserve.inputs)) == (arm == "fresh-real")


def test_reserve_leaves_a_row_of_each_class():
    rare = Dataset(
        "rare", ("a", "b"), {name: Split(["x", "y", "z"], np.array([0, 0, 1])) for name in SPLITS},
    ).reserved(0.99)  # fmt: skip
    assert rare.splits["train"].labels.tolist() == [0, 1]
    assert rare.splits[RESERVE].labels.tolist() == [0]


def test_fresh_real_rows_have_the_classes_of_the_texts_and_their_own_labels():
    _, parted = with_reserve()
    samples = [candidate(row, f"new {row}", row % 2, label=row % 2) for row in (0, 1, 3)]
    drawn = [
        compose("fresh-real", SELECTION, [], samples, reserve=parted.splits[RESERVE].labels, seed=s)
        for s in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    training = training_set(parted, drawn[0])
    added = training.labels[-3:]
    assert Counter(added.tolist()) == {0: 1, 1: 2}
    assert not training.synthetic.any()
    for text, label in zip(training.inputs[-3:], added, strict=True):
        assert int(text.split()[1]) % 2 == label
    many = samples * 6
    short = compose("fresh-real", SELECTION, [], many, reserve=parted.splits[RESERVE].labels)
    assert len(short["reserve"]) == 8, "all that were set aside: a shortage"


def test_compositions_of_first_arms_have_no_new_keys():
    """Their content is part of the keys of stored trainings."""
    for arm in ("baseline", "real", "resample", "random-bins", "synthesis", "synthesis+"):
        assert list(compose(arm, SELECTION)) == ["validation", "duplicates", "synthetic"]


def test_default_arms():
    assert DEFAULT_ARMS == (
        "baseline", "real", "resample", "other-bins", "no-shift", "synthesis", "synthesis+",
    )  # fmt: skip
    assert set(DEFAULT_ARMS) < set(ARMS)
    assert set(ARMS) - set(DESIGNS) == {"baseline", "real"}


def facts(arm, own, targeted, seed=0):
    _, parted = with_reserve()
    rows = [int(SELECTION[source.row]) for source in own.targets.sources]
    reserve = parted.splits[RESERVE].labels
    composition = compose(arm, SELECTION, rows, own.samples, reserve=reserve, seed=seed)
    return additions(arm, parted, SELECTION, own, targeted, composition)


def test_additions_are_counted_against_the_texts_of_synthesis():
    # Bin 3 (class 1 at .3, gap +.1) holds rows 0, 1, 2, 3; row 2 gets no text, row 3 two.
    sources = tuple(Source(row, 3, (0.7, 0.3), (0.6, 0.4)) for row in range(4))
    targets = Targets("targeted", (TargetBin(3, 4, 0.3, 0.1, (0, 1, 2, 3)),), sources)

    def text(row, number, label=None):
        label = row % 2 if label is None else label
        return candidate(row, f"text {number}", label, label=row % 2, number=3, draw=number)

    samples = [text(0, 0), text(1, 1), text(2, 2, label=1), text(3, 3), text(3, 4)]
    samples = [
        replace(s, bin_probabilities=(0.7, 0.3), asked_probabilities=(0.6, 0.4)) for s in samples
    ]
    own = Design(targets, samples)
    found = facts("synthesis+", own, own)
    assert (found.asked, found.used) == ((2, 2), (1, 3))
    assert (found.targeted_bins, found.targeted_points) == (1, 4)
    assert (found.source_points, found.shared_points) == (3, 3)
    assert (found.requests, found.wrong_way) == (4, 0)
    assert found.mean_shift == pytest.approx(0.1)
    (labels,) = found.bins
    assert (labels.bin, labels.n) == (3, 4)
    assert labels.bin_rate == pytest.approx(0.4)
    assert labels.asked == pytest.approx(0.4)
    assert labels.label_rate == 0.75
    record = AddedRecord.of(found)
    assert record.labels_from_bins == pytest.approx(0.35)
    assert (record.n_asked, record.n_used) == (4, 4)
    assert (record.overlap, record.shared) == (0.75, 1.0)

    copies = facts("resample", own, own)
    assert copies.asked == copies.used == (1, 3)
    assert copies.requests == 0

    unfiltered_facts = facts("unfiltered", own, own)
    assert unfiltered_facts.asked == (1, 3)
    assert sum(unfiltered_facts.used) == 4

    fresh = facts("fresh-real", own, own)
    assert fresh.asked == fresh.used == (1, 3)
    assert (fresh.source_points, fresh.bins) == (0, ())
    assert AddedRecord.of(fresh).overlap is None

    other = Targets("other-bins", (TargetBin(6, 2, 0.65, 0.01, (4, 5)),), (
        Source(4, 6, (0.35, 0.65), (0.34, 0.66)), Source(5, 6, (0.35, 0.65), (0.34, 0.66)),
    ))  # fmt: skip
    outside = [candidate(4, "text 4", 0, label=0, number=6), candidate(5, "text 5", 1, number=6)]
    control = facts("other-bins", Design(other, outside), own)
    assert (control.asked, control.used) == ((1, 3), (1, 1)), "two of class 1 are missing"
    assert (control.targeted_points, control.source_points, control.shared_points) == (4, 2, 0)
    assert AddedRecord.of(control).overlap == 0


def test_additions_of_several_seeds_are_pooled():
    one = AddedRecord(
        asked=[2, 2], used=[1, 1], targeted_bins=1, targeted_points=4, source_points=2,
        shared_points=1, requests=4, wrong_way=1, mean_shift=0.1, labels_from_bins=0.2,
        labels_from_asked=0.3,
    )  # fmt: skip
    none = AddedRecord(asked=[0, 0], used=[0, 0])
    pooled = AddedRecord.pooled([one, one.model_copy(update={"labels_from_bins": 0.4}), none])
    assert (pooled.asked, pooled.used) == ([4, 4], [2, 2])
    assert (pooled.targeted_bins, pooled.wrong_way, pooled.requests) == (2, 2, 8)
    assert pooled.overlap == pytest.approx(2 / (4 + 8 - 2))
    assert pooled.labels_from_bins == pytest.approx(0.3)
    assert pooled.mean_shift == pytest.approx(0.1)
    assert AddedRecord.pooled([none]).overlap is None


def test_samples_that_arms_are_trained_on():
    samples = [candidate(0, "zero", 0), candidate(0, "zero again", 1, draw=1)]
    assert added_samples("synthesis+", [0], samples) == [1]
    assert added_samples("unfiltered", [0], samples) == [0]
    assert added_samples("real", [0], samples) == []


def test_rows_with_equal_inputs_are_one_group():
    texts = ["Hello, world!", "hello world", "HELLO  WORLD", "bye", "!!!", "???", ""]
    data = Dataset("toy", ("a", "b"), {
        "train": Split(["x", "y"], np.array([0, 1])),
        "validation": Split(["x", "y"], np.array([0, 1])),
        "test": Split(texts, np.zeros(7)),
    })  # fmt: skip
    assert data.groups("test").tolist() == [0, 0, 0, 1, 2, 3, 4]
    numbers = Dataset("toy", ("a", "b"), {
        name: Split(np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 2.5]]), np.zeros(3))
        for name in ("train", "validation", "test")
    })  # fmt: skip
    assert numbers.groups("test").tolist() == [0, 0, 1]


def test_groups_of_predictions_round_trip_and_older_files_have_none(tmp_path):
    predictions = Predictions(np.zeros((3, 2)), np.zeros(3, dtype=int))
    assert predictions.n_groups == 3
    predictions.save(tmp_path / "old.npz")
    assert Predictions.load(tmp_path / "old.npz").groups is None
    grouped = replace(predictions, groups=np.array([0, 1, 0]))
    grouped.save(tmp_path / "new.npz")
    found = Predictions.load(tmp_path / "new.npz")
    assert found.groups.tolist() == [0, 1, 0]
    assert found.n_groups == 2
    assert found.take([2, 1]).groups.tolist() == [0, 1]
    with pytest.raises(DataError, match="groups of shape"):
        replace(predictions, groups=np.array([0, 1]))
