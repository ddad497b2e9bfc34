"""In which order stages are started: first come, but a model that is loaded is used up first."""

from __future__ import annotations

from collections import deque
from itertools import count


class StageQueue:
    """The stages that wait for a slot, by key, each with its occupant (`Node.occupant`) or None.

    A stage with an occupant is taken when no other one is running. If it is the turn of such a
    stage, one with the occupant that was taken last goes before the others: what a stage loaded
    may serve the next. Nothing starves, for a graph is finite; no result depends on the order.
    """

    def __init__(self) -> None:
        self._arrivals = count()
        self._queues: dict[str | None, deque[tuple[int, str]]] = {}
        self._last: str | None = None

    def add(self, key: str, occupant: str | None) -> None:
        """Put a stage at the end."""
        self._queues.setdefault(occupant, deque()).append((next(self._arrivals), key))

    def take(self, *, taken: bool) -> str | None:
        """Remove and return the stage whose turn it is, None if none may start.

        `taken` says that a stage with an occupant is running.
        """
        heads = {
            occupant: queue[0]
            for occupant, queue in self._queues.items()
            if occupant is None or not taken
        }
        if not heads:
            return None
        occupant = min(heads, key=lambda item: heads[item])
        if occupant is not None:
            if self._last is None or self._last not in heads:
                self._last = occupant
            occupant = self._last
        queue = self._queues[occupant]
        _, key = queue.popleft()
        if not queue:
            del self._queues[occupant]
        return key
