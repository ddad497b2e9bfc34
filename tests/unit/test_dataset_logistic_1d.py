"""FITG's toy: logit P(y=1|x) = −1 + 2x, x uniform on [−10, 10]."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fgbench import DataFolder, Dataset
from fgbench.plugins.references import PartReference
from fgbench.plugins.registry import Registry

REGISTRY = Registry.load()


def create(reference: str = "logistic-1d"):  # type: ignore[no-untyped-def]
    return REGISTRY.create("dataset", PartReference.parse(reference))


def load(reference: str = "logistic-1d") -> Dataset:
    dataset: Dataset = create(reference).load(DataFolder(None, Path("unused")))
    return dataset


def test_training_split_is_papers_300_points() -> None:
    dataset = load()
    assert [len(split) for split in dataset.splits.values()] == [300, 300, 1000]
    assert dataset.provides == {"numeric", "binary", "posterior"}
    for split in dataset.splits.values():
        assert np.abs(split.inputs).max() <= 10


def test_posterior_matches_papers_formula() -> None:
    split = load().splits["test"]
    x = np.asarray(split.inputs)[:, 0]
    assert split.posterior is not None
    np.testing.assert_allclose(split.posterior[:, 1], 1 / (1 + np.exp(1 - 2 * x)), rtol=1e-12)
    np.testing.assert_allclose(split.posterior.sum(axis=1), 1)
    half = create().posterior(np.array([[0.5]]))
    np.testing.assert_allclose(half, [[0.5, 0.5]])


def test_labels_follow_the_posterior() -> None:
    split = load("logistic-1d:test_size=100000").splits["test"]
    assert split.posterior is not None
    near = (split.posterior[:, 1] > 0.2) & (split.posterior[:, 1] < 0.8)
    rate, expected = split.labels[near].mean(), split.posterior[near, 1].mean()
    assert abs(rate - expected) < 4 * 0.5 / np.sqrt(near.sum())


@given(st.floats(1e-6, 1 - 1e-6))
def test_sample_has_requested_posterior(p: float) -> None:
    loader = create()
    points = loader.sample([np.array([1 - p, p])], np.random.default_rng(0))
    np.testing.assert_allclose(loader.posterior(np.array(points))[0, 1], p, rtol=1e-6)


def test_certainty_is_sampled_at_domain_edge() -> None:
    asked = [np.array([0.0, 1.0]), np.array([1.0, 0.0])]
    assert create().sample(asked, np.random.default_rng(0)) == [(10.0,), (-10.0,)]


@pytest.mark.parametrize("changed", ["draw_seed=1", "train_size=301"])
def test_data_depend_on_seed_and_sizes(changed: str) -> None:
    assert load().digest == load().digest
    assert load().digest != load(f"logistic-1d:{changed}").digest


def test_test_split_does_not_depend_on_training_size() -> None:
    small, large = load("logistic-1d:train_size=50"), load()
    np.testing.assert_array_equal(small.splits["test"].inputs, large.splits["test"].inputs)
