"""References to parts: `NAME`, `NAME:key=value,key=value` or a table with a `name`.

The first value may lack its key, `NAME:value,key=value`, if the part says which parameter it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fgbench.errors import ConfigurationError
from fgbench.parts.base import UNNAMED

_OPEN, _CLOSE, _QUOTES = "[{(", "]})", "'\""


@dataclass(frozen=True)
class PartReference:
    """A part's name and its unchecked parameters."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, value: str | Mapping[str, Any] | PartReference) -> PartReference:
        """Read a reference from a command line (text) or a suite (table).

        Values in a text are texts, or lists in brackets: `intents=[age_limit,atm_support]`. A value
        with a comma needs quotes; a doubled quote in them is one of the value. The types of the
        part's parameters convert them to numbers.
        """
        if isinstance(value, PartReference):
            return value
        if isinstance(value, Mapping):
            table = dict(value)
            name = table.pop("name", None)
            if not isinstance(name, str):
                raise ConfigurationError(f"the table of a part needs a name: {dict(value)!r}")
            return cls(name, table)
        if not isinstance(value, str):
            raise ConfigurationError(f"a part must be a name or a table, not {value!r}")
        name, colon, rest = value.partition(":")
        if not name.strip() or (colon and not rest.strip()):
            raise ConfigurationError(
                f"{value!r} is not a reference to a part: write NAME or NAME:key=value,key=value."
            )
        parameters: dict[str, Any] = {}
        for item in _split(rest) if colon else []:
            key, equals, text = item.partition("=")
            key = key.strip()
            is_unnamed = not equals or item.lstrip().startswith(tuple(_QUOTES))
            if is_unnamed and not parameters and item.strip():
                key, text = UNNAMED, item
            elif not equals or not key:
                raise ConfigurationError(
                    f"{value!r}: {item!r} is not key=value (quote values that contain commas)."
                )
            if key in parameters:
                raise ConfigurationError(
                    f"{value!r}: parameter {key!r} given twice (quote values that contain commas)."
                )
            parameters[key] = _value(text.strip())
        return cls(name.strip(), parameters)

    def __str__(self) -> str:
        """Return it as written on a command line."""
        items = [
            f"{key}={_text(value)}" if key != UNNAMED else _unnamed(value)
            for key, value in self.parameters.items()
        ]
        return f"{self.name}:{','.join(items)}" if items else self.name

    def to_table(self) -> dict[str, Any]:
        """Return it as a table of a suite."""
        return {"name": self.name, **self.parameters}


def _split(text: str) -> list[str]:
    """Split at commas outside of brackets and quotes."""
    items, depth, quote, start = [], 0, "", 0
    characters = iter(enumerate(text))
    for position, char in characters:
        if quote:
            if text[position : position + 2] == quote * 2:
                next(characters)  # a doubled quote is one of the text
            elif char == quote:
                quote = ""
        elif char in _QUOTES and (position == 0 or text[position - 1] in "=,[ "):
            quote = char
        elif char in _OPEN:
            depth += 1
        elif char in _CLOSE:
            depth -= 1
        elif char == "," and depth == 0:
            items.append(text[start:position])
            start = position + 1
    if quote or depth:
        raise ConfigurationError(f"{text!r}: unclosed bracket or quote.")
    return [*items, text[start:]]


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{','.join(_text(item) or _quoted('') for item in value)}]"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
    return text if _is_plain(text) else _quoted(text)


def _unnamed(value: Any) -> str:
    return _quoted(str(value)) if "=" in str(value) else _text(value)


def _is_plain(text: str) -> bool:
    """Return whether a text is read back as it is, without quotes."""
    if any(char in text for char in ",[]") or text.startswith(tuple(_QUOTES)):
        return False
    try:
        return _split(f"={text}") == [f"={text}"] and text == text.strip()
    except ConfigurationError:
        return False


def _quoted(text: str) -> str:
    quote = '"' if "'" in text and '"' not in text else "'"
    return f"{quote}{text.replace(quote, quote * 2)}{quote}"


def _value(text: str) -> Any:
    if len(text) >= 2 and text[0] in _QUOTES and text[-1] == text[0]:
        return text[1:-1].replace(text[0] * 2, text[0])
    if text.startswith("[") and text.endswith("]"):
        inner = text[1:-1].strip()
        return [_value(item.strip()) for item in _split(inner)] if inner else []
    return text
