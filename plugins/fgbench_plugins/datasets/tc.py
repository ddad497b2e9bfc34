"""Twitter complaints (Preoţiuc-Pietro, Gaman and Aletras, 2019)."""

from __future__ import annotations

from fgbench import Card, DataFolder, Dataset, DatasetLoader
from fgbench_datasets import CARDS
from fgbench_plugins.datasets.splitting import dataset_of, split_texts
from fgbench_plugins.datasets.text_files import TextFile, csv_records


class TwitterComplaints(DatasetLoader):
    """Tweets that are or are not complaints, split 80:10:10 as in FITG 4.2."""

    split_seed: int = 0
    default_classifier = "bert-base"

    @classmethod
    def card(cls) -> Card:
        """Return the data set's card."""
        return Card.read(CARDS / "tc.toml")

    def load(self, folder: DataFolder) -> Dataset:
        """Read `complaints-data.csv`: no header; id, text, label, domain."""
        card = self.card()
        file = TextFile.of_source(folder, card, "tweets")
        index_of = {label.value: index for index, label in enumerate(card.labels)}
        texts: list[str] = []
        labels: list[int] = []
        for line, (_, text, value, _) in csv_records(file, 4):
            if value not in index_of:
                raise file.error(line, f"label {value!r} is not {' or '.join(map(str, index_of))}.")
            if not text.strip():
                raise file.error(line, "empty text.")
            texts.append(text.strip())
            labels.append(index_of[value])
        # A ninth of the remaining 90 % is 10 % of all rows.
        splits = split_texts(
            texts, labels, test_share=0.1, validation_share=1 / 9, seed=self.split_seed
        )
        return dataset_of(card, splits, card.label_names)
