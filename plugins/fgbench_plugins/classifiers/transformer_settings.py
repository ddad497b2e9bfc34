"""The settings of a transformer classifier, as its training and its inference read them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TransformerSettings:
    """How an encoder is fine-tuned and run.

    Each field is the parameter of the same name of `TransformerClassifier`, which documents it.
    """

    pooling: str
    dropout: float
    optimizer: str
    learning_rate: float
    weight_decay: float
    schedule: str
    warmup: float
    epochs: int
    steps: int
    max_length: int
    batch_size: int
    accumulation: int
    early_stopping: int
    passes: int
    device: str
    precision: str
    deterministic: bool
    threads: int
