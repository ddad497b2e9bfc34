"""Stratified splits, drawn by seed, in which equal texts never part.

Where the official files have no split of their own, a text that stands twice must not be learnt
from and then tested on: equal texts stay on one side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fgbench import Card, Dataset, Split, seed_for

Rows = NDArray[np.int64]

VALIDATION_SHARE = 0.2
"""The share of the training rows that becomes the validation split (FITG 4.2)."""


def held_out(
    labels: Sequence[int] | Rows, share: float, seed: int, *, groups: Sequence[object] | None = None
) -> tuple[Rows, Rows]:
    """Split n rows into those that stay and those held out, both in ascending order.

    round(share·n) rows are held out, of each class its proportion to within one row, and of no
    class all. Rows with equal `groups` (n,) stay together, which may cost as many rows as the
    groups are large. The same arguments always give the same rows.
    """
    classes = np.asarray(labels, dtype=np.int64)
    rng = np.random.default_rng(seed_for("held-out", seed, len(classes), share))
    members = _members(len(classes), groups)
    quotas = _quotas(classes, share)
    taken: list[int] = []
    for index in rng.permutation(len(members)):
        rows = members[index]
        values, counts = np.unique(classes[rows], return_counts=True)
        if all(quotas[int(value)] >= count for value, count in zip(values, counts, strict=True)):
            taken.extend(rows)
            for value, count in zip(values, counts, strict=True):
                quotas[int(value)] -= int(count)
    out = np.sort(np.asarray(taken, dtype=np.int64))
    return np.setdiff1d(np.arange(len(classes)), out), out


def _members(n: int, groups: Sequence[object] | None) -> list[list[int]]:
    if groups is None:
        return [[row] for row in range(n)]
    found: dict[object, list[int]] = {}
    for row, group in enumerate(groups):
        found.setdefault(group, []).append(row)
    return list(found.values())


def _quotas(classes: Rows, share: float) -> dict[int, int]:
    """Apportion round(share·n) to the classes by largest remainder, leaving each a row."""
    values, counts = np.unique(classes, return_counts=True)
    exact = share * counts
    floors = np.floor(exact + 1e-9).astype(np.int64)
    missing = round(share * len(classes)) - int(floors.sum())
    order = np.argsort(-(exact - floors), kind="stable")
    floors[order[: max(missing, 0)]] += 1
    return {
        int(value): int(min(floor, count - 1))
        for value, floor, count in zip(values, floors, counts, strict=True)
    }


def split_texts(
    texts: Sequence[str],
    labels: Sequence[int],
    *,
    test_share: float,
    validation_share: float = VALIDATION_SHARE,
    seed: int,
) -> dict[str, Split]:
    """Split n texts: `test_share` of all for the test, `validation_share` of the rest."""
    rest, test = held_out(labels, test_share, seed, groups=texts)
    train, validation = _cut(rest, texts, labels, validation_share, seed)
    return {
        "train": _split(texts, labels, train, seed),
        "validation": _split(texts, labels, validation, seed),
        "test": _split(texts, labels, test, seed),
    }


def split_official(
    rows: Mapping[str, tuple[Sequence[str], Sequence[int]]], *, seed: int
) -> dict[str, Split]:
    """Return the official splits as they are; without one for validation, cut it from train."""
    splits = {
        name: _split(texts, labels, np.arange(len(labels)), seed)
        for name, (texts, labels) in rows.items()
    }
    if "validation" not in rows:
        texts, labels = rows["train"]
        train, validation = _cut(np.arange(len(labels)), texts, labels, VALIDATION_SHARE, seed)
        splits["train"] = _split(texts, labels, train, seed)
        splits["validation"] = _split(texts, labels, validation, seed)
    return {name: splits[name] for name in ("train", "validation", "test")}


def dataset_of(card: Card, splits: Mapping[str, Split], names: Sequence[str]) -> Dataset:
    """Return the validated data set of a card, with the classes `names` in that order."""
    dataset = Dataset(
        name=card.name,
        label_names=tuple(names),
        splits=splits,
        label_descriptions=tuple(card.label(name).description for name in names),
        task=card.task,
    )
    dataset.validate()
    return dataset


def _cut(
    rows: Rows, texts: Sequence[str], labels: Sequence[int], share: float, seed: int
) -> tuple[Rows, Rows]:
    inside = [labels[int(row)] for row in rows]
    groups = [texts[int(row)] for row in rows]
    train, validation = held_out(inside, share, seed, groups=groups)
    return rows[train], rows[validation]


def _split(texts: Sequence[str], labels: Sequence[int], rows: Rows, seed: int) -> Split:
    """Return the rows in an order drawn by seed: files are often sorted by class."""
    rng = np.random.default_rng(seed_for("order", seed, len(rows)))
    shuffled = [int(row) for row in rng.permutation(rows)]
    return Split([texts[row] for row in shuffled], np.array([labels[row] for row in shuffled]))
