"""DDXPlus (Fansi Tchango et al., 2022): simulated patients with their evidences as text."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field

from fgbench import Card, DataFolder, Dataset, DatasetLoader, seed_for
from fgbench_datasets import CARDS
from fgbench_plugins.datasets.class_selection import ALL, as_tuple, at_least_two, one_of
from fgbench_plugins.datasets.evidences import Evidences
from fgbench_plugins.datasets.splitting import dataset_of, split_official
from fgbench_plugins.datasets.text_files import TextFile, csv_records

_COLUMNS = ("PATHOLOGY", "AGE", "SEX", "EVIDENCES")


def _card() -> Card:
    return Card.read(CARDS / "medical.toml")


Pathologies = Annotated[
    tuple[str, ...],
    BeforeValidator(as_tuple),
    AfterValidator(at_least_two),
    AfterValidator(one_of(lambda: _card().label_names)),
]


class DDXPlus(DatasetLoader):
    """Two or more of the 49 pathologies, or `all`; the first is class 0. Default: FITG's pair.

    `limit_per_class` draws at most this many patients per pathology from each official file.
    """

    pathologies: Pathologies = ("Influenza", "Anaphylaxis")
    limit_per_class: Annotated[int, Field(ge=1)] | None = None
    split_seed: int = 0
    default_classifier = "bert-base"

    @classmethod
    def card(cls) -> Card:
        """Return the data set's card."""
        return _card()

    def load(self, folder: DataFolder) -> Dataset:
        """Read `release_evidences.json` and stream the three archives of patients."""
        card = self.card()
        pathologies = card.label_names if self.pathologies == ALL else self.pathologies
        evidences = Evidences.read(TextFile.of_source(folder, card, "evidences"))
        rows = {
            split: self._patients(
                TextFile.of_source(folder, card, split), evidences, pathologies, card.label_names
            )
            for split in ("train", "validation", "test")
        }
        return dataset_of(card, split_official(rows, seed=self.split_seed), pathologies)

    def _patients(
        self,
        file: TextFile,
        evidences: Evidences,
        pathologies: tuple[str, ...],
        all_pathologies: tuple[str, ...],
    ) -> tuple[list[str], list[int]]:
        index_of = {name: index for index, name in enumerate(pathologies)}
        others = set(all_pathologies) - set(pathologies)
        texts: list[str] = []
        labels: list[int] = []
        for line, (pathology, age, sex, codes) in csv_records(file, _COLUMNS):
            if pathology in others:
                continue
            if pathology not in index_of:
                raise file.error(
                    line, f"{pathology!r} is not one of the {len(all_pathologies)} pathologies."
                )
            try:
                texts.append(evidences.patient_as_text(age, sex, codes))
            except ValueError as error:
                raise file.error(line, f"{error}.") from None
            labels.append(index_of[pathology])
        return self._limited(texts, labels)

    def _limited(self, texts: list[str], labels: list[int]) -> tuple[list[str], list[int]]:
        limit = self.limit_per_class
        if limit is None:
            return texts, labels
        rng = np.random.default_rng(seed_for("limit", self.split_seed, limit, len(labels)))
        sample: list[int] = []
        for label in sorted(set(labels)):
            rows = np.flatnonzero(np.array(labels) == label)
            sample.extend(int(row) for row in rng.permutation(rows)[:limit])
        sample.sort()
        return [texts[row] for row in sample], [labels[row] for row in sample]
