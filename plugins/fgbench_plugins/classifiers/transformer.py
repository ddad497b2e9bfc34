"""Fine-tuned transformer encoders, FITG's BERT among them.

torch and transformers are imported when a classifier is trained or asked, not with this module.
"""

from __future__ import annotations

from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from fgbench import Classifier, ConfigurationError, Loss, Outputs, PluginError, TrainingSet
from fgbench_plugins.classifiers.transformer_settings import TransformerSettings
from fgbench_plugins.hub import ModelSource, find_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fgbench_plugins.classifiers.transformer_inference import FittedTransformer

Count = Annotated[int, Field(ge=1)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class TransformerClassifier(Classifier):
    """An encoder that `transformers` can load, with dropout and a linear head, fine-tuned whole.

    `model` is a folder, or the id of a model on the Hugging Face hub at `revision`; only weights in
    safetensors are read, and code that comes with a model is never run. Texts are cut at
    `max_length` tokens, or at what the model can take.

    `pooling` of "auto" is what a sentence encoder's `1_Pooling` says, else the model's trained
    pooler, else the first token. `dropout` acts on the pooled output; the encoder keeps its own.

    `steps`, where it is not 0, is the number of optimiser steps, the same however large the
    training set, instead of `epochs` passes. `batch_size` is what one step sees; `accumulation` is
    in how many pieces it is computed, to save memory. `warmup` is a share of the steps.
    `early_stopping` of n > 0 holds out a tenth of the training rows, stops after n epochs without
    a better cross-entropy there, and keeps the best epoch.

    `passes` is the number of stochastic passes where a calibrator asks for them. `threads` is the
    number of CPU threads (0: all cores); sums of floats, and so the last digits, depend on it, on
    the device and on the precision. "auto" precision is bf16 autocast on a GPU that has it.
    """

    model: Annotated[str, Field(min_length=1)]
    revision: Annotated[str, Field(min_length=1)] = "main"
    pooling: Literal["auto", "pooler", "cls", "mean"] = "auto"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    optimizer: Literal["adam", "adamw"] = "adamw"
    learning_rate: NotNegative = 2e-5
    weight_decay: NotNegative = 0.01
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
    """Modules of the extra that this part runs on."""

    def __post_init__(self) -> None:
        if self.steps and self.early_stopping:
            raise ValueError("early_stopping counts epochs and steps fixes their number: set one")

    @property
    def exclusive(self) -> bool:
        return self.threads == 0

    def settings(self) -> TransformerSettings:
        """Return the parameters that training and inference read."""
        names = (field.name for field in fields(TransformerSettings))
        return TransformerSettings(**{name: getattr(self, name) for name in names})

    def source(self) -> ModelSource:
        """Return where the model is and what identifies it, fetching it if it is not there.

        Raises `ConfigurationError` if it cannot be had, `PluginError` without the extra.
        """
        require_extra()
        return find_model(self.model, self.revision)

    def content_digest(self) -> str:
        """Return what identifies the pretrained model: its commit, or the digest of a folder."""
        return self.source().revision

    def published_parameters(self) -> dict[str, Any]:
        """Return the parameters; of a local model, the name of its folder, not where it lies."""
        parameters = self.parameters()
        folder = Path(self.model).expanduser()
        return parameters | ({"model": folder.name} if folder.is_dir() else {})

    def fit(self, training: TrainingSet, *, loss: Loss, seed: int) -> None:
        """Fine-tune from the pretrained weights; seeds decide head, batches and dropout masks.

        Afterwards `model_revision` identifies the pretrained model (a commit, or the digest of a
        local folder) and `notes` says what a user should know of the training.

        Raises `ConfigurationError` for a learning rate of 0: these cells fail, the others go on.
        """
        if self.learning_rate == 0:
            raise ConfigurationError(
                "learning_rate=0 leaves the model as it is: set one above 0, say 2e-5."
            )
        source = self.source()
        from fgbench_plugins.classifiers.transformer_training import fine_tune

        self._fitted: FittedTransformer | None = None  # a former model's memory comes first
        self._fitted, self.notes = fine_tune(self.settings(), source, training, loss, seed)
        self.model_revision = source.revision

    def predict(self, inputs: Sequence[str], outputs: frozenset[str]) -> Outputs:
        """Return logits, pooled outputs as features, and logits of passes with dropout."""
        fitted = self._fitted
        if fitted is None:
            raise PluginError("classifier hf: it was asked before it was trained.")
        answer, notes = fitted.predict(inputs, outputs, self.settings())
        self.notes = list(dict.fromkeys([*self.notes, *notes]))
        return answer

    def save(self, folder: Path) -> None:
        """Write weights (safetensors), encoder configuration and tokenizer: no hub is needed."""
        if self._fitted is None:
            raise PluginError("classifier hf: it was saved before it was trained.")
        self._fitted.save(folder)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        require_extra()
        from fgbench_plugins.classifiers.transformer_inference import FittedTransformer

        self._fitted = FittedTransformer.load(folder, self.settings())


class BertBase(TransformerClassifier):
    """BERT-base, uncased, with the hyper-parameters of Ba et al. 2024 (FITG, section 4).

    Maximum length 512, batches of 32, Adam at a learning rate of 1e−6, dropout 0.5, five epochs,
    no warm-up and no decay. At that rate small sets are under-trained, and whatever adds data
    merely trains longer: `steps` makes all arms equal.
    """

    model: Annotated[str, Field(min_length=1)] = "google-bert/bert-base-uncased"
    pooling: Literal["auto", "pooler", "cls", "mean"] = "pooler"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    optimizer: Literal["adam", "adamw"] = "adam"
    learning_rate: NotNegative = 1e-6
    weight_decay: NotNegative = 0.0
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    epochs: Count = 5


def require_extra() -> None:
    """Raise `PluginError` with the mend if torch or transformers is not installed."""
    for module in TransformerClassifier.requires:
        if find_spec(module) is None:
            raise PluginError(
                f"transformer classifiers need {module!r}, which is not installed: "
                "pip install 'fgbench[transformers]'"
            )
