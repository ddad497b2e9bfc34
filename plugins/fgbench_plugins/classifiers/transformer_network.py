"""The network: a pretrained encoder, pooling, dropout and a linear head. Imports torch."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fgbench import ConfigurationError, DataError
from fgbench_plugins.hub import ModelSource
from fgbench_plugins.torch_runtime import check_vocabulary, quiet_transformers

_HEAD_SCALE = 0.02
"""Standard deviation of the initial weights of the head, as in BERT."""


class Network(nn.Module):
    """Encoder → pooled features → dropout → linear head."""

    def __init__(self, encoder: Any, pooling: str, dropout: float, n_classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(encoder.config.hidden_size, n_classes)
        nn.init.normal_(self.linear.weight, std=_HEAD_SCALE)
        nn.init.zeros_(self.linear.bias)

    def features(self, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Return the pooled output, float32 (b, d), of token ids (b, w); no mask: no padding."""
        output = self.encoder(input_ids=ids, attention_mask=mask)
        if self.pooling == "pooler":
            return output.pooler_output.float()
        hidden = output.last_hidden_state
        if self.pooling == "cls":
            return hidden[:, 0].float()
        if mask is None:
            return hidden.float().mean(dim=1)
        weights = mask[:, :, None].float()
        return (hidden.float() * weights).sum(dim=1) / weights.sum(dim=1)

    def head(self, features: torch.Tensor) -> torch.Tensor:
        """Return the logits (b, K) of features (b, d)."""
        return self.linear(self.dropout(features))


@dataclass(frozen=True)
class Pretrained:
    """A loaded encoder, its tokenizer and its default pooling."""

    encoder: Any
    tokenizer: Any
    pooling: str
    max_length: int

    def network(self, pooling: str, dropout: float, n_classes: int) -> Network:
        """Return a network with a copy of the encoder; torch draws the weights of the head."""
        encoder = copy.deepcopy(self.encoder)
        chosen = self.pooling if pooling == "auto" else pooling
        if chosen == "pooler" and getattr(encoder, "pooler", None) is None:
            raise ConfigurationError(
                f"model {encoder.name_or_path!r} has no trained pooler: use pooling=cls or "
                "pooling=mean."
            )
        if chosen != "pooler" and hasattr(encoder, "pooler"):
            encoder.pooler = None
        return Network(encoder, chosen, dropout, n_classes)


@lru_cache(maxsize=2)
def load_pretrained(source: ModelSource) -> Pretrained:
    """Return a pretrained model on the CPU, in float32, loaded once per process.

    Raises `DataError` for a corrupt folder, `ConfigurationError` for a model that is not an
    encoder.
    """
    from transformers import AutoModel

    with quiet_transformers(), _readable(source):
        encoder, info = AutoModel.from_pretrained(
            source.folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    missing = sorted(info["missing_keys"])
    if missing and all(key.startswith("pooler.") for key in missing):
        encoder.pooler = None
        missing = []
    if missing or info["mismatched_keys"]:
        first = missing[0] if missing else next(iter(info["mismatched_keys"]))
        raise DataError(
            f"model {source.name!r}: the weights in {source.folder} do not match its config.json "
            f"(first of {len(missing) or len(info['mismatched_keys'])} mismatches: {first})."
        )
    encoder.name_or_path = source.name
    return _pretrained(source.name, source.folder, encoder)


def new_pretrained(name: str, folder: Path) -> Pretrained:
    """Return the model that config.json in a folder describes, with its weights not yet loaded."""
    from transformers import AutoConfig, AutoModel

    source = ModelSource(name, folder, "")
    with quiet_transformers(), _readable(source):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        encoder = AutoModel.from_config(config, dtype=torch.float32, trust_remote_code=False)
    return _pretrained(name, folder, encoder)


def _pretrained(name: str, folder: Path, encoder: Any) -> Pretrained:
    from transformers import AutoTokenizer

    if encoder.config.is_encoder_decoder or not hasattr(encoder.config, "hidden_size"):
        raise ConfigurationError(
            f"model {name!r} is a {encoder.config.model_type}, not a text encoder like BERT."
        )
    with quiet_transformers(), _readable(ModelSource(name, folder, "")):
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    if tokenizer.pad_token_id is None:
        raise ConfigurationError(
            f"model {name!r}: its tokenizer has no padding token, so it cannot encode batches."
        )
    check_vocabulary(tokenizer, encoder, name)
    has_pooler = getattr(encoder, "pooler", None) is not None
    pooling = _declared_pooling(folder) or ("pooler" if has_pooler else "cls")
    longest = min(_positions(encoder), tokenizer.model_max_length)
    return Pretrained(encoder.eval(), tokenizer, pooling, longest)


def _declared_pooling(folder: Path) -> str | None:
    """Return the pooling that a sentence encoder declares, None if the folder declares none."""
    path = folder / "1_Pooling" / "config.json"
    try:
        declared = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if declared.get("pooling_mode_mean_tokens"):
        return "mean"
    return "cls" if declared.get("pooling_mode_cls_token") else None


def _positions(encoder: Any) -> int:
    """Return the number of token positions; RoBERTa's start after the padding index."""
    for name, module in encoder.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            padding = module.padding_idx
            return module.num_embeddings - (0 if padding is None else padding + 1)
    return int(getattr(encoder.config, "max_position_embeddings", 0) or 10**9)


@contextmanager
def _readable(source: ModelSource) -> Iterator[None]:
    """Turn anything that the loading libraries raise for a corrupt folder into a `DataError`."""
    try:
        yield
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or "no reason given"
        raise DataError(
            f"model {source.name!r}: {source.folder} cannot be loaded ({type(error).__name__}: "
            f"{reason}). Download it again or use another folder."
        ) from error
