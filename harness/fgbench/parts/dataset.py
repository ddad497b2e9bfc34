"""Interface of data set loaders."""

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
    """Loads a data set; the same parameters and files must give the same data set.

    A loader whose `provides` has "sampling" knows the generating process of its data and implements
    `posterior` and `sample`.
    """

    kind = "dataset"
    default_classifier: ClassVar[str | None] = None
    default_generator: ClassVar[str | None] = None
    """The parts of a suite that names none; None: those of `fgbench_defaults`."""

    @classmethod
    def card(cls) -> Card | None:
        """Return the card of the data set, if it has one."""
        return None

    @abstractmethod
    def load(self, folder: DataFolder) -> Dataset:
        """Return the data set with its three splits; `folder` locates its files.

        Raises `DataError` that names file and line if a row is malformed.
        """

    def posterior(self, inputs: Inputs) -> FloatArray:
        """Return the true P(y|x) of n inputs, float64 (n, K)."""
        raise TypeError(f"{type(self).__name__} does not know its posterior.")

    def sample(
        self, probabilities: Sequence[FloatArray], rng: np.random.Generator
    ) -> Sequence[Input]:
        """Return a new input for each requested posterior (K,), as close to it as possible."""
        raise TypeError(f"{type(self).__name__} cannot sample at a posterior.")
