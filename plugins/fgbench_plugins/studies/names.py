"""Short names of parts: with the parameters in which parts of one name differ."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fgbench import Entry

KINDS = ("dataset", "classifier", "loss", "generator")


class ShortNames:
    """The names of some entries' parts, each with the parameters that distinguish it."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._values: dict[tuple[str, str, str], set[str]] = {}
        for entry in entries:
            for kind in KINDS:
                if (part := getattr(entry, kind)) is not None:
                    for key, value in part.params.items():
                        self._values.setdefault((kind, part.name, key), set()).add(str(value))

    def of(self, entry: Entry, kind: str) -> str:
        """Return the short name of the entry's part of a kind, such as `llm:confidence=nvu`."""
        part: Any = getattr(entry, kind)
        distinguishing = [
            f"{key}={value}"
            for key, value in sorted(part.params.items())
            if len(self._values[kind, part.name, key]) > 1
        ]
        return f"{part.name}:{','.join(distinguishing)}" if distinguishing else part.name
