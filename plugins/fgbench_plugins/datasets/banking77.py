"""Banking77 (Casanueva et al., 2020): intents of an online bank's customers."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from fgbench import Card, DataFolder, Dataset, DatasetLoader
from fgbench_datasets import CARDS
from fgbench_plugins.datasets.class_selection import ALL, as_tuple, at_least_two, one_of
from fgbench_plugins.datasets.splitting import dataset_of, split_official
from fgbench_plugins.datasets.text_files import TextFile, csv_records


def _card() -> Card:
    return Card.read(CARDS / "banking77.toml")


Intents = Annotated[
    tuple[str, ...],
    BeforeValidator(as_tuple),
    AfterValidator(at_least_two),
    AfterValidator(one_of(lambda: _card().label_names)),
]


class Banking77(DatasetLoader):
    """Two or more of the 77 intents, or `all`; the first is class 0. Default: FITG's pair."""

    intents: Intents = ("age_limit", "atm_support")
    split_seed: int = 0
    default_classifier = "bert-base"

    @classmethod
    def card(cls) -> Card:
        """Return the data set's card."""
        return _card()

    def load(self, folder: DataFolder) -> Dataset:
        """Read the official `train.csv` and `test.csv`: text, category."""
        card = self.card()
        intents = card.label_names if self.intents == ALL else self.intents
        index_of = {intent: index for index, intent in enumerate(intents)}
        official = set(card.label_names)
        rows: dict[str, tuple[list[str], list[int]]] = {}
        for split in ("train", "test"):
            file = TextFile.of_source(folder, card, split)
            texts, labels = rows[split] = ([], [])
            for line, (text, intent) in csv_records(file, ("text", "category")):
                if intent not in official:
                    raise file.error(line, f"{intent!r} is not one of the {len(official)} intents.")
                if not text.strip():
                    raise file.error(line, "empty text.")
                if intent in index_of:
                    texts.append(text.strip())
                    labels.append(index_of[intent])
        return dataset_of(card, split_official(rows, seed=self.split_seed), intents)
