"""The responses of a language model about many texts, and statistics on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from fgbench import (
    Answers,
    ChatAnswer,
    ChatModel,
    ChatRequest,
    Price,
    Sampling,
    Usage,
    joined_notes,
    served_notes,
)
from fgbench_plugins.classifiers.llm_confidence import Confidence, JudgedWords, Statement
from fgbench_plugins.language_models.parsing import is_refusal
from fgbench_plugins.language_models.usage_counter import UsageCounter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Row = NDArray[np.float64] | None
    """The probabilities (K,) of a text, None if none of its replies could be parsed."""


_SAMPLED_PROMPTS = 20
_JUDGMENT_TOKENS = 2


class Responses:
    """Asks for classes with one elicitation method; statistics accumulate across calls."""

    def __init__(
        self,
        confidence: Confidence,
        *,
        temperature: float,
        draws: int,
        seed: int,
        thinking_tokens: int = 0,
    ) -> None:
        self._confidence = confidence
        self._thinking_tokens = thinking_tokens
        self._draws = draws
        self._seed = seed
        self._sampling = Sampling(
            temperature=temperature,
            max_tokens=confidence.max_tokens + thinking_tokens,
            schema=confidence.schema,
            top_logprobs=confidence.top_logprobs,
        )
        self._counter = UsageCounter()
        self._served: Counter[str] = Counter()
        self._notes: Counter[str] = Counter()
        self.usage = Usage()
        self.asked = 0
        """Number of texts."""
        self.missing: Counter[str] = Counter()
        """Number of texts without a parsed reply, by reason."""

    @property
    def served(self) -> list[str]:
        """The models that the servers report."""
        return sorted(self._served)

    @property
    def notes(self) -> list[str]:
        """The deviations of replies from the requests, with their number; models included."""
        others, served = joined_notes(self._notes)
        counted = [f"{note} ({count:,} replies)" for note, count in sorted(others.items())]
        return ([served] if served else []) + counted

    def reasons(self) -> str:
        """Return why texts are missing, the most frequent reasons first."""
        return ", ".join(f"{reason} {n:,}" for reason, n in self.missing.most_common(5))

    def rows(
        self,
        model: ChatModel,
        texts: Sequence[str],
        answers: Answers,
        *,
        judge: Callable[[], ChatModel],
    ) -> list[Row]:
        """Return for each text the mean over its draws whose reply could be parsed."""
        chats = [self._chat(text, draw) for text in texts for draw in range(self._draws)]
        if self._confidence.top_logprobs:
            self._read_all(model, chats[:1], answers)  # raises early if the engine has none
        replies = list(self._ask(model, chats, answers))
        unjudged = [self._read(reply) for reply in replies]
        statements = iter(self._judged(unjudged, replies, answers, judge))
        rows: list[Row] = []
        for _ in texts:
            drawn = list(islice(statements, self._draws))
            rows_of_text = [item.probabilities for item in drawn if item.probabilities is not None]
            if not rows_of_text:
                self.missing[str(drawn[0].reason)] += 1
            rows.append(np.mean(rows_of_text, axis=0) if rows_of_text else None)
        self.asked += len(texts)
        return rows

    def of_texts(
        self, model: ChatModel, texts: Sequence[str], answers: Answers
    ) -> list[tuple[float, ...]]:
        """Return the probabilities of the replies that can be parsed, without counting them."""
        statements = self._read_all(model, [self._chat(text, 0) for text in texts], answers)
        return [item.probabilities for item in statements if item.probabilities is not None]

    def _chat(self, text: str, draw: int) -> ChatRequest:
        return ChatRequest(
            messages=self._confidence.ask(text), sampling=self._sampling, seed=self._seed, draw=draw
        )

    def _read_all(
        self, model: ChatModel, chats: Sequence[ChatRequest], answers: Answers
    ) -> list[Statement]:
        return [self._read(reply) for reply in self._ask(model, chats, answers)]

    def _read(self, reply: ChatAnswer) -> Statement:
        return self._confidence.read(reply) if reply.ok else Statement(reason=reply.failure)

    def _judged(
        self,
        statements: Sequence[Statement],
        replies: Sequence[ChatAnswer],
        answers: Answers,
        judge: Callable[[], ChatModel],
    ) -> list[Statement]:
        """Have the judge rate the replies that express their confidence in words."""
        confidence = self._confidence
        judged = list(statements)
        if not isinstance(confidence, JudgedWords):
            return judged
        sampling = Sampling(max_tokens=confidence.judge_tokens + self._thinking_tokens)
        labels = [
            (index, item.label) for index, item in enumerate(statements) if item.label is not None
        ]
        chats = [
            ChatRequest(
                messages=confidence.ask_judge(replies[index].text or "", label),
                sampling=sampling,
                seed=self._seed,
            )
            for index, label in labels
        ]
        with closing(judge()) as model:
            judgments = self._ask(model, chats, answers)
            for (index, label), judgment in zip(labels, judgments, strict=True):
                judged[index] = (
                    confidence.read_judge(label, judgment)
                    if judgment.ok
                    else Statement(reason=f"judge: {judgment.failure}")
                )
        return judged

    def _ask(
        self, model: ChatModel, chats: Sequence[ChatRequest], answers: Answers
    ) -> Iterator[ChatAnswer]:
        replies = answers.ask(model, chats, is_refusal=is_refusal)
        for chat, reply in zip(chats, replies, strict=True):
            self.usage += self._counter.of(chat, reply)
            if reply.served_model:
                self._served[reply.served_model] += 1
            self._notes.update([*reply.notes, *served_notes(model, reply)])
            yield reply


def expected_usage(
    confidence: Confidence,
    texts: Sequence[str],
    *,
    draws: int,
    model: ChatModel,
    judge: Callable[[], ChatModel],
    thinking_tokens: int = 0,
) -> Usage:
    """Return the expected usage for all texts, estimated from up to 20 prompts."""
    if not texts:
        return Usage()
    sampled = texts[:: -(-len(texts) // _SAMPLED_PROMPTS)]
    length = sum(model.count_tokens(confidence.ask(text)) for text in sampled) / len(sampled)
    requests = len(texts) * draws
    usage = _usage(model, requests, length, confidence.typical_tokens + thinking_tokens)
    if isinstance(confidence, JudgedWords):
        judge_model = judge()
        prompt = confidence.ask_judge("word " * confidence.typical_tokens, 0)
        length = judge_model.count_tokens(prompt)
        usage += _usage(judge_model, requests, length, _JUDGMENT_TOKENS + thinking_tokens)
    return usage


def _usage(model: ChatModel, requests: int, prompt: float, completion: int) -> Usage:
    tokens = round(requests * prompt), requests * completion
    return Usage(requests, *tokens, (model.price or Price()).cost(*tokens))
