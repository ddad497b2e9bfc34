"""Classifiers: what a classifier plugin implements, is trained on, and returns."""

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
"""What a classifier that provides a capability computes where a cell needs it."""


@dataclass(frozen=True)
class TrainingSet:
    """What a classifier is trained on.

    `inputs` holds n texts or a float array (n, d), `labels` (n,) the hard labels, and `synthetic`
    (n,) marks the generated rows, whose asked probabilities stand in `soft_labels` (n, K); rows of
    real data have their one-hot label there.
    """

    inputs: Any
    labels: Any
    n_classes: int
    soft_labels: FloatArray
    synthetic: Any
    task: str = ""
    """What the task is, for classifiers that read: the data set's task, names and descriptions."""
    label_names: tuple[str, ...] = ()
    label_descriptions: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)


class Outputs(NamedTuple):
    """What a classifier computes for n inputs; see `Predictions` for shapes."""

    logits: FloatArray
    features: FloatArray | None = None
    stochastic_logits: FloatArray | None = None
    head: FloatArray | None = None
    """Goes with features that a linear layer maps to logits: its weights, the bias last."""


class Head(NamedTuple):
    """What the linear softmax head of a classifier sees of n inputs, and makes of them."""

    features: Any
    """(n, d), a float array or a scipy sparse matrix; logits are linear in them."""
    logits: FloatArray
    """(n, K), as `Classifier.predict` returns them."""
    penalty: float | None
    """λ, where the head minimises the summed cross-entropy of its training rows + λ/2 ‖W‖² with W
    the (K, d) weights of the softmax, biases free; None where it does not."""


class Classifier(Part, ABC):
    """A probabilistic classifier; `provides` names the outputs that it has beyond logits."""

    kind = "classifier"
    learns: ClassVar[bool] = True
    """Whether `fit` trains on the rows that it is given. A model that only reads a few of them as
    examples does not: it has a baseline, and nothing that an arm could retrain."""
    model_revision: ClassVar[str | None] = None
    """Set by `fit` where there is a pretrained model: its commit or digest, for the provenance."""
    notes: ClassVar[Sequence[str]] = ()
    """Set by `fit` and `predict`: sentences that a user should read, such as a batch that had to be
    cut, or how many rows a model did not answer."""
    usage: ClassVar[Usage] = Usage()
    """Set by `predict` where it asks a language model: what that took, of all calls together."""

    @abstractmethod
    def fit(self, training: TrainingSet, *, loss: Loss, seed: int) -> None:
        """Train from scratch: the same training set, loss and seed give the same classifier.

        The seed is below 2³², as numpy's, scikit-learn's and torch's generators take it.
        """

    @abstractmethod
    def predict(self, inputs: Inputs, outputs: frozenset[str]) -> Outputs:
        """Return the logits (n, K) of n inputs, and those of `outputs` that the matrix needs."""

    def head(self, inputs: Inputs) -> Head:
        """Return the head's view of n inputs.

        Asked of classifiers whose `provides` has "linear_head". Where the head is the last layer of
        a network, its features are the "features" of `predict`; a classifier that has others, or a
        penalty, overrides this.
        """
        outputs = self.predict(inputs, frozenset({"features"}))
        return Head(outputs.features, outputs.logits, penalty=None)

    def expected_usage(self, training: TrainingSet, inputs: Inputs, *, seed: int) -> Usage:
        """Return about what it takes to predict `inputs` once after `fit`: for plans.

        Asked of classifiers with `learns = False`, without `fit` and before any work; it must
        neither load a model nor ask one.
        """
        return Usage()

    def save(self, folder: Path) -> None:
        """Write the trained weights into an empty folder, as safetensors, npz or JSON.

        Implemented by classifiers whose `provides` has "weights": their models are stored, so that
        they can classify new text. Nothing is ever pickled, for whoever loads it need not trust
        whoever trained it.
        """
        raise TypeError(f"{type(self).__name__} cannot save its weights.")

    def load(self, folder: Path) -> None:
        """Read what `save` wrote; after it, `predict` answers as before."""
        raise TypeError(f"{type(self).__name__} cannot load weights.")
