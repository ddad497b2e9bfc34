"""Write boards as JSON: sorted keys, floats at full precision, no NaN; fast for large boards."""

from __future__ import annotations

from typing import Any


def sorted_json(value: dict[str, Any]) -> bytes:
    """Return JSON values as UTF-8 text, keys sorted, indented by one space, a newline at the end.

    Pydantic models in it are written in the order of their fields. Raises `ValueError`
    for NaN and infinity.
    """
    from pydantic_core import from_json, to_json

    text: bytes = to_json(_sorted(value), indent=1)
    if b"NaN" in text or b"Infinity" in text:  # as a number, or within a string, which is allowed
        try:
            from_json(text, allow_inf_nan=False)
        except ValueError as error:
            raise ValueError(f"NaN and infinity are not JSON compliant: {error}") from None
    return text + b"\n"


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
