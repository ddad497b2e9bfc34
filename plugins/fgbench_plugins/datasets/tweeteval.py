"""TweetEval (Barbieri et al., 2020): tweets by irony and by emotion."""

from __future__ import annotations

from typing import ClassVar

from fgbench import Card, DataError, DataFolder, Dataset, DatasetLoader
from fgbench_datasets import CARDS
from fgbench_plugins.datasets.splitting import dataset_of, split_official
from fgbench_plugins.datasets.text_files import TextFile

_OFFICIAL = {"train": "train", "validation": "val", "test": "test"}


class _TweetEval(DatasetLoader):
    """Base of the tasks: one file of texts and one of labels per official split."""

    split_seed: int = 0
    default_classifier = "bert-base"
    card_file: ClassVar[str]

    @classmethod
    def card(cls) -> Card:
        """Return the data set's card."""
        return Card.read(CARDS / cls.card_file)

    def load(self, folder: DataFolder) -> Dataset:
        """Read `{train,val,test}_text.txt` and `…_labels.txt`, one row per line."""
        card = self.card()
        index_of = {label.value: index for index, label in enumerate(card.labels)}
        rows: dict[str, tuple[list[str], list[int]]] = {}
        for split, official in _OFFICIAL.items():
            texts_file = TextFile.of_source(folder, card, f"{official}_text")
            labels_file = TextFile.of_source(folder, card, f"{official}_labels")
            texts = []
            for line, text in texts_file.lines():
                if not text.strip():
                    raise texts_file.error(line, "empty text.")
                texts.append(text.strip())
            labels = []
            for line, value in labels_file.lines():
                if value.strip() not in index_of:
                    raise labels_file.error(
                        line, f"label {value!r} is not one of {', '.join(map(str, index_of))}."
                    )
                labels.append(index_of[value.strip()])
            if len(texts) != len(labels):
                raise DataError(
                    f"{texts_file.where}: {len(texts):,} texts, but {len(labels):,} labels in "
                    f"{labels_file.where}."
                )
            rows[split] = texts, labels
        return dataset_of(card, split_official(rows, seed=self.split_seed), card.label_names)


class Irony(_TweetEval):
    """Tweets that are or are not ironic, in the official splits."""

    card_file = "tweeteval-irony.toml"


class Emotion(_TweetEval):
    """Tweets by emotion: anger, joy, optimism or sadness, in the official splits."""

    card_file = "tweeteval-emotion.toml"
