"""Asking a language model about many texts, once a draw, and counting what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from fgbench import Answers, ChatAnswer, ChatModel, ChatRequest, Price, Sampling, Usage
from fgbench_plugins.classifiers.llm_confidence import Confidence, JudgedWords, Statement
from fgbench_plugins.language_models.parsing import is_refusal
from fgbench_plugins.language_models.usage_counter import UsageCounter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Row = NDArray[np.float64] | None
    """The probabilities (K,) of a text; None where no reply to it could be read."""


_RENDERED = 20
_VERDICT_TOKENS = 2


class Survey:
    """The replies to one way of asking; the counts go on from call to call."""

    def __init__(self, way: Confidence, *, temperature: float, draws: int, seed: int) -> None:
        self._way = way
        self._draws = draws
        self._seed = seed
        self._sampling = Sampling(
            temperature=temperature,
            max_tokens=way.max_tokens,
            schema=way.schema,
            top_logprobs=way.top_logprobs,
        )
        self._counter = UsageCounter()
        self._served: set[str] = set()
        self.usage = Usage()
        self.asked = 0
        """Texts that were asked about, and, by reason, those that are missing."""
        self.missing: Counter[str] = Counter()

    @property
    def served(self) -> list[str]:
        """What the servers say that they ran."""
        return sorted(self._served)

    def reasons(self) -> str:
        """Say why texts are missing, the most frequent reasons first."""
        return ", ".join(f"{reason} {n:,}" for reason, n in self.missing.most_common(5))

    def rows(
        self,
        model: ChatModel,
        texts: Sequence[str],
        answers: Answers,
        *,
        judge: Callable[[], ChatModel],
    ) -> list[Row]:
        """Return for each text the mean of its draws that could be read."""
        chats = [self._chat(text, draw) for text in texts for draw in range(self._draws)]
        if self._way.top_logprobs:
            self._read_all(model, chats[:1], answers)  # raises at once where an engine has none
        replies = list(self._ask(model, chats, answers))
        read = [self._read(reply) for reply in replies]
        statements = iter(self._judged(read, replies, answers, judge))
        rows: list[Row] = []
        for _ in texts:
            drawn = list(islice(statements, self._draws))
            found = [item.probabilities for item in drawn if item.probabilities is not None]
            if not found:
                self.missing[str(drawn[0].reason)] += 1
            rows.append(np.mean(found, axis=0) if found else None)
        self.asked += len(texts)
        return rows

    def of_texts(
        self, model: ChatModel, texts: Sequence[str], answers: Answers
    ) -> list[tuple[float, ...]]:
        """Return what can be read of the replies to texts, without counting them."""
        read = self._read_all(model, [self._chat(text, 0) for text in texts], answers)
        return [item.probabilities for item in read if item.probabilities is not None]

    def _chat(self, text: str, draw: int) -> ChatRequest:
        return ChatRequest(
            messages=self._way.ask(text), sampling=self._sampling, seed=self._seed, draw=draw
        )

    def _read_all(
        self, model: ChatModel, chats: Sequence[ChatRequest], answers: Answers
    ) -> list[Statement]:
        return [self._read(reply) for reply in self._ask(model, chats, answers)]

    def _read(self, reply: ChatAnswer) -> Statement:
        return self._way.read(reply) if reply.ok else Statement(reason=reply.failure)

    def _judged(
        self,
        statements: Sequence[Statement],
        replies: Sequence[ChatAnswer],
        answers: Answers,
        judge: Callable[[], ChatModel],
    ) -> list[Statement]:
        """Have the judge read those replies that name a class in words."""
        way = self._way
        judged = list(statements)
        if not isinstance(way, JudgedWords):
            return judged
        sampling = Sampling(max_tokens=way.judge_tokens)
        waiting = [(at, item.label) for at, item in enumerate(statements) if item.label is not None]
        chats = [
            ChatRequest(
                messages=way.ask_judge(replies[at].text or "", label),
                sampling=sampling,
                seed=self._seed,
            )
            for at, label in waiting
        ]
        with closing(judge()) as model:
            for (at, label), verdict in zip(waiting, self._ask(model, chats, answers), strict=True):
                judged[at] = (
                    way.read_judge(label, verdict)
                    if verdict.ok
                    else Statement(reason=f"judge: {verdict.failure}")
                )
        return judged

    def _ask(
        self, model: ChatModel, chats: Sequence[ChatRequest], answers: Answers
    ) -> Iterator[ChatAnswer]:
        replies = answers.ask(model, chats, is_refusal=is_refusal)
        for chat, reply in zip(chats, replies, strict=True):
            self.usage += self._counter.of(chat, reply)
            if reply.served_model:
                self._served.add(reply.served_model)
            yield reply


def expected_usage(
    way: Confidence,
    texts: Sequence[str],
    *,
    draws: int,
    model: ChatModel,
    judge: Callable[[], ChatModel],
) -> Usage:
    """Return about what it takes to ask about all texts, by the length of up to 20 prompts."""
    if not texts:
        return Usage()
    shown = texts[:: -(-len(texts) // _RENDERED)]
    length = sum(model.count_tokens(way.ask(text)) for text in shown) / len(shown)
    requests = len(texts) * draws
    usage = _of(model, requests, length, way.usual_tokens)
    if isinstance(way, JudgedWords):
        judging = judge()
        length = judging.count_tokens(way.ask_judge("word " * way.usual_tokens, 0))
        usage += _of(judging, requests, length, _VERDICT_TOKENS)
    return usage


def _of(model: ChatModel, requests: int, prompt: float, completion: int) -> Usage:
    tokens = round(requests * prompt), requests * completion
    return Usage(requests, *tokens, (model.price or Price()).cost(*tokens))
