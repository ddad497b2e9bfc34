"""Data sets with one file per class and one sentence per line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fgbench_plugins.datasets.splitting import dataset_of, split_texts
from fgbench_plugins.datasets.text_files import TextFile

if TYPE_CHECKING:
    from fgbench import Card, DataFolder, Dataset


def load_sentences(card: Card, folder: DataFolder, *, seed: int) -> Dataset:
    """Read the source of each label of the card, split 80:20, and split the training part 80:20.

    Blank lines are skipped. These files have no other format to check.
    """
    texts: list[str] = []
    labels: list[int] = []
    for index, name in enumerate(card.label_names):
        for _, line in TextFile.of_source(folder, card, name).lines():
            if line.strip():
                texts.append(line.strip())
                labels.append(index)
    return dataset_of(card, split_texts(texts, labels, test_share=0.2, seed=seed), card.label_names)
