"""Tokenized texts, and batches of similar length. Imports torch.

Each distinct text is tokenized once. A batch is gathered from one flat tensor of all tokens on the
device and is as wide as its longest text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WINDOW = 32
"""Number of batches in a window, within which rows are sorted by length."""
_ROWS, _TOKENS, _TOKENS_ON_CPU = 128, 16_384, 1024
"""Maximum rows and maximum tokens, padding included, of an inference batch.

On a CPU, tweets took 1.6 times as long with the GPU's limit, more than the padding explains.
"""


class TokenizedTexts:
    """The tokens of n texts; `lengths` (n,) is the number of tokens of each."""

    def __init__(
        self, tokenizer: Any, texts: Sequence[str], max_length: int, device: torch.device
    ) -> None:
        ids = _tokenize(tokenizer, texts, max_length)
        self.lengths: NDArray[np.int64] = np.array([len(item) for item in ids], dtype=np.int64)
        ends = np.cumsum(self.lengths)
        tokens = (token for item in ids for token in item)
        flat = np.fromiter(tokens, np.int64, int(self.lengths.sum()))
        self._flat = torch.from_numpy(flat).to(device)
        self._starts = torch.from_numpy(ends - self.lengths).to(device)
        self._lengths = torch.from_numpy(self.lengths).to(device)
        self._padding = int(tokenizer.pad_token_id)
        self._multiple = 8 if device.type == "cuda" else 1  # for tensor cores

    def batch(self, rows: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return token ids, int64 (b, w), and the attention mask, None without padding."""
        lengths = self.lengths[rows]
        width = -(-int(lengths.max()) // self._multiple) * self._multiple
        index = torch.from_numpy(rows).to(self._flat.device)
        columns = torch.arange(width, device=self._flat.device)
        positions = self._starts[index, None] + columns
        if int(lengths.min()) == width:
            return self._flat[positions], None
        mask = columns < self._lengths[index, None]
        ids = self._flat[positions.clamp_max(len(self._flat) - 1)]
        return ids.masked_fill(~mask, self._padding), mask.long()


def _tokenize(tokenizer: Any, texts: Sequence[str], max_length: int) -> list[list[int]]:
    if not texts:
        return []
    # Python strings may contain unpaired surrogates, which tokenizers reject.
    clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
    ids = tokenizer(
        clean,
        truncation=True,
        max_length=max_length,
        return_attention_mask=False,
        return_token_type_ids=False,
    )["input_ids"]
    # A tokenizer without special tokens returns no tokens for an empty text.
    return [item or [tokenizer.pad_token_id] for item in ids]


def training_batches(
    lengths: NDArray[np.int64], batch_size: int, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Return the rows of each batch of one epoch: every row once, rows of similar length together.

    The rows are shuffled and split into windows, at least four if there is enough data. Rows are
    sorted by length within a window and split into batches, and the batches are shuffled.
    """
    order = rng.permutation(len(lengths))
    batches = -(-len(order) // batch_size)
    window = batch_size * max(1, min(_WINDOW, batches // 4))
    parts = []
    for start in range(0, len(order), window):
        part = order[start : start + window]
        part = part[np.argsort(lengths[part], kind="stable")]
        parts += [part[at : at + batch_size] for at in range(0, len(part), batch_size)]
    return [parts[at] for at in rng.permutation(len(parts))]


def inference_batches(
    lengths: NDArray[np.int64], device: torch.device, pieces: int = 1
) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of each batch, the longest first, so that running out of memory shows early.

    With `pieces` > 1, batches have 1/`pieces` of the usual number of rows.
    """
    tokens = _TOKENS_ON_CPU if device.type == "cpu" else _TOKENS
    order = np.argsort(-lengths, kind="stable")
    at = 0
    while at < len(order):
        rows = max(1, min(_ROWS, tokens // int(lengths[order[at]])) // pieces)
        yield order[at : at + rows]
        at += rows
