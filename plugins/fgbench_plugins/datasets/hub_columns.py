"""Which columns of a table are its texts and its labels, and what the labels are called."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fgbench import DataError

TEXTS = (
    "text",
    "sentence",
    "content",
    "review",
    "tweet",
    "question",
    "utterance",
    "query",
    "message",
    "comment",
    "document",
    "body",
    "title",
)
"""Usual names of a column of texts, the most usual first."""

LABELS = (
    "label",
    "labels",
    "class",
    "category",
    "intent",
    "target",
    "sentiment",
    "emotion",
    "coarse_label",
    "topic",
    "stars",
    "rating",
)
"""Usual names of a column of labels, the most usual first."""

_NAME = re.compile(r"[^\W\d][\w .-]{0,40}")


def choose_column(
    where: str, role: str, asked: str | None, columns: Sequence[str], usual: Sequence[str]
) -> str:
    """Return the column of that role: as asked, or by its usual name, or the only one.

    Raises `DataError` that lists the columns if there is none or more than one.
    """
    if asked is not None:
        if asked not in columns:
            raise DataError(
                f"{where}: no {role} column {asked!r}; columns that can be it: {listed(columns)}."
            )
        return asked
    by_name = {name.casefold(): name for name in reversed(columns)}
    for name in usual:
        if name in by_name:
            return by_name[name]
    if len(columns) == 1:
        return columns[0]
    if not columns:
        raise DataError(f"{where}: no column can be the {role}.")
    raise DataError(
        f"{where}: which column is the {role}? Set {role}= to one of {listed(columns)}."
    )


def listed(columns: Sequence[str]) -> str:
    """Return the names of columns for a message; only those that look like names."""
    names = [name for name in columns if _NAME.fullmatch(name)]
    others = len(columns) - len(names)
    parts = [", ".join(names)] if names else []
    if others:
        parts.append(f"{others} with other names")
    return " and ".join(parts) or "none"


def companion_names(
    label: str, values: Sequence[Any], columns: Mapping[str, Sequence[Any]]
) -> dict[int, str] | None:
    """Return the name of each integer label from the column LABEL_text or LABEL_name, if any.

    None if there is no such column, or if it does not name each integer in one way.
    """
    for suffix in ("_text", "_name"):
        texts = columns.get(label + suffix)
        if texts is None:
            continue
        names = dict(zip(values, texts, strict=True))
        consistent = all(names[value] == text for value, text in zip(values, texts, strict=True))
        if consistent and len(set(names.values())) == len(names):
            return names
    return None
