"""Arms: what each is trained on (DESIGN.md)."""

import numpy as np
import pytest

from fgbench.data import Dataset, Split
from fgbench.loop.arms import compose, training_set
from fgbench.loop.splitting import calibration_rows, selection_rows
from support.samples import make_sample

SELECTION = np.array([0, 2, 4, 6])
TARGETED = [2, 4]


def sample(index, text):
    return make_sample(index=index, input=text, asked_probabilities=(0.3, 0.7))


ACCEPTED = [sample(2, "new two"), sample(4, "new four")]


def dataset():
    def split(tag, n):
        return Split([f"{tag} {i}" for i in range(n)], np.arange(n) % 2)

    splits = {"train": split("train", 4), "validation": split("val", 8), "test": split("test", 2)}
    return Dataset("toy", ("no", "yes"), splits)


def texts(arm, samples=ACCEPTED):
    composition = compose(arm, SELECTION, TARGETED, samples)
    return list(training_set(dataset(), composition).inputs)


TRAIN = ["train 0", "train 1", "train 2", "train 3"]
VALIDATION = ["val 0", "val 2", "val 4", "val 6"]


def test_six_arms_have_specified_compositions():
    assert texts("baseline") == TRAIN
    assert texts("real") == TRAIN + VALIDATION
    assert texts("synthesis") == [*TRAIN, "val 0", "val 6", "new two", "new four"]
    assert texts("synthesis+") == [*TRAIN, *VALIDATION, "new two", "new four"]
    assert texts("resample") == [*TRAIN, *VALIDATION, "val 2", "val 4"]
    assert texts("random-bins") == [*TRAIN, *VALIDATION, "new two", "new four"]


def test_matched_arms_have_equal_size():
    assert len(texts("synthesis")) == len(texts("real"))
    assert len(texts("synthesis+")) == len(texts("resample")) == len(texts("random-bins"))


def test_synthesis_replaces_only_as_many_rows_as_generated():
    short = [sample(4, "new four")]
    assert texts("synthesis", short) == [*TRAIN, "val 0", "val 2", "val 6", "new four"]
    assert texts("resample", short) == [*TRAIN, *VALIDATION, "val 4"]


def test_soft_labels_are_kept_beside_hard_labels():
    result = training_set(dataset(), compose("synthesis+", SELECTION, TARGETED, ACCEPTED))
    assert result.labels[-2:].tolist() == [1, 1]
    assert result.synthetic.tolist() == [False] * 8 + [True] * 2
    assert result.soft_labels[-1] == pytest.approx([0.3, 0.7])
    assert result.soft_labels[0] == pytest.approx([1.0, 0.0])


def test_numeric_inputs_are_stacked():
    def split(start, n):
        return Split(np.arange(start, start + n, dtype=float), np.arange(n) % 2)

    data = Dataset(
        "line",
        ("a", "b"),
        {"train": split(0, 2), "validation": split(10, 8), "test": split(20, 2)},
    )
    composition = compose("synthesis+", SELECTION, TARGETED, [sample(2, (0.5,))])
    assert training_set(data, composition).inputs.ravel().tolist() == [0, 1, 10, 12, 14, 16, 0.5]


def test_strict_halves_are_disjoint_complete_and_stratified():
    labels = np.array([0] * 31 + [1] * 10 + [2] * 3)
    chosen = selection_rows(labels, "strict", 0)
    held_out = calibration_rows(labels, "strict", 0)
    assert sorted([*chosen, *held_out]) == list(range(len(labels)))
    for label in range(3):
        counts = [(labels[rows] == label).sum() for rows in (chosen, held_out)]
        assert abs(counts[0] - counts[1]) <= 1
    assert selection_rows(labels, "strict", 1).tolist() != chosen.tolist()
    assert selection_rows(labels, "strict", 0).tolist() == chosen.tolist()


def test_paper_protocol_uses_whole_validation_split_twice():
    labels = np.array([0, 1, 0, 1])
    assert selection_rows(labels, "paper", 3).tolist() == [0, 1, 2, 3]
    assert calibration_rows(labels, "paper", 3).tolist() == [0, 1, 2, 3]
