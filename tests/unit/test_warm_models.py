"""The cache of one warm model: which stages share it, and when it is released."""

import pytest

from fgbench.engine.warm_models import WarmModelCache


class Log:
    """Loads things, and notes what is loaded and released."""

    def __init__(self):
        self.events, self.loaded = [], 0

    def ask(self, cache, key):
        def load():
            assert self.loaded == 0, "there is never more than one"
            self.loaded += 1
            self.events.append(f"load {key}")
            return [key]

        def release(thing):
            assert thing == [key]
            self.loaded -= 1
            self.events.append(f"release {key}")

        return cache.resident(key, load, release)


def test_stages_of_one_occupant_share_resident():
    cache, log = WarmModelCache(), Log()
    things = []
    for affinity in ["A", None, "A", None, None, "A"]:
        cache.enter(affinity)
        if affinity:
            things.append(log.ask(cache, "model"))
    assert log.events == ["load model"]
    assert all(thing is things[0] for thing in things)


def test_other_occupant_releases_resident():
    cache, log = WarmModelCache(), Log()
    cache.enter("A")
    log.ask(cache, "model")
    cache.enter("B")
    assert log.events == ["load model", "release model"]
    cache.enter("A")
    log.ask(cache, "model")
    assert log.events[2:] == ["load model"]


def test_other_key_replaces_resident():
    cache, log = WarmModelCache(), Log()
    cache.enter("A")
    for key in ["small", "small", "large", "small"]:
        log.ask(cache, key)
    assert log.events == [
        "load small", "release small", "load large", "release large", "load small",
    ]  # fmt: skip
    cache.enter(None)
    log.ask(cache, "small")  # no stage has what another's parts have loaded
    assert log.events[-2:] == ["release small", "load small"]


def test_resident_released_once():
    cache, log = WarmModelCache(), Log()
    cache.release()
    cache.enter("A")
    log.ask(cache, "model")
    cache.release()
    cache.release()
    assert log.events == ["load model", "release model"]


def test_failed_load_leaves_no_resident():
    cache, log = WarmModelCache(), Log()
    cache.enter("A")
    log.ask(cache, "first")

    def fail():
        assert log.loaded == 0, "the former one makes room first"
        raise OSError("out of memory")

    with pytest.raises(OSError, match="out of memory"):
        cache.resident("second", fail, lambda thing: None)
    log.ask(cache, "first")
    assert log.events == ["load first", "release first", "load first"]
