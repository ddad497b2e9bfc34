"""Queue of stages that are ready to start: first in, first out, except that models are reused."""

from __future__ import annotations

from collections import deque
from itertools import count


class StageQueue:
    """Keys of stages that wait for a slot, each with its affinity (`Node.affinity`) or None.

    A stage with an affinity is taken only if no other such stage is running. Stages with the same
    affinity as the last one are preferred among them, so that a loaded model is used by all of its
    stages before it is released. A graph is finite, so no stage starves. Results do not depend on
    the order.
    """

    def __init__(self) -> None:
        self._arrivals = count()
        self._queues: dict[str | None, deque[tuple[int, str]]] = {}
        self._last: str | None = None

    def add(self, key: str, affinity: str | None) -> None:
        """Append the stage with this key."""
        self._queues.setdefault(affinity, deque()).append((next(self._arrivals), key))

    def take(self, *, taken: bool) -> str | None:
        """Remove and return the key of the next stage; None if none may start.

        `taken` is whether a stage with an affinity is running.
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
