"""What stays loaded between the stages of a process: one thing at most, a language model say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class _Resident(NamedTuple):
    occupant: str | None
    key: str
    thing: Any
    release: Callable[[Any], None]


class Residence:
    """Room for one resident. It belongs to the occupant (`Node.occupant`) whose stage loaded it."""

    def __init__(self) -> None:
        self._occupant: str | None = None
        self._resident: _Resident | None = None

    def enter(self, occupant: str | None) -> None:
        """Begin a stage: if it has an occupant, the resident of another one leaves first."""
        self._occupant = occupant
        resident = self._resident
        if occupant is not None and resident is not None and resident.occupant != occupant:
            self.release()

    def resident(self, key: str, load: Callable[[], T], release: Callable[[T], None]) -> T:
        """Return the thing that stays loaded: see `fgbench.resident`."""
        resident = self._resident
        if resident is None or (resident.occupant, resident.key) != (self._occupant, key):
            self.release()
            resident = self._resident = _Resident(self._occupant, key, load(), release)
        thing: T = resident.thing
        return thing

    def release(self) -> None:
        """Let the resident go, if there is one."""
        resident, self._resident = self._resident, None
        if resident is not None:
            resident.release(resident.thing)


PROCESS = Residence()
"""The one of this process."""


def resident(key: str, load: Callable[[], T], release: Callable[[T], None]) -> T:
    """Return what `load` returns, kept from an earlier stage of this process if it can be.

    For parts that are `exclusive` because of what they load. `key` says all that the thing depends
    on; another key, or a stage with other exclusive parts, releases it first, so that there is
    never more than one. Where several processes work, it is released after every stage.

    `release` must free what the thing holds (`model.to("meta")`, `server.close()`): whoever asked
    for the thing may still refer to it.
    """
    return PROCESS.resident(key, load, release)


def release_resident() -> None:
    """Let the resident of this process go: what an executor does at its end."""
    PROCESS.release()
