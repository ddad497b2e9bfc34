"""The base of everything that boards and diagnostics hold as JSON.

Such files are passed around. The limits here and in the models bound what a small file can cost
its reader: no real board comes near them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MAX_NAME, MAX_TEXT = 500, 20_000
"""Characters of a name, and of any text."""
MAX_COUNT = 2**53


def _finite(value: Any) -> Any:
    """Refuse NaN and infinity in values of any JSON type, where no field's own type does."""
    for leaf in _leaves(value):
        if isinstance(leaf, float) and not math.isfinite(leaf):
            raise ValueError(f"{leaf} is not a number of JSON")
    return value


def _bounded(value: Any) -> Any:
    """Refuse more than `MAX_TEXT` characters of text and numbers, keys included."""
    size = sum(
        len(leaf)
        if isinstance(leaf, str)
        else leaf.bit_length() // 3
        if isinstance(leaf, int)
        else 1
        for leaf in _leaves(value)
    )
    if size > MAX_TEXT:
        raise ValueError(f"more than {MAX_TEXT:,} characters")
    return value


def _leaves(value: Any) -> Iterator[Any]:
    """Yield the texts, numbers and keys of a JSON value, however deep it is."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield from item
            waiting.extend(item.values())
        elif isinstance(item, list | tuple):
            waiting.extend(item)
        else:
            yield item


JsonObject = Annotated[dict[str, Any], AfterValidator(_finite), AfterValidator(_bounded)]
"""A JSON object of any content, of limited size, without NaN and infinity."""

Name = Annotated[str, Field(max_length=MAX_NAME)]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]

Interval = tuple[float, float]


class Record(BaseModel):
    """Base of all records: no unknown field, no NaN, no change after construction, no long text."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        ser_json_inf_nan="constants",
        str_max_length=MAX_TEXT,
    )
