"""Data set loaders: what a data set plugin implements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from fgbench.parts.base import Part

if TYPE_CHECKING:
    import numpy as np

    from fgbench.cards import Card, DataFolder
    from fgbench.data import Dataset, FloatArray, Input, Inputs


class DatasetLoader(Part, ABC):
    """Loads a data set, always the same one for the same parameters and files.

    A loader whose `provides` has "sampling" knows the process that its data come from: it
    implements `posterior` and `sample`.
    """

    kind = "dataset"
    default_classifier: ClassVar[str] = "tfidf-logreg"
    default_generator: ClassVar[str] = "ngram"

    @classmethod
    def card(cls) -> Card | None:
        """Return the data set's card, if it has one."""
        return None

    @abstractmethod
    def load(self, folder: DataFolder) -> Dataset:
        """Return the data set, with its three splits; files are found through `folder`.

        Raises `DataError` that names file and line for a malformed row.
        """

    def posterior(self, inputs: Inputs) -> FloatArray:
        """Return the true P(y|x) of n inputs, float64 (n, K)."""
        raise TypeError(f"{type(self).__name__} does not know its posterior.")

    def sample(
        self, probabilities: Sequence[FloatArray], rng: np.random.Generator
    ) -> Sequence[Input]:
        """Return for each asked posterior (K,) a new input that has it, as nearly as can be."""
        raise TypeError(f"{type(self).__name__} cannot sample at a posterior.")
