"""A data set as the library `datasets` reads it: its columns, and the labels of its rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets

from fgbench import DataError
from fgbench_plugins.datasets.class_names import class_order
from fgbench_plugins.datasets.hub_columns import (
    LABELS,
    TEXTS,
    choose_column,
    companion_names,
)
from fgbench_plugins.datasets.hub_splits import Table

_UNLABELED = -1


def read_splits(path: str, folder: Path, config: str | None) -> Mapping[str, Any]:
    """Return the splits of a folder as tables of the library."""
    is_saved = any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))
    with _no_progress_bars():
        try:
            if is_saved:
                loaded: Any = datasets.load_from_disk(str(folder))
            else:
                loaded = datasets.load_dataset(str(folder), config)
        except Exception as error:  # the library has no common exception
            message = " ".join(str(error).split())[:300].removesuffix(".")
            raise DataError(
                f"data set {path!r}: the library 'datasets' cannot read it "
                f"({type(error).__name__}: {message})."
            ) from error
    return loaded if isinstance(loaded, datasets.DatasetDict) else {"train": loaded}


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    if datasets.are_progress_bars_disabled():
        yield
        return
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.enable_progress_bars()


def text_and_label(
    path: str, features: Mapping[str, Any], text: str | None, label: str | None
) -> tuple[str, str]:
    """Return the columns of the texts and of the labels, as asked or guessed."""
    texts = [name for name in features if _dtype(features[name]) in ("string", "large_string")]
    classes = [name for name in features if isinstance(features[name], datasets.ClassLabel)]
    labels = [
        name
        for name in features
        if _dtype(features[name]).startswith(("int", "uint", "bool", "string", "large_string"))
    ]
    text_column = choose_column(path, "text", text, [n for n in texts if n != label], TEXTS)
    others = [name for name in labels if name != text_column]
    if label is None and len(classes) == 1:
        return text_column, classes[0]
    return text_column, choose_column(path, "label", label, others, LABELS)


def _dtype(feature: Any) -> str:
    return str(getattr(feature, "dtype", ""))


def class_names(label: str, feature: Any, loaded: Mapping[str, Any]) -> dict[Any, str]:
    """Return the name of each value of the label column, in the order of the classes.

    Values without a name are unlabeled.
    """
    if isinstance(feature, datasets.ClassLabel):
        return dict(enumerate(feature.names))
    values = [value for part in loaded.values() for value in part[label]]
    if _dtype(feature).startswith(("string", "large_string")):
        texts = [value for value in values if value is not None and value.strip()]
        return {value: value.strip() for value in sorted(set(texts), key=class_order)}
    companions = {
        name: [text for part in loaded.values() for text in part[name]]
        for name in (f"{label}_text", f"{label}_name")
        if all(name in part.features for part in loaded.values())
    }
    names = companion_names(label, values, companions)
    known = sorted(value for value in set(values) if value not in (None, _UNLABELED))
    return {value: str(value).lower() if names is None else names[value] for value in known}


def tables_of(
    loaded: Mapping[str, Any], text: str, label: str, names_of: Mapping[Any, str]
) -> dict[str, Table]:
    """Return the texts and the names of the labels of each split."""
    return {
        name: Table(
            ["" if value is None else str(value) for value in part[text]],
            [names_of.get(value) for value in part[label]],
        )
        for name, part in loaded.items()
    }
