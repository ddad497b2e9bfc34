"""Parameter types for loaders that take some classes of a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

ALL = ("all",)


def as_tuple(value: Any) -> Any:
    """Take one name for a list of one: `intents=all`."""
    return (value,) if isinstance(value, str) else value


def at_least_two(value: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse fewer than two classes, and one named twice; `all` stands alone."""
    if value == ALL:
        return value
    if len(value) < 2:
        raise ValueError("name at least two classes, or all")
    if len(set(value)) < len(value):
        raise ValueError("a class stands twice")
    return value


def known(names: Callable[[], Iterable[str]]) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    """Return a check that every class is one of `names()`, which is called when it is needed."""

    def check(value: tuple[str, ...]) -> tuple[str, ...]:
        from difflib import get_close_matches

        offered = list(names())
        for name in value if value != ALL else ():
            if name not in offered:
                near = get_close_matches(name, offered, n=1, cutoff=0.5)
                hint = f"the nearest is {near[0]!r}" if near else f"there are {', '.join(offered)}"
                raise ValueError(f"there is no class {name!r}; {hint}")
        return value

    return check
