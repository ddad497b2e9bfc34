"""The text of a board: sorted keys, floats at full precision, no NaN; quick for large boards."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def sorted_json(value: dict[str, Any]) -> bytes:
    """Return JSON values as UTF-8 text, keys sorted, indented by one space, a newline at the end.

    Pydantic models in it are written as they are, in the order of their fields. Raises `ValueError`
    for NaN and infinity.
    """
    from pydantic_core import from_json, to_json

    text: bytes = to_json(_sorted(value), indent=1)
    if b"NaN" in text or b"Infinity" in text:  # as a number, or in a text, which is no harm
        try:
            from_json(text, allow_inf_nan=False)
        except ValueError as error:
            raise ValueError(f"NaN and infinity are not JSON compliant: {error}") from None
    return text + b"\n"


@contextmanager
def without_collections() -> Iterator[None]:
    """Hold off the garbage collector, which would walk millions of records in vain.

    What came to be meanwhile counts as old afterwards, so that it is not walked at once then.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.freeze()
            gc.unfreeze()
            gc.enable()


def _sorted(value: dict[str, Any]) -> dict[str, Any]:
    result = {}
    for key in sorted(value):
        item = value[key]
        if type(item) is dict:
            item = _sorted(item)
        elif type(item) is list and item and type(item[0]) in (dict, list):
            item = _sorted_list(item)
        result[key] = item
    return result


def _sorted_list(items: list[Any]) -> list[Any]:
    return [
        _sorted(item) if type(item) is dict else _sorted_list(item) if type(item) is list else item
        for item in items
    ]
