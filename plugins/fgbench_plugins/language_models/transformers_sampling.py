"""Sampling with transformers' `generate`, each row with its own seed. Imports torch.

Each step compares one uniform number from the seed of the request with the cumulative
probabilities. The answer of a row therefore depends only on its own logits, not on its batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import LogitsProcessor, StoppingCriteria

from fgbench import ChatRequest, TokenChoice
from fgbench_plugins.language_models.chat_prompts import tokens_of


@dataclass(frozen=True)
class Generated:
    """The answer of one row; `tokens` is None unless log-probabilities are requested."""

    text: str
    finish_reason: str
    completion_tokens: int
    tokens: tuple[TokenChoice, ...] | None


def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[list[int]],
    requests: Sequence[ChatRequest],
    *,
    eos: frozenset[int],
    device: torch.device,
) -> list[Generated]:
    """Generate the answer to each prompt with the sampling of its request."""
    width = max(len(ids) for ids in prompts)
    input_ids = torch.zeros((len(prompts), width), dtype=torch.long)
    mask = torch.zeros_like(input_ids)
    for row, ids in enumerate(prompts):
        input_ids[row, width - len(ids) :] = torch.tensor(ids)
        mask[row, width - len(ids) :] = 1
    sampler = _Sampler(requests, width, device)
    ends = _Ends(requests, width, tokenizer, eos)
    with torch.inference_mode():
        sequences = model.generate(
            input_ids.to(device),
            attention_mask=mask.to(device),
            max_new_tokens=max(request.sampling.max_tokens for request in requests),
            logits_processor=[sampler],
            stopping_criteria=[ends],
        )
    new = sequences[:, width:].tolist()
    return [
        _generated(row, new[row][: ends.lengths[row]], request, ends, sampler, tokenizer)
        for row, request in enumerate(requests)
    ]


def _generated(
    row: int, ids: list[int], request: ChatRequest, ends: _Ends, sampler: _Sampler, tokenizer: Any
) -> Generated:
    ended = bool(ids) and ids[-1] in ends.eos
    content = ids[:-1] if ended else ids
    text, truncated = _before_stop(
        tokenizer.decode(content, skip_special_tokens=True), request.sampling.stop
    )
    tokens = None
    if request.sampling.top_logprobs:
        choices = [
            sampler.choice(row, step, token, tokenizer) for step, token in enumerate(content)
        ]
        tokens = tokens_of(text, choices) if truncated else tuple(choices)
    reason = "stop" if ended or truncated else "length"
    return Generated(text, reason, len(ids), tokens)


def _before_stop(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """Return a text up to the first stop string, and whether it contains one."""
    positions = [index for index in (text.find(stop) for stop in stops if stop) if index >= 0]
    return (text[: min(positions)], True) if positions else (text, False)


class _Sampler(LogitsProcessor):  # type: ignore[misc]
    """Samples the next token of each row and masks all other tokens."""

    def __init__(self, requests: Sequence[ChatRequest], width: int, device: torch.device) -> None:
        self._width = width
        samplings = [request.sampling for request in requests]
        # Metal does not support float64.
        self._dtype = torch.float32 if device.type == "mps" else torch.float64
        self._greedy = torch.tensor([item.temperature <= 0 for item in samplings], device=device)
        self._temperature = self._column([item.temperature or 1.0 for item in samplings], device)
        self._top_p = self._column([item.top_p for item in samplings], device)
        self._uses_top_p = any(item.top_p < 1 for item in samplings)
        steps = max(item.max_tokens for item in samplings)
        uniform = np.stack(
            [np.random.default_rng(request.sampling_seed).random(steps) for request in requests]
        )
        self._uniform = torch.tensor(uniform, dtype=self._dtype, device=device)
        self._max_logprobs = max(item.top_logprobs for item in samplings)
        self._top_logprobs = [item.top_logprobs for item in samplings]
        self._records: list[tuple[list[float], list[list[float]], list[list[int]]]] = []

    def _column(self, values: Sequence[float], device: torch.device) -> torch.Tensor:
        return torch.tensor(values, dtype=self._dtype, device=device)[:, None]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return scores (b, V) in which only the sampled token of each row is possible."""
        step = input_ids.shape[1] - self._width
        chosen = torch.where(self._greedy, scores.argmax(dim=-1), self._drawn(scores, step))[
            :, None
        ]
        if self._max_logprobs:
            self._record(scores, chosen)
        return torch.full_like(scores, -torch.inf).scatter_(1, chosen, 0.0)

    def _drawn(self, scores: torch.Tensor, step: int) -> torch.Tensor:
        weights = (scores.to(self._dtype) / self._temperature).softmax(dim=-1)
        if self._uses_top_p:
            ranked, order = weights.sort(dim=-1, descending=True, stable=True)
            before = ranked.cumsum(dim=-1) - ranked
            weights = torch.zeros_like(weights).scatter_(
                1, order, ranked.masked_fill(before >= self._top_p, 0.0)
            )
        cumulative = weights.cumsum(dim=-1)
        threshold = self._uniform[:, step, None] * cumulative[:, -1:]
        tokens = torch.searchsorted(cumulative, threshold, right=True)[:, 0]
        return tokens.clamp_max(scores.shape[1] - 1)

    def _record(self, scores: torch.Tensor, chosen: torch.Tensor) -> None:
        logprobs = scores.float().log_softmax(dim=-1)
        top, ids = logprobs.topk(min(self._max_logprobs, logprobs.shape[1]), dim=-1)
        self._records.append(
            (logprobs.gather(1, chosen)[:, 0].tolist(), top.tolist(), ids.tolist())
        )

    def choice(self, row: int, step: int, token: int, tokenizer: Any) -> TokenChoice:
        """Return the token sampled in a row at a step, with the most probable alternatives."""
        chosen, top, ids = self._records[step]
        likeliest = zip(ids[row], top[row], strict=True)
        return TokenChoice(
            tokenizer.decode([token]),
            chosen[row],
            tuple(
                (tokenizer.decode([other]), logprob)
                for other, logprob in list(likeliest)[: self._top_logprobs[row]]
            ),
        )


class _Ends(StoppingCriteria):  # type: ignore[misc]
    """Ends each row at its end token, stop string or maximum length; `lengths` (b,) in tokens."""

    def __init__(
        self, requests: Sequence[ChatRequest], width: int, tokenizer: Any, eos: frozenset[int]
    ) -> None:
        self.eos = eos
        self.lengths = [0] * len(requests)
        self._open = set(range(len(requests)))
        self._samplings = [request.sampling for request in requests]
        self._width = width
        self._tokenizer = tokenizer

    def __call__(self, input_ids: torch.Tensor, scores: Any, **options: Any) -> torch.Tensor:
        """Return which rows are done, bool (b,)."""
        last = input_ids[:, -1].tolist()
        length = input_ids.shape[1] - self._width
        for row in sorted(self._open):
            self.lengths[row] = length
            sampling = self._samplings[row]
            if (
                last[row] in self.eos
                or length >= sampling.max_tokens
                or (sampling.stop and self._stopped(input_ids[row, self._width :], sampling.stop))
            ):
                self._open.discard(row)
        done = [row not in self._open for row in range(len(self.lengths))]
        return torch.tensor(done, device=input_ids.device)

    def _stopped(self, ids: torch.Tensor, stops: Sequence[str]) -> bool:
        # A token is at least one byte of a character, which bounds the number of tokens to decode.
        tail = ids[-4 * max(map(len, stops)) - 8 :].tolist()
        text = self._tokenizer.decode(tail, skip_special_tokens=True)
        return any(stop in text for stop in stops if stop)
