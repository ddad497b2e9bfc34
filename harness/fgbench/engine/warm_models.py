"""Process-wide cache that holds at most one loaded model between stages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class _WarmModel(NamedTuple):
    affinity: str | None
    key: str
    model: Any
    release: Callable[[Any], None]


class WarmModelCache:
    """Holds one loaded model, for stages of the affinity (`Node.affinity`) that loaded it."""

    def __init__(self) -> None:
        self._affinity: str | None = None
        self._warm: _WarmModel | None = None

    def enter(self, affinity: str | None) -> None:
        """Begin a stage: one with an affinity first releases the model of any other."""
        self._affinity = affinity
        warm = self._warm
        if affinity is not None and warm is not None and warm.affinity != affinity:
            self.release()

    def resident(self, key: str, load: Callable[[], T], release: Callable[[T], None]) -> T:
        """Return the cached model, loading it if necessary: see `fgbench.resident`."""
        warm = self._warm
        if warm is None or (warm.affinity, warm.key) != (self._affinity, key):
            self.release()
            warm = self._warm = _WarmModel(self._affinity, key, load(), release)
        model: T = warm.model
        return model

    def release(self) -> None:
        """Release the model, if there is one."""
        warm, self._warm = self._warm, None
        if warm is not None:
            warm.release(warm.model)


PROCESS = WarmModelCache()
"""The cache of this process."""


def resident(key: str, load: Callable[[], T], release: Callable[[T], None]) -> T:
    """Return what `load` returns, reusing the one that an earlier stage of this process loaded.

    For parts that are `exclusive` because of what they load. `key` identifies everything that the
    model depends on; another key, or a stage with other exclusive parts, releases it first, so that
    at most one is loaded. Executors with several processes release it after every stage.

    `release` must free what the model holds (`model.to("meta")`, `server.close()`), because the
    caller may still hold a reference.
    """
    return PROCESS.resident(key, load, release)


def release_resident() -> None:
    """Release the model of this process; executors call this when they close."""
    PROCESS.release()
