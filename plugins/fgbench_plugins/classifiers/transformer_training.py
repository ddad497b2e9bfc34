"""Fine-tuning in plain torch. Imports torch."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fgbench import ConfigurationError, LossBatch, seed_for
from fgbench_plugins.classifiers.transformer_batches import (
    TokenizedTexts,
    inference_batches,
    training_batches,
)
from fgbench_plugins.classifiers.transformer_inference import FittedTransformer
from fgbench_plugins.classifiers.transformer_network import load_pretrained
from fgbench_plugins.losses.cross_entropy import CrossEntropy
from fgbench_plugins.torch_runtime import (
    autocast,
    choose_device,
    free_memory,
    is_out_of_memory,
    torch_state,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fgbench import Loss, TrainingSet
    from fgbench_plugins.classifiers.transformer_settings import TransformerSettings
    from fgbench_plugins.hub import ModelSource

_HELD_OUT = 0.1
"""Fraction of the training rows held out for early stopping."""
_CHECK_INTERVAL = 32
"""Steps between two checks of the loss on a GPU; each check waits for the GPU."""


def fine_tune(
    settings: TransformerSettings,
    source: ModelSource,
    training: TrainingSet,
    loss: Loss,
    seed: int,
) -> tuple[FittedTransformer, list[str]]:
    """Return the trained network, and notes for the user.

    If memory runs out, training restarts once with each batch computed in twice as many pieces;
    the batch size of an optimizer step does not change. Raises `ConfigurationError` if that is not
    enough, or if the loss is no longer finite.
    """
    device = choose_device(settings.device)
    pieces, notes = settings.accumulation, []
    fitted = _attempt(settings, source, training, loss, seed, device, pieces)
    if fitted is None and settings.batch_size > pieces:
        size = -(-settings.batch_size // pieces)
        pieces *= 2
        notes.append(
            f"out of memory on {device.type} with {size} texts at once: each batch of "
            f"{settings.batch_size} was computed in {pieces} pieces"
        )
        free_memory(device)
        fitted = _attempt(settings, source, training, loss, seed, device, pieces)
    if fitted is None:
        raise ConfigurationError(
            f"model {source.name!r}: out of memory on {device.type} with batches of "
            f"{settings.batch_size} in {pieces} pieces; set accumulation={2 * pieces} or more, or "
            "a smaller max_length."
        )
    return fitted, notes


def _attempt(
    settings: TransformerSettings,
    source: ModelSource,
    training: TrainingSet,
    loss: Loss,
    seed: int,
    device: torch.device,
    pieces: int,
) -> FittedTransformer | None:
    """Return the trained network, or None if memory ran out."""
    pretrained = load_pretrained(source)
    max_length = min(settings.max_length, pretrained.max_length)
    try:
        with torch_state(
            device,
            seed_for("torch", seed),
            threads=settings.threads,
            deterministic=settings.deterministic,
        ):
            network = pretrained.network(settings.pooling, settings.dropout, training.n_classes)
            rows = _Rows(training, pretrained.tokenizer, max_length, device)
            network.to(device)
            _train(network, rows, settings, loss, seed, device, pieces)
    except RuntimeError as error:
        if is_out_of_memory(error):
            return None
        raise
    return FittedTransformer(
        network.eval(), pretrained.tokenizer, max_length, device, seed, source.name
    )


class _Rows:
    """A training set on the device."""

    def __init__(
        self, training: TrainingSet, tokenizer: Any, max_length: int, device: torch.device
    ) -> None:
        distinct = {text: row for row, text in enumerate(dict.fromkeys(training.inputs))}
        self._text = np.array([distinct[text] for text in training.inputs], dtype=np.int64)
        self._texts = TokenizedTexts(tokenizer, list(distinct), max_length, device)
        self.lengths = self._texts.lengths[self._text]
        self._targets = LossBatch(
            torch.tensor(np.asarray(training.labels), dtype=torch.int64, device=device),
            torch.tensor(np.asarray(training.soft_labels), dtype=torch.float32, device=device),
            torch.tensor(np.asarray(training.synthetic), dtype=torch.bool, device=device),
        )

    def batch(self, rows: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor | None, LossBatch]:
        """Return token ids, attention mask and targets of the rows."""
        index = torch.from_numpy(rows).to(self._targets.labels.device)
        ids, mask = self._texts.batch(self._text[rows])
        return ids, mask, LossBatch(*(target[index] for target in self._targets))


def _train(
    network: Any,
    rows: _Rows,
    settings: TransformerSettings,
    loss: Loss,
    seed: int,
    device: torch.device,
    pieces: int,
) -> None:
    objective = loss if "gradient" in loss.needs else CrossEntropy()
    rng = np.random.default_rng(seed_for("loss", seed))
    trained, held_out = _hold_out(len(rows.lengths), settings.early_stopping, seed)
    per_epoch = -(-len(trained) // settings.batch_size)
    total = settings.steps or settings.epochs * per_epoch
    optimizer = _optimizer(network, settings)
    best = _Best(network, settings.early_stopping)
    interval = 1 if device.type == "cpu" else _CHECK_INTERVAL
    losses = _LossMonitor(settings.learning_rate, total, interval)
    network.train()
    for step, batch in _steps(rows.lengths[trained], settings.batch_size, total, seed):
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * _rate(step, total, settings)
        value: Any = 0.0
        for piece in np.array_split(trained[batch], min(pieces, len(batch))):
            ids, mask, targets = rows.batch(piece)
            with autocast(settings.precision, device):
                features = network.features(ids, mask)
            piece_loss = objective.of_features(features, network.head, targets, rng)
            piece_loss = piece_loss * (len(piece) / len(batch))
            piece_loss.backward()
            value = value + piece_loss.detach()
        losses.check(step, value)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if settings.early_stopping and (step + 1) % per_epoch == 0:
            splits = pieces // settings.accumulation
            if best.is_reached(_held_out_loss(network, rows, held_out, settings, device, splits)):
                break
            network.train()
    best.restore()


def _steps(
    lengths: NDArray[np.int64], batch_size: int, total: int, seed: int
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield the number and the rows of each step."""
    step = epoch = 0
    while True:
        rng = np.random.default_rng(seed_for("batches", seed, epoch))
        for batch in training_batches(lengths, batch_size, rng):
            if step == total:
                return
            yield step, batch
            step += 1
        epoch += 1


def _hold_out(n: int, patience: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows to train on and those held out for early stopping."""
    if not patience or n < 2:
        return np.arange(n), np.arange(0)
    order = np.random.default_rng(seed_for("held out", seed)).permutation(n)
    size = max(1, round(_HELD_OUT * n))
    return np.sort(order[size:]), np.sort(order[:size])


def _optimizer(network: Any, settings: TransformerSettings) -> torch.optim.Optimizer:
    """Return Adam or AdamW without weight decay for biases and layer norms."""
    parameters = [item for item in network.parameters() if item.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
    return optimizer(groups, lr=settings.learning_rate, fused=True)


def _rate(step: int, total: int, settings: TransformerSettings) -> float:
    """Return the learning rate of a step as a fraction of the full one."""
    warmup = math.ceil(settings.warmup * total)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    remaining = 1 - (step - warmup) / max(1, total - warmup)
    if settings.schedule == "linear":
        return remaining
    if settings.schedule == "cosine":
        return (1 - math.cos(math.pi * remaining)) / 2
    return 1.0


def _held_out_loss(
    network: Any,
    rows: _Rows,
    held_out: NDArray[np.int64],
    settings: TransformerSettings,
    device: torch.device,
    pieces: int,
) -> float:
    """Return the mean cross-entropy of the held-out rows."""
    network.eval()
    total = 0.0
    with torch.inference_mode():
        for batch in inference_batches(rows.lengths[held_out], device, pieces):
            ids, mask, targets = rows.batch(held_out[batch])
            with autocast(settings.precision, device):
                features = network.features(ids, mask)
            total += float(CrossEntropy()(network.head(features), targets)) * len(batch)
    return total / max(1, len(held_out))


class _Best:
    """Keeps the best weights so far, for early stopping."""

    def __init__(self, network: Any, patience: int) -> None:
        self._network, self._patience = network, patience
        self._loss, self._since = math.inf, 0
        self._weights: dict[str, torch.Tensor] | None = None

    def is_reached(self, loss: float) -> bool:
        """Record the loss of an epoch; return whether `patience` epochs brought no improvement."""
        if loss < self._loss:
            self._loss, self._since = loss, 0
            self._weights = copy.deepcopy(self._network.state_dict())
        else:
            self._since += 1
        return self._since >= self._patience

    def restore(self) -> None:
        """Restore the best weights, if any were recorded."""
        if self._weights is not None:
            self._network.load_state_dict(self._weights)


class _LossMonitor:
    """Stops the training when the loss is not finite."""

    def __init__(self, learning_rate: float, total: int, interval: int) -> None:
        self._learning_rate, self._total, self._interval = learning_rate, total, interval
        self._sum: Any = 0.0

    def check(self, step: int, value: Any) -> None:
        """Add the loss of a step; check the sum every `interval` steps and at the last step."""
        self._sum = self._sum + value
        if (step + 1) % self._interval and step + 1 < self._total:
            return
        if not math.isfinite(float(self._sum)):
            raise ConfigurationError(
                f"the loss is not finite at step {step + 1} of {self._total} "
                f"(learning_rate={self._learning_rate:g}): use a smaller learning rate or another "
                "loss."
            )
        self._sum = 0.0
