"""FITG's toy data (section 3.3): one-dimensional logistic regression with a known posterior."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field
from scipy.special import expit, logit

from fgbench import Card, DataFolder, Dataset, DatasetLoader, Split, seed_for
from fgbench_datasets import CARDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

INTERCEPT, SLOPE = -1.0, 2.0
LOW, HIGH = -10.0, 10.0

Size = Annotated[int, Field(ge=2)]


class Logistic1D(DatasetLoader):
    """logit P(y=1|x) = −1 + 2x, x uniform on [−10, 10]; 300 training points as in FITG."""

    train_size: Size = 300
    validation_size: Size = 300
    test_size: Size = 1000
    draw_seed: int = 0

    default_classifier = "logreg"
    default_generator = "truncated-normal"
    provides = frozenset({"posterior", "sampling"})

    @classmethod
    def card(cls) -> Card:
        """Return the data set's card; it has no sources."""
        return Card.read(CARDS / "logistic-1d.toml")

    def load(self, folder: DataFolder) -> Dataset:
        """Draw the three splits, each with its own random stream."""
        sizes = {
            "train": self.train_size,
            "validation": self.validation_size,
            "test": self.test_size,
        }
        card = self.card()
        dataset = Dataset(
            name=card.name,
            label_names=card.label_names,
            label_descriptions=tuple(label.description for label in card.labels),
            splits={name: self._draw(name, size) for name, size in sizes.items()},
            task=card.task,
        )
        dataset.validate()
        return dataset

    def posterior(self, inputs: Any) -> NDArray[np.float64]:
        """Return P(y|x) of inputs (n, 1) or (n,), as (n, 2)."""
        x = np.asarray(inputs, dtype=np.float64).reshape(len(inputs))
        z = INTERCEPT + SLOPE * x
        return np.column_stack([expit(-z), expit(z)])

    def sample(
        self, probabilities: Sequence[Any], rng: np.random.Generator
    ) -> list[tuple[float, ...]]:
        """Return the x with each requested posterior, clipped to [−10, 10]."""
        requested = np.asarray(probabilities, dtype=np.float64).reshape(len(probabilities), 2)
        x = (logit(requested[:, 1]) - INTERCEPT) / SLOPE
        return [(float(value),) for value in np.clip(x, LOW, HIGH)]

    def _draw(self, split: str, size: int) -> Split:
        rng = np.random.default_rng(seed_for("logistic-1d", self.draw_seed, split, size))
        x = rng.uniform(LOW, HIGH, size)
        posterior = self.posterior(x)
        labels = (rng.random(size) < posterior[:, 1]).astype(np.int64)
        return Split(x, labels, posterior)
