"""Which stored artifacts a run used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fgbench.digests import is_digest
from fgbench.engine.events import read_events
from fgbench.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from pathlib import Path


def keys_of_run(folder: Path) -> set[str]:
    """Return the keys of the stages in a run's log.

    Raises `ConfigurationError` for a folder that is not a run.
    """
    log = folder / "events.jsonl"
    try:
        events = read_events(log)
    except DataError as error:
        raise ConfigurationError(f"{folder}: not a run folder ({error})") from None
    keys: set[str] = set()
    for event in events:
        datasets = event.get("datasets")
        keys.update(
            key
            for key in (event.get("key"), *(datasets if isinstance(datasets, list) else ()))
            if is_digest(key)
        )
    return keys
