"""Splits are stratified, drawn by seed, and keep equal texts in one split."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fgbench_plugins.datasets.splitting import held_out, split_official, split_texts

labels_of = st.lists(st.integers(0, 3), min_size=2, max_size=200)
shares = st.sampled_from([0.1, 1 / 9, 0.2, 0.3, 0.5])


@given(labels_of, shares, st.integers(0, 5))
def test_every_row_is_in_exactly_one_split(labels: list[int], share: float, seed: int) -> None:
    stay, out = held_out(labels, share, seed)
    assert sorted([*stay, *out]) == list(range(len(labels)))


@given(labels_of, shares, st.integers(0, 5))
def test_split_is_stratified_within_one_row(labels: list[int], share: float, seed: int) -> None:
    _, out = held_out(labels, share, seed)
    for value in set(labels):
        count = labels.count(value)
        given_away = sum(labels[row] == value for row in out)
        assert given_away < count
        assert abs(given_away - min(share * count, count - 1)) <= 1


@given(st.integers(10, 100), st.integers(10, 100), shares)
def test_held_out_size_is_rounded_share(first: int, second: int, share: float) -> None:
    labels = [0] * first + [1] * second
    assert len(held_out(labels, share, 0)[1]) == round(share * len(labels))


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2)), min_size=2), st.integers(0, 3))
def test_equal_texts_stay_in_one_split(rows: list[tuple[int, int]], seed: int) -> None:
    texts = [str(text) for text, _ in rows]
    stay, out = held_out([label for _, label in rows], 0.3, seed, groups=texts)
    assert not {texts[row] for row in stay} & {texts[row] for row in out}


def test_split_depends_on_seed() -> None:
    labels = [0, 1] * 50
    first = held_out(labels, 0.2, 0)[1]
    assert np.array_equal(first, held_out(labels, 0.2, 0)[1])
    assert not np.array_equal(first, held_out(labels, 0.2, 1)[1])


def test_split_sizes_match_paper() -> None:
    texts = [f"text {i}" for i in range(3449)]
    labels = [int(i < 1232) for i in range(3449)]
    splits = split_texts(texts, labels, test_share=0.1, validation_share=1 / 9, seed=0)
    assert [len(split) for split in splits.values()] == [2759, 345, 345]


def test_split_of_sorted_file_is_shuffled() -> None:
    labels = [0] * 500 + [1] * 500
    splits = split_texts([str(i) for i in range(1000)], labels, test_share=0.2, seed=0)
    for split in splits.values():
        assert 0.2 < split.labels[:40].mean() < 0.8


def test_official_test_is_kept_and_validation_cut_from_train() -> None:
    rows = {
        "train": ([f"train {i}" for i in range(100)], [0, 1] * 50),
        "test": ([f"test {i}" for i in range(30)], [0, 1] * 15),
    }
    splits = split_official(rows, seed=0)
    assert sorted(splits["test"].inputs) == sorted(rows["test"][0])
    assert (len(splits["train"]), len(splits["validation"])) == (80, 20)
    assert sorted([*splits["train"].inputs, *splits["validation"].inputs]) == sorted(
        rows["train"][0]
    )
