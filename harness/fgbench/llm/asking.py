"""How parts ask language models: every answer is stored, counted, and replayed.

A part calls `Answers.ask` with a model and its requests, and reads one answer a request. What is
stored already is not asked again; the rest goes to the model, and each answer is stored as it
comes, so that whatever ends a run, nothing is asked twice. In a replay nothing is asked at all.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fgbench.digests import canonical_json
from fgbench.errors import BudgetError, ConfigurationError, PluginError, UnansweredError
from fgbench.llm.answers import AnswerStore, Standing
from fgbench.llm.budget import Caps, Ledger
from fgbench.llm.chat import ChatAnswer, ChatModel, ChatRequest
from fgbench.llm.keys import KEY_BYTES, Keyer, request_keys

IsRefusal = Callable[[str], bool]

_CHUNK = 200
_FRUITLESS_ROUNDS = 3


class Answers:
    """Answers of language models, from a store and, unless it is a replay, from the models.

    One object serves one process, from any thread. `part.answers` is one; outside of a run, in a
    notebook say, use `Answers.in_memory()`.
    """

    def __init__(
        self, store: AnswerStore, *, ledger: Ledger | None = None, replay: str | None = None
    ) -> None:
        """Answer from a store; with `replay`, the name of what it is from, nothing is asked."""
        self._store = store
        self._ledger = ledger or Ledger(store)
        self._replay = replay

    @classmethod
    def in_memory(cls) -> Answers:
        """Return one that forgets everything when the process ends, and has no caps."""
        return cls(AnswerStore(None))

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Answers:
        """Return one from JSON values, as `WorkerSetup.answers` has them.

        `{"file": path, "run": run id, "caps": {"requests": …, "tokens": …, "cost_usd": …}}`, for a
        replay `{"file": path, "replay": its name}`; with nothing at all, one in memory.
        """
        if not settings:
            return cls.in_memory()
        if "replay" in settings:
            store = AnswerStore(Path(settings["file"]), read_only=True)
            return cls(store, replay=settings["replay"])
        store = AnswerStore(Path(settings["file"]))
        return cls(store, ledger=Ledger(store, settings["run"], Caps(**settings["caps"])))

    def ask(
        self,
        model: ChatModel,
        requests: Sequence[ChatRequest],
        *,
        is_refusal: IsRefusal | None = None,
    ) -> Iterator[ChatAnswer]:
        """Have the model answer what is not stored, then yield the answer to each request.

        The answers come in the order of the requests, equal requests share one, and what is
        yielded does not depend on what was stored before. `is_refusal` tells from the text of an
        answer whether the model refused: such an answer has the failure "refusal", and is asked for
        anew in another run. An answer with another failure is one that asking again would not mend.

        Raises `UnansweredError` where requests are left without an answer that asking again may
        bring, or a replay does not hold; `BudgetError` at a cap; `PluginError` for a model that
        breaks its contract. What was answered until then is stored.
        """
        keys = request_keys(model.identity, requests)
        if self._replay is not None:
            self._require(model, requests, keys)
        else:
            if self._ledger.caps.cost_usd is not None and model.price is None:
                raise ConfigurationError(
                    f"{_model_name(model.identity)}: --max-cost needs to know what its tokens "
                    "cost: give its prices, or cap with --max-tokens."
                )
            _Sending(self._store, self._ledger, model, requests, keys, is_refusal).run()
        return self._read(model, keys, is_refusal)

    def close(self) -> None:
        """Let go of the file; asking again opens it again."""
        self._store.close()

    def _read(
        self, model: ChatModel, keys: bytes, is_refusal: IsRefusal | None
    ) -> Iterator[ChatAnswer]:
        for chunk in _chunks(keys):
            found = self._store.get(chunk)
            for key in chunk:
                if key not in found:
                    raise UnansweredError("an answer left the store while it was used: ask again.")
                answer = found[key]
                usage = answer.usage
                if model.price is not None:
                    cost = model.price.cost(usage.prompt_tokens, usage.completion_tokens)
                    answer = replace(answer, usage=replace(usage, cost_usd=cost))
                if answer.ok and is_refusal is not None and is_refusal(answer.text or ""):
                    answer = replace(answer, failure="refusal")
                yield answer

    def _require(self, model: ChatModel, requests: Sequence[ChatRequest], keys: bytes) -> None:
        """Raise `UnansweredError` unless the replay holds every answer."""
        missing: list[int] = []
        for start, chunk in enumerate(_chunks(keys)):
            found = self._store.get(chunk)
            missing += (
                start * _CHUNK + at
                for at, key in enumerate(chunk)
                if key not in found or found[key].transient
            )
        if missing:
            said = requests[missing[0]].messages[-1].content
            raise UnansweredError(
                f"the replay {self._replay} has no answer to {len(missing):,} of "
                f"{len(requests):,} requests to {_model_name(model.identity)}, the first of which "
                f"says {said[:120]!r}…: replay with the suite, data and versions that it was "
                "exported from, or run without --replay."
            )


class _Sending:
    """One ask: what is not stored goes to the model, what comes back goes to the store.

    Memory does not grow with the requests but for what the engine holds itself: who is asked for
    is found in the store, and only what is under way or failed is remembered here.
    """

    def __init__(
        self,
        store: AnswerStore,
        ledger: Ledger,
        model: ChatModel,
        requests: Sequence[ChatRequest],
        keys: bytes,
        is_refusal: IsRefusal | None,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._model = model
        self._requests = requests
        self._keys = keys
        self._is_refusal = is_refusal
        self._keyer = Keyer(model.identity)
        self._lock = threading.Lock()
        self._under_way: set[bytes] = set()
        self._unusable: dict[bytes, ChatAnswer] = {}
        self._delivered = 0
        self._fault: Exception | None = None

    def run(self) -> None:
        """Send until every request has an outcome; raises as `Answers.ask` does."""
        fruitless = 0
        while True:
            before = self._delivered
            try:
                self._round()
                break
            except BudgetError:
                # Requests set aside more than they used: there may be room for further ones.
                fruitless = fruitless + 1 if self._delivered == before else 0
                if fruitless >= _FRUITLESS_ROUNDS or not self._ledger.has_room_again():
                    raise
        self._check_answered()

    def _round(self) -> None:
        """Have the model answer what has no outcome yet."""
        self._under_way.clear()
        waiting = self._waiting()
        first = next(waiting, None)
        if first is None:
            return
        stream = _Prefixed(first, waiting)
        name = type(self._model).__name__
        try:
            self._model.answer(stream, self._ledger.account(self._model.price), self._deliver)
        except Exception as error:
            if self._fault is not None and self._fault is not error:
                raise self._fault from error
            raise
        finally:
            self._ledger.flush()
        if self._fault is not None:
            raise self._fault
        left = len(self._under_way) + sum(1 for _ in stream)
        if left:
            raise PluginError(f"{name}: answer left {left:,} requests without an outcome.")

    def _waiting(self) -> Iterator[ChatRequest]:
        """Yield each request that has no outcome, as the engine takes them."""
        position = -1
        for chunk in _chunks(self._keys):
            answered = self._store.answered(chunk)
            for key in chunk:
                position += 1
                if key not in answered and self._is_open(key):
                    yield self._requests[position]

    def _is_open(self, key: bytes) -> bool:
        """Return whether a request is to be sent now, and count it as under way."""
        with self._lock:
            if self._fault is not None or key in self._under_way or key in self._unusable:
                return False
        # It may have been answered since: by another process, or as an equal request of this ask.
        if self._store.standing(key) == Standing.ANSWERED:
            return False
        with self._lock:
            self._under_way.add(key)
        return True

    def _deliver(self, request: ChatRequest, answer: ChatAnswer) -> None:
        """Store one answer; whatever is wrong with it ends the ask."""
        try:
            self._take(request, answer)
        except Exception as error:
            self._fault = self._fault or error
            raise

    def _take(self, request: ChatRequest, answer: ChatAnswer) -> None:
        name = type(self._model).__name__
        if answer.text is None and answer.failure is None:
            raise PluginError(f"{name}: it delivered an answer without a text and without failure.")
        key, text = self._keyer.key_and_text(request)
        with self._lock:
            if key not in self._under_way:
                raise PluginError(
                    f"{name}: it delivered an answer twice, or one that was not asked for: "
                    f"{request.messages[-1].content[:60]!r}…"
                )
            self._under_way.remove(key)
            self._delivered += 1
        if answer.ok and self._is_refusal is not None and self._is_refusal(answer.text or ""):
            answer = replace(answer, failure="refusal")
        if not answer.ok:
            with self._lock:
                self._unusable[key] = replace(answer, text=None, tokens=None)
        self._store.put(key, self._keyer.model, text, answer, also=self._ledger.write)

    def _check_answered(self) -> None:
        reasons = Counter(
            str(answer.failure)
            for key, answer in self._unusable.items()
            if answer.transient and self._store.standing(key) == Standing.UNANSWERED
        )
        if reasons:
            listed = ", ".join(f"{reason} ({n:,})" for reason, n in reasons.most_common(5))
            none = reasons.total() == len(self._requests)
            mend = (
                "Is it there, and is its address right? Then run the same command again."
                if none
                else "What was answered is stored: run the same command again to ask for the rest."
            )
            raise UnansweredError(
                f"{_model_name(self._model.identity)} left {reasons.total():,} of "
                f"{len(self._requests):,} requests unanswered: {listed}. {mend}"
            )


class _Prefixed(Iterator[ChatRequest]):
    """An iterator with one item put back in front of it; it may be pulled from any thread."""

    def __init__(self, first: ChatRequest, rest: Iterator[ChatRequest]) -> None:
        self._first: ChatRequest | None = first
        self._rest = rest
        self._lock = threading.Lock()

    def __next__(self) -> ChatRequest:
        with self._lock:
            first, self._first = self._first, None
            return next(self._rest) if first is None else first


def _chunks(keys: bytes) -> Iterator[list[bytes]]:
    """Yield keys a few hundred at a time, as the store looks them up."""
    size = _CHUNK * KEY_BYTES
    for start in range(0, len(keys), size):
        stop = min(start + size, len(keys))
        yield [keys[at : at + KEY_BYTES] for at in range(start, stop, KEY_BYTES)]


def _model_name(identity: Mapping[str, Any]) -> str:
    name = str(identity.get("model") or identity.get("engine") or canonical_json(dict(identity)))
    return f"{name} at {identity['endpoint']}" if identity.get("endpoint") else name
