"""Which stored artifacts a run used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fgbench.engine.events import read_events
from fgbench.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path


def keys_of_run(folder: Path) -> set[str]:
    """Return the keys of the stages in a run's log.

    Raises `ConfigurationError` for a folder that is not a run.
    """
    log = folder / "events.jsonl"
    try:
        events = read_events(log)
    except OSError as error:
        raise ConfigurationError(
            f"{folder}: not a run folder ({log.name}: {error.strerror})."
        ) from None
    stages = {event["key"] for event in events if isinstance(event.get("key"), str)}
    return stages.union(*(event.get("datasets", ()) for event in events))
