"""Interface of classifiers, with their training set and outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from fgbench.parts.base import Part
from fgbench.usage import Usage

if TYPE_CHECKING:
    from pathlib import Path

    from fgbench.data import FloatArray, Inputs
    from fgbench.parts.loss import Loss

CAPABILITY_OUTPUTS = {"features": "features", "stochastic_forward": "stochastic_logits"}
"""The output of `predict` that belongs to a capability; computed if a cell needs it."""


@dataclass(frozen=True)
class TrainingSet:
    """The rows that a classifier is trained on.

    `inputs` has n texts or is a float array (n, d). `labels` (n,) are the hard labels. `synthetic`
    (n,) marks generated rows. `soft_labels` (n, K) are the requested probabilities of synthetic
    rows and the one-hot labels of real rows.
    """

    inputs: Any
    labels: Any
    n_classes: int
    soft_labels: FloatArray
    synthetic: Any
    task: str = ""
    """Description of the task, for language models, like the names and descriptions below."""
    label_names: tuple[str, ...] = ()
    label_descriptions: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)


class Outputs(NamedTuple):
    """The outputs of a classifier for n inputs; see `Predictions` for shapes."""

    logits: FloatArray
    features: FloatArray | None = None
    stochastic_logits: FloatArray | None = None
    head: FloatArray | None = None
    """The weights of the linear layer that maps `features` to logits, with the bias last."""


class Head(NamedTuple):
    """Features and logits of n inputs at the linear softmax head of a classifier."""

    features: Any
    """(n, d), a float array or a scipy sparse matrix; the logits are linear in them."""
    logits: FloatArray
    """(n, K), as `Classifier.predict` returns them."""
    penalty: float | None
    """λ, if the head minimizes the sum of its training rows' cross-entropy + λ/2 ‖W‖², where W are
    the (K, d) weights of the softmax without biases; otherwise None."""


class Classifier(Part, ABC):
    """A probabilistic classifier; `provides` names its outputs in addition to logits."""

    kind = "classifier"
    learns: ClassVar[bool] = True
    """Whether `fit` trains on the training rows. A model that uses only a few of them as few-shot
    examples does not; it has a baseline, but no arm can retrain it."""
    model_revision: ClassVar[str | None] = None
    """Commit or digest of the pretrained model, for the provenance; set by `fit`."""
    notes: ClassVar[Sequence[str]] = ()
    """Sentences for the user, set by `fit` and `predict`: for example that a batch was reduced, or
    how many rows a model did not answer."""
    usage: ClassVar[Usage] = Usage()
    """Usage of a language model by all calls of `predict` together, set by `predict`."""

    @abstractmethod
    def fit(self, training: TrainingSet, *, loss: Loss, seed: int) -> None:
        """Train from scratch; the same training set, loss and seed must give the same classifier.

        The seed is below 2³², as required by the generators of numpy, scikit-learn and torch.
        """

    @abstractmethod
    def predict(self, inputs: Inputs, outputs: frozenset[str]) -> Outputs:
        """Return the logits (n, K) of n inputs, and the additional `outputs`."""

    def head(self, inputs: Inputs) -> Head:
        """Return features and logits of n inputs at the linear head.

        Called if `provides` has "linear_head". The default is for a head that is the last layer of
        a network: its features are the "features" of `predict`. Override it for other features, or
        for a head with a penalty.
        """
        outputs = self.predict(inputs, frozenset({"features"}))
        return Head(outputs.features, outputs.logits, penalty=None)

    def expected_usage(self, training: TrainingSet, inputs: Inputs, *, seed: int) -> Usage:
        """Estimate the usage of predicting `inputs` once after `fit`, for plans.

        Called for classifiers with `learns = False`, before `fit` and any other work. It must
        neither load a model nor send requests.
        """
        return Usage()

    def save(self, folder: Path) -> None:
        """Write the trained weights to an empty folder, as safetensors, npz or JSON.

        Implement it if `provides` has "weights": the model is then stored and can classify new
        inputs. Never use pickle, because a model must be safe to load without trusting its origin.
        """
        raise TypeError(f"{type(self).__name__} cannot save its weights.")

    def load(self, folder: Path) -> None:
        """Read the files of `save`; `predict` must then return the same outputs as before."""
        raise TypeError(f"{type(self).__name__} cannot load weights.")
