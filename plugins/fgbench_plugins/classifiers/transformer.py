"""Fine-tuned transformer encoders, including FITG's BERT.

torch and transformers are imported when a classifier is trained or used, not with this module.
"""

from __future__ import annotations

from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from fgbench import (
    Access,
    Classifier,
    ConfigurationError,
    Loss,
    Outputs,
    PluginError,
    TrainingSet,
)
from fgbench_plugins.classifiers.transformer_settings import TransformerSettings
from fgbench_plugins.hub import ModelSource, find_model, model_access

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fgbench_plugins.classifiers.transformer_inference import FittedTransformer

Count = Annotated[int, Field(ge=1)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class TransformerClassifier(Classifier):
    """An encoder that `transformers` can load, with dropout and a linear head, fully fine-tuned.

    `model` is a folder or the id of a model on the Hugging Face hub at `revision`. Only safetensors
    weights are read, and code that comes with a model is never run. Texts are truncated to
    `max_length` tokens, or to the model's own limit if that is lower.

    `pooling="auto"` uses the pooling that a sentence encoder declares in `1_Pooling`, else the
    model's trained pooler, else the first token. `dropout` applies to the pooled output; the
    encoder's own dropout is unchanged.

    If `steps` is not 0, it sets the number of optimizer steps regardless of the size of the
    training set, and `epochs` is ignored. Each step sees `batch_size` rows, computed in
    `accumulation` pieces to save memory. `warmup` is a fraction of the steps.
    `early_stopping=n` with n > 0 holds out a tenth of the training rows, stops after n epochs
    without a lower cross-entropy on them, and restores the best epoch.

    `passes` is the number of stochastic passes if a calibrator needs them. `threads` is the
    number of CPU threads (0: all cores). Floating-point sums, and so the last digits of results,
    depend on the threads, the device and the precision. `precision="auto"` is bf16 autocast on a
    GPU that supports it.
    """

    model: Annotated[str, Field(min_length=1)]
    revision: Annotated[str, Field(min_length=1)] = "main"
    pooling: Literal["auto", "pooler", "cls", "mean"] = "auto"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    optimizer: Literal["adam", "adamw"] = "adamw"
    learning_rate: NonNegative = 2e-5
    weight_decay: NonNegative = 0.01
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    epochs: Count = 3
    steps: Annotated[int, Field(ge=0)] = 0
    max_length: Annotated[int, Field(ge=3)] = 512
    batch_size: Count = 32
    accumulation: Count = 1
    early_stopping: Annotated[int, Field(ge=0)] = 0
    passes: Count = 10
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "float32", "bf16"] = "auto"
    deterministic: bool = True
    threads: Annotated[int, Field(ge=0)] = 0

    needs = frozenset({"text"})
    provides = frozenset({"features", "stochastic_forward", "gradient", "weights", "linear_head"})
    requires = ("torch", "transformers", "safetensors")
    """Modules of the extra that this part needs."""

    def __post_init__(self) -> None:
        if self.steps and self.early_stopping:
            raise ValueError("early_stopping and steps exclude each other: set only one")

    @property
    def exclusive(self) -> bool:
        return self.threads == 0

    @classmethod
    def accesses(cls, parameters: Mapping[str, Any]) -> Iterator[Access]:
        """Yield the folder of the model, or the hub, and what other parameters name."""
        yield from super().accesses(parameters)
        model = parameters.get("model", getattr(cls, "model", None))
        if isinstance(model, str):
            yield model_access(model)

    def settings(self) -> TransformerSettings:
        """Return the parameters that training and inference read."""
        names = (field.name for field in fields(TransformerSettings))
        return TransformerSettings(**{name: getattr(self, name) for name in names})

    def source(self) -> ModelSource:
        """Return the model's folder and what identifies it, downloading it if necessary.

        Raises `ConfigurationError` if it is unavailable, `PluginError` without the extra.
        """
        require_extra()
        return find_model(self.model, self.revision)

    def content_digest(self) -> str:
        """Return the commit of the pretrained model, or the digest of its folder."""
        return self.source().revision

    def published_parameters(self) -> dict[str, Any]:
        """Return the parameters; a local model is published by folder name, not by path."""
        parameters = self.parameters()
        folder = Path(self.model).expanduser()
        return parameters | ({"model": folder.name} if folder.is_dir() else {})

    def fit(self, training: TrainingSet, *, loss: Loss, seed: int) -> None:
        """Fine-tune from the pretrained weights; `seed` decides head, batches and dropout masks.

        Afterwards `model_revision` identifies the pretrained model (a commit, or the digest of a
        local folder) and `notes` lists what a user should know about the training.

        Raises `ConfigurationError` for a learning rate of 0: these cells fail, others continue.
        """
        if self.learning_rate == 0:
            raise ConfigurationError(
                "learning_rate=0 does not train the model: set a positive value, for example 2e-5."
            )
        source = self.source()
        from fgbench_plugins.classifiers.transformer_training import fine_tune

        self._fitted: FittedTransformer | None = None  # free the previous model before training
        self._fitted, self.notes = fine_tune(self.settings(), source, training, loss, seed)
        self.model_revision = source.revision

    def predict(self, inputs: Sequence[str], outputs: frozenset[str]) -> Outputs:
        """Return logits, pooled outputs as features, and the logits of passes with dropout."""
        fitted = self._fitted
        if fitted is None:
            raise PluginError("classifier hf: predict was called before fit.")
        predicted, notes = fitted.predict(inputs, outputs, self.settings())
        self.notes = list(dict.fromkeys([*self.notes, *notes]))
        return predicted

    def save(self, folder: Path) -> None:
        """Write weights (safetensors), encoder configuration and tokenizer; needs no hub."""
        if self._fitted is None:
            raise PluginError("classifier hf: save was called before fit.")
        self._fitted.save(folder)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        require_extra()
        from fgbench_plugins.classifiers.transformer_inference import FittedTransformer

        self._fitted = FittedTransformer.load(folder, self.settings())


class BertBase(TransformerClassifier):
    """BERT-base, uncased, with the hyperparameters of Ba et al. 2024 (FITG, section 4).

    Maximum length 512, batches of 32, Adam with a learning rate of 1e−6, dropout 0.5, five epochs,
    no warmup and no decay. At that rate small data sets are undertrained, and an arm with more
    data simply trains longer: set `steps` to train all arms equally long.
    """

    model: Annotated[str, Field(min_length=1)] = "google-bert/bert-base-uncased"
    pooling: Literal["auto", "pooler", "cls", "mean"] = "pooler"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    optimizer: Literal["adam", "adamw"] = "adam"
    learning_rate: NonNegative = 1e-6
    weight_decay: NonNegative = 0.0
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    epochs: Count = 5


def require_extra() -> None:
    """Raise `PluginError` with the fix if a module of the extra is not installed."""
    for module in TransformerClassifier.requires:
        if find_spec(module) is None:
            raise PluginError(
                f"transformer classifiers need {module!r}, which is not installed: "
                "pip install 'fgbench[transformers]'"
            )
