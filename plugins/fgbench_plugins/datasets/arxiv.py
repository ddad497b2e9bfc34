"""Arxiv-10 (Farhangi et al., 2022): papers of ten arXiv archives."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from fgbench import Card, DataFolder, Dataset, DatasetLoader
from fgbench_datasets import CARDS
from fgbench_plugins.datasets.class_selection import ALL, as_tuple, at_least_two, one_of
from fgbench_plugins.datasets.splitting import dataset_of, held_out, split_texts
from fgbench_plugins.datasets.text_files import TextFile, csv_records


def _card() -> Card:
    return Card.read(CARDS / "arxiv.toml")


Classes = Annotated[
    tuple[str, ...],
    BeforeValidator(as_tuple),
    AfterValidator(at_least_two),
    AfterValidator(one_of(lambda: _card().label_names)),
]


class Arxiv10(DatasetLoader):
    """Two or more of the ten classes, or `all`; the first is class 0. Default: FITG's pair.

    `sample` is the fraction of papers to use; `text` selects the input.
    """

    classes: Classes = ("cs", "stat")
    sample: Annotated[float, Field(gt=0, le=1)] = 0.3
    text: Literal["title", "abstract"] = "title"
    split_seed: int = 0
    default_classifier = "bert-base"

    @classmethod
    def card(cls) -> Card:
        """Return the data set's card."""
        return _card()

    def load(self, folder: DataFolder) -> Dataset:
        """Read `arxiv100.csv` from `ArXiv-10.zip`: title, abstract, label."""
        card = self.card()
        file = TextFile.of_source(folder, card, "papers")
        classes = card.label_names if self.classes == ALL else self.classes
        index_of = {name: index for index, name in enumerate(classes)}
        archives = set(card.label_names)
        texts: list[str] = []
        labels: list[int] = []
        for line, (text, label) in csv_records(file, (self.text, "label")):
            if label not in archives:
                raise file.error(line, f"{label!r} is not one of {', '.join(card.label_names)}.")
            if label not in index_of:
                continue
            if not text.strip():
                raise file.error(line, f"empty {self.text}.")
            texts.append(" ".join(text.split()))
            labels.append(index_of[label])
        if self.sample < 1:
            _, rows = held_out(labels, self.sample, self.split_seed)
            texts = [texts[row] for row in rows]
            labels = [labels[row] for row in rows]
        splits = split_texts(texts, labels, test_share=0.2, seed=self.split_seed)
        return dataset_of(card, splits, classes)
