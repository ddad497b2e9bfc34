"""The classes of a column of labels: their order, and whether the column can be one of labels."""

from __future__ import annotations

from collections.abc import Collection

from fgbench import DataError

_MAX_DIGITS = 300


def ordered_classes(labels: Collection[str]) -> tuple[str, ...]:
    """Return the distinct labels in order."""
    return tuple(sorted(set(labels), key=class_order))


def class_order(label: str) -> tuple[int, int, str]:
    """Return a sort key: integers by value, before other labels."""
    digits = label.removeprefix("-")
    number = digits.isascii() and digits.isdigit()
    return (0, int(label), "") if number and len(digits) <= _MAX_DIGITS else (1, 0, label)


def check_labels(where: str, column: str, labels: Collection[str]) -> None:
    """Raise `DataError` if n labels are no classes: all equal, or most of them different."""
    distinct = len(set(labels))
    if distinct == 1:
        raise DataError(
            f"{where}: every row has the same label; a classifier needs at least two classes."
        )
    if distinct > 2 and distinct * 2 > len(labels):
        raise DataError(
            f"{where}: {len(labels):,} rows have {distinct:,} different labels; is {column!r} the "
            "right column?"
        )


def label_warnings(labels: Collection[str]) -> list[str]:
    """Return what is suspicious about the classes: equal but for case, or with a single row."""
    counts: dict[str, int] = {}
    for label in labels:
        counts[label] = counts.get(label, 0) + 1
    by_case: dict[str, list[str]] = {}
    for label in counts:
        by_case.setdefault(label.casefold(), []).append(label)
    warnings = [
        f"the labels {' and '.join(map(repr, sorted(variants)))} differ only in case; they are "
        "different classes"
        for variants in by_case.values()
        if len(variants) > 1
    ]
    single = sorted(label for label, count in counts.items() if count == 1)
    if single:
        more = f" and {len(single) - 3} more" if len(single) > 3 else ""
        verb = "have" if len(single) > 1 else "has"
        warnings.append(f"{', '.join(map(repr, single[:3]))}{more} {verb} only one row")
    return warnings
