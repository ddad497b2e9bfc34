"""Subjectivity of film reviews (Pang and Lee, 2004)."""

from __future__ import annotations

from fgbench import Card, DataFolder, Dataset, DatasetLoader
from fgbench_datasets import CARDS
from fgbench_plugins.datasets.sentences import load_sentences


class Subjectivity(DatasetLoader):
    """Objective and subjective sentences about films, 5,000 each."""

    split_seed: int = 0
    default_classifier = "bert-base"

    @classmethod
    def card(cls) -> Card:
        """Return the data set's card."""
        return Card.read(CARDS / "subj.toml")

    def load(self, folder: DataFolder) -> Dataset:
        """Read `subj.objective` and `subj.subjective` (Windows-1252)."""
        return load_sentences(self.card(), folder, seed=self.split_seed)
