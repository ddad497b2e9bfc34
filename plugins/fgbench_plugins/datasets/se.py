"""Customer reviews (Hu and Liu, 2004), which FITG calls SE."""

from __future__ import annotations

from fgbench import Card, DataFolder, Dataset, DatasetLoader
from fgbench_datasets import CARDS
from fgbench_plugins.datasets.sentences import load_sentences


class CustomerReviews(DatasetLoader):
    """Negative and positive sentences from product reviews."""

    split_seed: int = 0
    default_classifier = "bert-base"

    @classmethod
    def card(cls) -> Card:
        """Return the data set's card."""
        return Card.read(CARDS / "se.toml")

    def load(self, folder: DataFolder) -> Dataset:
        """Read `custrev.neg` and `custrev.pos`."""
        return load_sentences(self.card(), folder, seed=self.split_seed)
