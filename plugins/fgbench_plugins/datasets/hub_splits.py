"""Which splits of a data set are trained on, validated and tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fgbench import ConfigurationError, DataError, Split
from fgbench_plugins.datasets.splitting import split_official, split_texts

_SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval"),
}


@dataclass(frozen=True)
class Table:
    """The texts and the labels of one split; an unlabeled row has the label None."""

    texts: list[str]
    labels: list[str | None]


def choose_splits(
    path: str, tables: Mapping[str, Table], asked: Sequence[str]
) -> tuple[dict[str, Table], str]:
    """Return which table is which split, and the same for people.

    A split without labels is not used. Without a labeled test split, the validation split is
    tested.
    """
    for name in asked:
        if name not in tables:
            raise DataError(f"{path}: no split {name!r}; there are {', '.join(tables)}.")
    if len(asked) > 3:
        raise ConfigurationError(f"{path}: split= takes one, two or three splits.")
    if asked:
        roles = {1: ("train",), 2: ("train", "test"), 3: ("train", "validation", "test")}
        chosen = dict(zip(roles[len(asked)], asked, strict=True))
    else:
        chosen = _usual(path, tables)
    unused = [name for name in tables if name not in chosen.values()]
    note = "splits " + ", ".join(
        name if role == name else f"{name} as {role}" for role, name in chosen.items()
    )
    if unused:
        note += f" (not used: {', '.join(unused)})"
    return {role: tables[name] for role, name in chosen.items()}, note


def _usual(path: str, tables: Mapping[str, Table]) -> dict[str, str]:
    """Return the split of each role by its usual name."""
    labeled = {name.lower(): name for name, table in tables.items() if any(table.labels)}
    chosen = {
        role: next(labeled[name] for name in names if name in labeled)
        for role, names in _SPLIT_NAMES.items()
        if any(name in labeled for name in names)
    }
    if "train" not in chosen:
        if len(labeled) == 1:
            return {"train": next(iter(labeled.values()))}
        raise DataError(
            f"{path}: no labeled split 'train'. Set split= to one or more of {', '.join(tables)}."
        )
    if "test" not in chosen and "validation" in chosen:
        chosen["test"] = chosen.pop("validation")
    return chosen


def divided(
    path: str, rows: Mapping[str, tuple[list[str], list[str]]], names: Sequence[str], seed: int
) -> dict[str, Split]:
    """Return the three splits; those that are missing are divided off the training rows."""
    index_of = {name: index for index, name in enumerate(names)}
    indexed = {
        role: (texts, [index_of[label] for label in labels])
        for role, (texts, labels) in rows.items()
    }
    if "test" in indexed:
        return split_official(indexed, seed=seed)
    texts, labels = indexed["train"]
    return split_texts(texts, labels, test_share=0.2, seed=seed, where=path)
