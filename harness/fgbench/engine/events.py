"""Events of a run, each created once and passed to every listener.

The listeners are the run's log (`events.jsonl`), the observers of the caller, and the lifecycle
hooks of plugins; all of them receive the same `Event`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fgbench.foreign import EVENTS, parse_json, read_lines
from fgbench.store.atomic import cannot_write, open_private, require_replaceable


def now() -> str:
    """Return the current time in UTC as ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class Event:
    """One event of a run: its name, its fields as JSON values, and when it happened."""

    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    time: str = field(default_factory=now)


Listener = Callable[[Event], None]


def emit(listeners: Sequence[Listener], name: str, **fields: Any) -> None:
    """Create an event and pass it to each listener in turn."""
    event = Event(name, fields)
    for listener in listeners:
        listener(event)


class EventLog:
    """A listener that appends to `events.jsonl`, one JSON object per line.

    A resumed run appends to the same file. A line that a killed process left incomplete is
    terminated first; readers skip it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            require_replaceable(path)
            self._stream = open_private(path, os.O_RDWR | os.O_APPEND, buffering=0)
            if self._stream.tell():
                self._stream.seek(-1, os.SEEK_END)
                if self._stream.read(1) != b"\n":
                    self._stream.write(b"\n")
        except OSError as error:
            raise cannot_write(path, error) from error

    def __call__(self, event: Event) -> None:
        """Append one event."""
        line = {"time": event.time, "event": event.name, **event.fields}
        try:
            self._stream.write(json.dumps(line, sort_keys=True).encode() + b"\n")
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def read_events(path: Path) -> list[dict[str, Any]]:
    """Return the events of a log, except lines that a killed process left incomplete.

    Raises `DataError` for a file that cannot be read.
    """
    events = []
    for _, line in read_lines(path, EVENTS):
        try:
            event = parse_json(line, lone_surrogates=True)
        except ValueError:
            continue
        if isinstance(event, dict):
            events.append(event)
    return events
