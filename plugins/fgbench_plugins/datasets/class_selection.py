"""Validation of parameters that select classes of a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

ALL = ("all",)


def as_tuple(value: Any) -> Any:
    """Accept a single name as a list of one: `intents=all`."""
    return (value,) if isinstance(value, str) else value


def at_least_two(value: tuple[str, ...]) -> tuple[str, ...]:
    """Raise `ValueError` for fewer than two classes or a duplicate; `all` is allowed alone."""
    if value == ALL:
        return value
    if len(value) < 2:
        raise ValueError("name at least two classes, or use all")
    if len(set(value)) < len(value):
        raise ValueError("duplicate class")
    return value


def one_of(names: Callable[[], Iterable[str]]) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    """Return a validator that every class is one of `names()`, which is called on validation."""

    def check(value: tuple[str, ...]) -> tuple[str, ...]:
        from difflib import get_close_matches

        choices = list(names())
        for name in value if value != ALL else ():
            if name not in choices:
                matches = get_close_matches(name, choices, n=1, cutoff=0.5)
                listed = f"choose from {', '.join(choices)}"
                hint = f"the closest match is {matches[0]!r}" if matches else listed
                raise ValueError(f"unknown class {name!r}; {hint}")
        return value

    return check
