"""The event log of a run: one JSON object a line, appended, whole lines only."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fgbench.store.atomic import cannot_write


def now() -> str:
    """Return the time in UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class EventLog:
    """Appends to `events.jsonl`; a resumed run goes on in the same file.

    A line that a killed process left half-written is ended first, and readers skip it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._stream = path.open("a+b", buffering=0)
            if self._stream.tell():
                self._stream.seek(-1, os.SEEK_END)
                if self._stream.read(1) != b"\n":
                    self._stream.write(b"\n")
        except OSError as error:
            raise cannot_write(path, error) from error

    def write(self, event: str, **fields: Any) -> None:
        """Append one event, with its time."""
        line = json.dumps({"time": now(), "event": event, **fields}, sort_keys=True)
        try:
            self._stream.write(line.encode() + b"\n")
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def read_events(path: Path) -> list[dict[str, Any]]:
    """Return the events of a log, but for lines that a killed process left half-written."""
    events = []
    for line in path.read_bytes().splitlines():
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return events
