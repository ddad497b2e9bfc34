"""Stratified splits, drawn by seed, that keep equal texts together.

If the official files define no split, a duplicate text must not be in both the training and the
test split, so equal texts stay on the same side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fgbench import Card, DataError, Dataset, Split, seed_for

Rows = NDArray[np.int64]

VALIDATION_SHARE = 0.2
"""The fraction of the training rows that becomes the validation split (FITG 4.2)."""


def held_out(
    labels: Sequence[int] | Rows, share: float, seed: int, *, groups: Sequence[object] | None = None
) -> tuple[Rows, Rows]:
    """Split n rows into remaining and held-out rows, both in ascending order.

    round(share·n) rows are held out, from each class in proportion to within one row, and never all
    rows of a class. Rows with equal `groups` (n,) stay together, which may reduce the number of
    held-out rows by up to the size of a group. Equal arguments give equal rows.
    """
    classes = np.asarray(labels, dtype=np.int64)
    rng = np.random.default_rng(seed_for("held-out", seed, len(classes), share))
    members = _members(len(classes), groups)
    quotas = _quotas(classes, share)
    selected: list[int] = []
    for index in rng.permutation(len(members)):
        rows = members[index]
        values, counts = np.unique(classes[rows], return_counts=True)
        if all(quotas[int(value)] >= count for value, count in zip(values, counts, strict=True)):
            selected.extend(rows)
            for value, count in zip(values, counts, strict=True):
                quotas[int(value)] -= int(count)
    out = np.sort(np.asarray(selected, dtype=np.int64))
    return np.setdiff1d(np.arange(len(classes)), out), out


def _members(n: int, groups: Sequence[object] | None) -> list[list[int]]:
    if groups is None:
        return [[row] for row in range(n)]
    members: dict[object, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    return list(members.values())


def _quotas(classes: Rows, share: float) -> dict[int, int]:
    """Apportion round(share·n) rows to the classes by largest remainder, leaving each one row."""
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
    where: str | None = None,
) -> dict[str, Split]:
    """Split n texts: `test_share` of all for test, then `validation_share` of the rest.

    Raises `DataError` that names `where`, if it is given, for rows too few for three splits.
    """
    rest, test = held_out(labels, test_share, seed, groups=texts)
    train, validation = _split_off_validation(rest, texts, labels, validation_share, seed)
    if where is not None and not (len(train) and len(validation) and len(test)):
        distinct = len(set(texts))
        raise DataError(
            f"{where}: {len(texts):,} rows with {distinct:,} different texts are too few to divide "
            "into training, validation and test split."
        )
    return {
        "train": _split(texts, labels, train, seed),
        "validation": _split(texts, labels, validation, seed),
        "test": _split(texts, labels, test, seed),
    }


def split_official(
    rows: Mapping[str, tuple[Sequence[str], Sequence[int]]],
    *,
    seed: int,
    columns: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
) -> dict[str, Split]:
    """Return the official splits; without a validation split, split one off the training rows.

    `columns` are the further columns of each split, by the name of the split.
    """
    columns = columns or {}
    splits = {
        name: _split(texts, labels, np.arange(len(labels)), seed, columns.get(name))
        for name, (texts, labels) in rows.items()
    }
    if "validation" not in rows:
        texts, labels = rows["train"]
        every_row = np.arange(len(labels))
        train, validation = _split_off_validation(every_row, texts, labels, VALIDATION_SHARE, seed)
        splits["train"] = _split(texts, labels, train, seed, columns.get("train"))
        splits["validation"] = _split(texts, labels, validation, seed, columns.get("train"))
    return {name: splits[name] for name in ("train", "validation", "test")}


def dataset_of(card: Card, splits: Mapping[str, Split], names: Sequence[str]) -> Dataset:
    """Return the validated data set of a card, with the classes `names` in this order."""
    dataset = Dataset(
        name=card.name,
        label_names=tuple(names),
        splits=splits,
        label_descriptions=tuple(card.label(name).description for name in names),
        task=card.task,
    )
    dataset.validate()
    return dataset


def _split_off_validation(
    rows: Rows, texts: Sequence[str], labels: Sequence[int], share: float, seed: int
) -> tuple[Rows, Rows]:
    row_labels = [labels[int(row)] for row in rows]
    groups = [texts[int(row)] for row in rows]
    train, validation = held_out(row_labels, share, seed, groups=groups)
    return rows[train], rows[validation]


def _split(
    texts: Sequence[str],
    labels: Sequence[int],
    rows: Rows,
    seed: int,
    columns: Mapping[str, Sequence[str]] | None = None,
) -> Split:
    """Return the rows in an order drawn by seed, because files are often sorted by class."""
    rng = np.random.default_rng(seed_for("order", seed, len(rows)))
    shuffled = [int(row) for row in rng.permutation(rows)]
    return Split(
        [texts[row] for row in shuffled],
        np.array([labels[row] for row in shuffled]),
        columns={
            name: np.array([values[row] for row in shuffled])
            for name, values in (columns or {}).items()
        },
    )
