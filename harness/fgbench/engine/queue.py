"""The order in which stages start: first come, first served, but loaded models are reused."""

from __future__ import annotations

from collections import deque
from itertools import count


class StageQueue:
    """The stages that wait for a slot, by key, each with its affinity (`Node.affinity`) or None.

    A stage with an affinity is taken only when no other such stage is running. When it is the turn
    of one, stages with the affinity that was taken last go first, so that a loaded model serves
    them all. Nothing starves, since a graph is finite; no result depends on the order.
    """

    def __init__(self) -> None:
        self._arrivals = count()
        self._queues: dict[str | None, deque[tuple[int, str]]] = {}
        self._last: str | None = None

    def add(self, key: str, affinity: str | None) -> None:
        """Append a stage."""
        self._queues.setdefault(affinity, deque()).append((next(self._arrivals), key))

    def take(self, *, taken: bool) -> str | None:
        """Remove and return the stage whose turn it is, None if none may start.

        `taken` says that a stage with an affinity is running.
        """
        heads = {
            affinity: queue[0]
            for affinity, queue in self._queues.items()
            if affinity is None or not taken
        }
        if not heads:
            return None
        affinity = min(heads, key=lambda item: heads[item])
        if affinity is not None:
            if self._last is None or self._last not in heads:
                self._last = affinity
            affinity = self._last
        queue = self._queues[affinity]
        _, key = queue.popleft()
        if not queue:
            del self._queues[affinity]
        return key
