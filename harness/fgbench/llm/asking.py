"""Interface through which parts ask language models: answers are stored, counted and replayed.

A part calls `Answers.ask` with a model and requests, and gets one answer per request. Only requests
without a stored answer are sent to the model. Each answer is stored as soon as it arrives, so an
interrupted run does not repeat answered requests. A replay sends no requests.
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
from fgbench.llm.answers import AnswerStatus, AnswerStore
from fgbench.llm.budget import Caps, Ledger
from fgbench.llm.chat import ChatAnswer, ChatModel, ChatRequest
from fgbench.llm.keys import KEY_BYTES, RequestHasher, request_keys
from fgbench.usage import Usage

IsRefusal = Callable[[str], bool]

_CHUNK = 200
_MOST_IDLE_ROUNDS = 3


class Answers:
    """Answers of language models: from a store and, except in a replay, from the models.

    Thread-safe; each process has its own object, `part.answers`. Outside a run, for example in a
    notebook, use `Answers.in_memory()`.
    """

    def __init__(
        self, store: AnswerStore, *, ledger: Ledger | None = None, replay: str | None = None
    ) -> None:
        """Use a store; `replay` names its origin for error messages and disables all requests."""
        self._store = store
        self._ledger = ledger or Ledger(store)
        self._replay = replay

    @classmethod
    def in_memory(cls) -> Answers:
        """Return an object without caps whose answers are lost when the process ends."""
        return cls(AnswerStore(None))

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Answers:
        """Return an object for JSON settings (`WorkerSetup.answers`).

        `{"file": path, "run": run id, "caps": {"requests": …, "tokens": …, "cost_usd": …}}` for a
        run, `{"file": path, "replay": name}` for a replay, `{}` for answers in memory.
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
        """Send the requests that have no stored answer, then yield the answer to each request.

        Answers are in the order of the requests. Equal requests share one answer. The result does
        not depend on which answers were stored before. `is_refusal` decides from the text of an
        answer whether the model refused; the answer then has the failure "refusal", and another run
        sends the request again. All other failures that are yielded are permanent.

        Raises `UnansweredError` if requests failed temporarily or the replay lacks answers,
        `BudgetError` if a cap is reached, and `PluginError` if the model violates its contract. The
        answers received until then are stored.
        """
        keys = request_keys(model.identity, requests)
        if self._replay is not None:
            self._require(model, requests, keys)
        else:
            if self._ledger.caps.cost_usd is not None and model.price is None:
                raise ConfigurationError(
                    f"{_model_name(model.identity)}: --max-cost needs the model's prices. Set "
                    "them, or use --max-tokens instead."
                )
            _Sending(self._store, self._ledger, model, requests, keys, is_refusal).run()
        return self._read(model, keys, is_refusal)

    def close(self) -> None:
        """Close the file; it is reopened when it is needed again."""
        self._store.close()

    def _read(
        self, model: ChatModel, keys: bytes, is_refusal: IsRefusal | None
    ) -> Iterator[ChatAnswer]:
        for chunk in _chunks(keys):
            answers = self._store.get(chunk)
            for key in chunk:
                answer = answers.get(key) or self._store.get([key]).get(key)
                if answer is None:
                    raise UnansweredError("a stored answer was deleted while in use; rerun.")
                used = answer.usage
                if model.price is not None:
                    cost = model.price.cost(used.prompt_tokens, used.completion_tokens)
                    usage = Usage(used.requests, used.prompt_tokens, used.completion_tokens, cost)
                    answer = replace(answer, usage=usage)
                if answer.ok and is_refusal is not None and is_refusal(answer.text or ""):
                    answer = replace(answer, failure="refusal")
                yield answer

    def _require(self, model: ChatModel, requests: Sequence[ChatRequest], keys: bytes) -> None:
        """Raise `UnansweredError` unless the replay has all answers."""
        missing: list[int] = []
        for start, chunk in enumerate(_chunks(keys)):
            statuses = self._store.statuses(chunk)
            missing += (
                start * _CHUNK + index
                for index, key in enumerate(chunk)
                if statuses.get(key, AnswerStatus.UNANSWERED) == AnswerStatus.UNANSWERED
            )
        if missing:
            prompt = requests[missing[0]].messages[-1].content
            raise UnansweredError(
                f"the replay {self._replay} has no answer to {len(missing):,} of "
                f"{len(requests):,} requests to {_model_name(model.identity)}; the first prompt "
                f"begins with {prompt[:120]!r}. Use the suite, data and versions that it was "
                "exported from, or run without --replay."
            )


class _Sending:
    """One call of `Answers.ask`: sends the requests without an answer and stores the answers.

    Only requests in flight and failed requests are held in memory; all others are looked up in the
    store.
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
        self._hasher = RequestHasher(model.identity)
        self._lock = threading.Lock()
        self._in_flight: set[bytes] = set()
        self._failed: dict[bytes, ChatAnswer] = {}
        self._delivered = 0
        self._error: Exception | None = None

    def run(self) -> None:
        """Send until every request has an outcome; raises the errors of `Answers.ask`."""
        idle_rounds = 0
        while True:
            before = self._delivered
            try:
                self._round()
                break
            except BudgetError:
                # Requests reserve more than they use, so further ones may fit after settlement.
                idle_rounds = idle_rounds + 1 if self._delivered == before else 0
                if idle_rounds >= _MOST_IDLE_ROUNDS or not self._ledger.has_room_again():
                    raise
        self._check_answered()

    def _round(self) -> None:
        """Have the model answer the requests that have no outcome yet."""
        self._in_flight.clear()
        waiting = self._waiting()
        first = next(waiting, None)
        if first is None:
            return
        self._store.require_structure()
        stream = _Prefixed(first, waiting)
        name = type(self._model).__name__
        try:
            self._model.answer(stream, self._ledger.account(self._model.price), self._deliver)
        except Exception as error:
            if self._error is not None and self._error is not error:
                raise self._error from error
            raise
        finally:
            self._ledger.flush()
        if self._error is not None:
            raise self._error
        count = len(self._in_flight) + sum(1 for _ in stream)
        if count:
            raise PluginError(f"{name}: answer() left {count:,} requests without an outcome.")

    def _waiting(self) -> Iterator[ChatRequest]:
        """Yield the requests that have no outcome, lazily, as the engine takes them."""
        position = -1
        for chunk in _chunks(self._keys):
            statuses = self._store.statuses(chunk)
            for key in chunk:
                position += 1
                if statuses.get(key) != AnswerStatus.ANSWERED and self._is_open(key):
                    yield self._requests[position]

    def _is_open(self, key: bytes) -> bool:
        """Return whether to send a request now; it then counts as in flight."""
        with self._lock:
            if self._error is not None or key in self._in_flight or key in self._failed:
                return False
        # Another process, or an equal request of this call, may have been answered meanwhile.
        if self._store.status(key) == AnswerStatus.ANSWERED:
            return False
        with self._lock:
            self._in_flight.add(key)
        return True

    def _deliver(self, request: ChatRequest, answer: ChatAnswer) -> None:
        """Store one answer; an error ends the call."""
        try:
            self._take(request, answer)
        except Exception as error:
            self._error = self._error or error
            raise

    def _take(self, request: ChatRequest, answer: ChatAnswer) -> None:
        name = type(self._model).__name__
        if answer.text is None and answer.failure is None:
            raise PluginError(f"{name}: delivered an answer with neither text nor failure.")
        key, text = self._hasher.key_and_text(request)
        with self._lock:
            if key not in self._in_flight:
                raise PluginError(
                    f"{name}: delivered an answer twice, or one that was not requested: "
                    f"{request.messages[-1].content[:60]!r}…"
                )
            self._in_flight.remove(key)
            self._delivered += 1
        if answer.ok and self._is_refusal is not None and self._is_refusal(answer.text or ""):
            answer = replace(answer, failure="refusal")
        if not answer.ok:
            with self._lock:
                self._failed[key] = replace(answer, text=None, tokens=None)
        self._store.put(key, self._hasher.model, text, answer, also=self._ledger.write)

    def _check_answered(self) -> None:
        reasons = Counter(
            str(answer.failure)
            for key, answer in self._failed.items()
            if answer.transient and self._store.status(key) == AnswerStatus.UNANSWERED
        )
        if reasons:
            listed = ", ".join(f"{reason} ×{n:,}" for reason, n in reasons.most_common(5))
            advice = (
                "Is the server running at this address? Rerun to try again."
                if reasons.total() == len(self._requests)
                else "The answers received are stored; rerun to request the rest."
            )
            raise UnansweredError(
                f"{_model_name(self._model.identity)}: {reasons.total():,} of "
                f"{len(self._requests):,} requests got no answer ({listed}). {advice}"
            )


class _Prefixed(Iterator[ChatRequest]):
    """An iterator with one item put back in front; thread-safe."""

    def __init__(self, first: ChatRequest, rest: Iterator[ChatRequest]) -> None:
        self._first: ChatRequest | None = first
        self._rest = rest
        self._lock = threading.Lock()

    def __next__(self) -> ChatRequest:
        with self._lock:
            first, self._first = self._first, None
            return next(self._rest) if first is None else first


def _chunks(keys: bytes) -> Iterator[list[bytes]]:
    """Yield keys in chunks of the size that the store looks up at once."""
    size = _CHUNK * KEY_BYTES
    for start in range(0, len(keys), size):
        stop = min(start + size, len(keys))
        yield [keys[offset : offset + KEY_BYTES] for offset in range(start, stop, KEY_BYTES)]


def _model_name(identity: Mapping[str, Any]) -> str:
    name = str(identity.get("model") or identity.get("engine") or canonical_json(dict(identity)))
    return f"{name} at {identity['endpoint']}" if identity.get("endpoint") else name
