"""CLINC150 (Larson et al., 2019): requests to a voice assistant, by intent."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from fgbench import Card, DataError, DataFolder, Dataset, DatasetLoader, parse_json
from fgbench_datasets import CARDS
from fgbench_plugins.datasets.class_selection import ALL, as_tuple, at_least_two, one_of
from fgbench_plugins.datasets.splitting import dataset_of, split_official
from fgbench_plugins.datasets.text_files import TextFile

OUT_OF_SCOPE = "oos"
_OFFICIAL = {"train": "train", "validation": "val", "test": "test"}


def _card() -> Card:
    return Card.read(CARDS / "clinc150.toml")


def _intents() -> list[str]:
    return [name for name in _card().label_names if name != OUT_OF_SCOPE]


Intents = Annotated[
    tuple[str, ...],
    BeforeValidator(as_tuple),
    AfterValidator(at_least_two),
    AfterValidator(one_of(_intents)),
]


class Clinc150(DatasetLoader):
    """Two or more of the 150 intents, or `all`; `out_of_scope` adds the class `oos`, the last.

    Each row has the column `domain`: one of the ten domains, or `oos`.
    """

    intents: Intents = ALL
    out_of_scope: bool = False
    split_seed: int = 0
    default_classifier = "bert-base"

    @classmethod
    def card(cls) -> Card:
        """Return the data set's card."""
        return _card()

    def load(self, folder: DataFolder) -> Dataset:
        """Read `data_full.json` (text and intent by split) and `domains.json`."""
        card = self.card()
        classes = tuple(_intents()) if self.intents == ALL else self.intents
        if self.out_of_scope:
            classes = (*classes, OUT_OF_SCOPE)
        index_of = {name: index for index, name in enumerate(classes)}
        file = TextFile.of_source(folder, card, "data")
        content = _read(file)
        domain_of = _domains(TextFile.of_source(folder, card, "domains"))
        rows: dict[str, tuple[list[str], list[int]]] = {}
        domains: dict[str, dict[str, list[str]]] = {}
        for split, official in _OFFICIAL.items():
            rows[split] = texts, labels = [], []
            domains[split] = {"domain": (groups := [])}
            for part in (official, f"oos_{official}"):
                for text, intent in _rows(file, content, part, {*domain_of, OUT_OF_SCOPE}):
                    if intent in index_of:
                        texts.append(text)
                        labels.append(index_of[intent])
                        groups.append(domain_of.get(intent, OUT_OF_SCOPE))
        splits = split_official(rows, seed=self.split_seed, columns=domains)
        return dataset_of(card, splits, classes)


def _read(file: TextFile) -> dict[str, Any]:
    """Return the JSON object of a file."""
    with file.text(newline="") as stream:
        try:
            content = parse_json(stream.read())
        except ValueError as error:
            raise DataError(f"{file.where}: not valid JSON ({error}).") from None
    if not isinstance(content, dict):
        raise DataError(f"{file.where}: not a JSON object.")
    return content


def _domains(file: TextFile) -> dict[str, str]:
    """Return the domain of each intent."""
    domain_of = {}
    for domain, intents in _read(file).items():
        if not isinstance(intents, list) or not all(isinstance(item, str) for item in intents):
            raise DataError(f"{file.where}, {domain!r}: not a list of intents.")
        domain_of |= dict.fromkeys(intents, domain)
    missing = [name for name in _intents() if name not in domain_of]
    if missing:
        raise DataError(f"{file.where}: no domain has the intent {missing[0]!r}.")
    return domain_of


def _rows(
    file: TextFile, content: dict[str, Any], part: str, intents: set[str]
) -> list[tuple[str, str]]:
    """Return the texts and intents of one list of the file, checked row by row."""
    items = content.get(part)
    if not isinstance(items, list):
        raise DataError(f"{file.where}: no list {part!r}.")
    rows = []
    for number, item in enumerate(items, start=1):
        where = f"{file.where}, {part!r} row {number}"
        if not (
            isinstance(item, list)
            and len(item) == 2
            and all(isinstance(value, str) for value in item)
        ):
            raise DataError(f"{where}: not a pair of text and intent.")
        text, intent = item[0].strip(), item[1]
        if not text:
            raise DataError(f"{where}: empty text.")
        if intent not in intents:
            raise DataError(f"{where}: {intent!r} is not one of the {len(intents) - 1} intents.")
        rows.append((text, intent))
    return rows
