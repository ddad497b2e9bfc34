"""A fine-tuned network: its predictions and its files. Imports torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fgbench import ConfigurationError, DataError, Outputs, seed_for
from fgbench_plugins.classifiers.transformer_batches import TokenizedTexts, inference_batches
from fgbench_plugins.classifiers.transformer_network import Network, new_pretrained
from fgbench_plugins.torch_runtime import (
    autocast,
    choose_device,
    free_memory,
    is_out_of_memory,
    torch_state,
)

if TYPE_CHECKING:
    from pathlib import Path

    from fgbench_plugins.classifiers.transformer_settings import TransformerSettings

_DESCRIPTION, _WEIGHTS = "classifier.json", "weights.safetensors"


@dataclass
class FittedTransformer:
    """A trained network on its device, and its tokenizer."""

    network: Network
    tokenizer: Any
    max_length: int
    device: torch.device
    seed: int
    model: str

    def predict(
        self, inputs: Sequence[str], outputs: frozenset[str], settings: TransformerSettings
    ) -> tuple[Outputs, list[str]]:
        """Return the outputs for n texts, in their order, and notes for the user.

        Each distinct text is computed once. If memory runs out, everything is computed once more
        with half the batch size. Raises `ConfigurationError` if that is not enough.
        """
        distinct = {text: row for row, text in enumerate(dict.fromkeys(inputs))}
        rows = np.array([distinct[text] for text in inputs], dtype=np.int64)
        texts = TokenizedTexts(self.tokenizer, list(distinct), self.max_length, self.device)
        passes = settings.passes if "stochastic_logits" in outputs else 0
        notes = []
        arrays = self._attempt(texts, settings, passes, pieces=1)
        if arrays is None:
            notes.append(
                f"out of memory on {self.device.type} while predicting: texts were classified in "
                "batches half as large" + (", with other dropout masks" if passes else "")
            )
            free_memory(self.device)
            arrays = self._attempt(texts, settings, passes, pieces=2)
        if arrays is None:
            raise ConfigurationError(
                f"model {self.model!r}: out of memory on {self.device.type} while predicting, even "
                "with half the batch size; use a smaller max_length or model, or device=cpu."
            )
        logits, features, stochastic = arrays
        return Outputs(
            logits=logits[rows],
            features=features[rows] if "features" in outputs else None,
            stochastic_logits=stochastic[:, rows] if passes else None,
            head=self._head() if "features" in outputs else None,
        ), notes

    def _head(self) -> Any:
        """Return the weights of the linear layer with the bias as last row, float32 (d + 1, K)."""
        linear = self.network.linear
        rows = [linear.weight.detach().T, linear.bias.detach()[None]]
        return torch.cat(rows).float().cpu().numpy()

    def _attempt(
        self, texts: TokenizedTexts, settings: TransformerSettings, passes: int, pieces: int
    ) -> list[Any] | None:
        """Return the result of `_forward`, or None if memory ran out."""
        try:
            with torch_state(
                self.device,
                seed_for("stochastic passes", self.seed),
                threads=settings.threads,
                deterministic=settings.deterministic,
            ):
                return self._forward(texts, settings.precision, passes, pieces)
        except RuntimeError as error:
            if is_out_of_memory(error):
                return None
            raise

    def _forward(
        self, texts: TokenizedTexts, precision: str, passes: int, pieces: int
    ) -> list[Any]:
        """Return logits (n, K), features (n, d) and stochastic logits (passes, n, K)."""
        n, network = len(texts.lengths), self.network
        logits = np.empty((n, network.linear.out_features), np.float32)
        features = np.empty((n, network.linear.in_features), np.float32)
        stochastic = np.empty((passes, *logits.shape), np.float32)
        with torch.inference_mode():
            for rows in inference_batches(texts.lengths, self.device, pieces):
                batch = texts.batch(rows)
                network.eval()
                with autocast(precision, self.device):
                    pooled = network.features(*batch)
                features[rows] = pooled.cpu().numpy()
                logits[rows] = network.head(pooled).cpu().numpy()
                network.train()  # enables dropout
                for index in range(passes):
                    with autocast(precision, self.device):
                        pooled = network.features(*batch)
                    stochastic[index, rows] = network.head(pooled).cpu().numpy()
        network.eval()
        return [logits, features, stochastic]

    def save(self, folder: Path) -> None:
        """Write weights, encoder configuration, tokenizer and a description of the classifier."""
        from safetensors.torch import save_model

        self.network.encoder.config.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        save_model(self.network, str(folder / _WEIGHTS))
        description = {
            "model": self.model,
            "pooling": self.network.pooling,
            "n_classes": self.network.linear.out_features,
            "max_length": self.max_length,
            "seed": self.seed,
        }
        (folder / _DESCRIPTION).write_text(json.dumps(description, indent=1), "utf-8")

    @classmethod
    def load(cls, folder: Path, settings: TransformerSettings) -> FittedTransformer:
        """Read what `save` wrote. Raises `DataError` for a corrupt folder."""
        from safetensors import SafetensorError
        from safetensors.torch import load_model

        device = choose_device(settings.device)
        try:
            saved = json.loads((folder / _DESCRIPTION).read_text("utf-8"))
            pretrained = new_pretrained(saved["model"], folder)
            if saved["pooling"] != "pooler" and hasattr(pretrained.encoder, "pooler"):
                pretrained.encoder.pooler = None
            network = Network(
                pretrained.encoder, saved["pooling"], settings.dropout, saved["n_classes"]
            )
            load_model(network, str(folder / _WEIGHTS))
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise DataError(f"{folder}: not a saved transformer classifier ({error}).") from error
        network.eval()
        return cls(
            network.to(device),
            pretrained.tokenizer,
            saved["max_length"],
            device,
            saved["seed"],
            saved["model"],
        )
