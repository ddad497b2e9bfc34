"""Text classification data sets of the Hugging Face hub, read with the library `datasets`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator

from fgbench import Card, DataError, DataFolder, Dataset, DatasetLoader, PluginError
from fgbench_datasets import CARDS
from fgbench_plugins.datasets.class_names import check_labels
from fgbench_plugins.datasets.class_selection import as_tuple
from fgbench_plugins.datasets.hub_files import HubFiles, find_files, is_local
from fgbench_plugins.datasets.hub_splits import Table, choose_splits, divided
from fgbench_plugins.datasets.splitting import dataset_of

Splits = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]


class HubDataset(DatasetLoader):
    """Any text classification data set of the Hugging Face hub, or of a local folder.

    `path` is its id on the hub, or a folder with parquet, CSV or JSON files or written by
    `save_to_disk`. `config` is one of its configurations; `revision` a commit, tag or branch.
    `text` and `label` name the columns and are guessed by default. `split` names its training,
    validation and test split (three), its training and test split (two), or one that is divided;
    by default they are found by their usual names. `drop_invalid` drops rows without text or label
    instead of refusing them. `descriptions` and `task` are used in LLM prompts.
    """

    path: str
    config: str | None = None
    revision: str = "main"
    text: str | None = None
    label: str | None = None
    split: Splits = ()
    drop_invalid: bool = False
    descriptions: tuple[str, ...] = ()
    task: str = "a text"
    split_seed: int = 0
    unnamed = "path"

    def content_digest(self) -> str | None:
        """Return the commit of the data set; None for a local folder."""
        return self._files().revision

    def published_parameters(self) -> dict[str, Any]:
        """Return the parameters; a local folder is published by name, not by path."""
        parameters = super().published_parameters()
        if is_local(self.path):
            parameters["path"] = Path(self.path).expanduser().name
        return parameters

    def load(self, folder: DataFolder) -> Dataset:
        """Read the data set; what is guessed is added to the folder's notes."""
        files = self._files()
        with _extra(self.path):
            from fgbench_plugins.datasets import hub_tables
        loaded = hub_tables.read_splits(self.path, files.folder, self.config)
        features = next(iter(loaded.values())).features
        text, label = hub_tables.text_and_label(self.path, features, self.text, self.label)
        names_of = hub_tables.class_names(label, features[label], loaded)
        tables = hub_tables.tables_of(loaded, text, label, names_of)
        parts, splits_used = choose_splits(self.path, tables, self.split)
        revision = "" if files.revision is None else f", revision {files.revision}"
        folder.notes.append(
            f"data set {self.path}: text {text!r}, label {label!r}, {splits_used}{revision}."
        )
        rows = {
            name: self._valid(f"{self.path}, split {name}", table, folder)
            for name, table in parts.items()
        }
        check_labels(self.path, label, [name for _, labels in rows.values() for name in labels])
        return self._dataset(rows, tuple(names_of.values()))

    def _files(self) -> HubFiles:
        with _extra(self.path):
            return find_files(self.path, self.config, self.revision)

    def _dataset(
        self, rows: Mapping[str, tuple[list[str], list[str]]], names: tuple[str, ...]
    ) -> Dataset:
        dataset = Dataset(
            name=Path(self.path).name,
            label_names=names,
            label_descriptions=self.descriptions,
            splits=divided(self.path, rows, names, self.split_seed),
            task=self.task,
        )
        dataset.validate()
        return dataset

    def _valid(self, where: str, table: Table, folder: DataFolder) -> tuple[list[str], list[str]]:
        texts: list[str] = []
        labels: list[str] = []
        dropped = 0
        for row, (text, label) in enumerate(zip(table.texts, table.labels, strict=True)):
            if text.strip() and label is not None:
                texts.append(text.strip())
                labels.append(label)
            elif self.drop_invalid:
                dropped += 1
            else:
                problem = "no label" if text.strip() else "empty text"
                raise DataError(
                    f"{where}, row {row}: {problem}. drop_invalid=true drops such rows."
                )
        if dropped:
            folder.notes.append(
                f"data set {where}: dropped {dropped:,} of {len(table.texts):,} rows without text "
                "or label."
            )
        return texts, labels


class _HubCard(HubDataset):
    """Base of data sets with a card: a fixed path, revision, columns and descriptions."""

    card_file: ClassVar[str]
    younger = frozenset({"path", "config", "revision", "text", "label", "split", "drop_invalid"})

    @classmethod
    def card(cls) -> Card:
        """Return the data set's card."""
        return Card.read(CARDS / cls.card_file)

    def _dataset(
        self, rows: Mapping[str, tuple[list[str], list[str]]], names: tuple[str, ...]
    ) -> Dataset:
        card = self.card()
        expected = tuple(label.value or label.name for label in card.labels)
        if set(names) != set(expected):
            raise DataError(
                f"data set {self.path}: its classes are not those of the card of {card.name}: "
                f"{', '.join(expected)}."
            )
        return dataset_of(
            card, divided(self.path, rows, expected, self.split_seed), card.label_names
        )


class AgNews(_HubCard):
    """News articles by topic: world, sports, business, or science and technology."""

    path: str = "fancyzhx/ag_news"
    revision: str = "eb185aade064a813bc0b7f42de02595523103ca4"
    text: str | None = "text"
    label: str | None = "label"
    card_file = "ag-news.toml"
    default_classifier = "bert-base"


class Sst2(_HubCard):
    """Sentences of movie reviews, negative or positive; the official validation rows are tested."""

    path: str = "stanfordnlp/sst2"
    revision: str = "8d51e7e4887a4caaa95b3fbebbf53c0490b58bbb"
    text: str | None = "sentence"
    label: str | None = "label"
    card_file = "sst2.toml"
    default_classifier = "bert-base"


class Imdb(_HubCard):
    """Movie reviews, negative or positive; the unlabeled ones are not used."""

    path: str = "stanfordnlp/imdb"
    config: str | None = "plain_text"
    revision: str = "e6281661ce1c48d982bc483cf8a173c1bbeb5d31"
    text: str | None = "text"
    label: str | None = "label"
    split: Splits = ("train", "test")
    card_file = "imdb.toml"
    default_classifier = "bert-base"


class Trec(_HubCard):
    """Questions by the kind of their answer, six classes."""

    path: str = "CogComp/trec"
    revision: str = "refs/convert/parquet"
    text: str | None = "text"
    label: str | None = "coarse_label"
    card_file = "trec.toml"
    default_classifier = "bert-base"


class Newsgroups(_HubCard):
    """Posts of twenty newsgroups, without headers, footers and quotes; empty posts are dropped."""

    path: str = "SetFit/20_newsgroups"
    revision: str = "f1b91292074e7cfb69be58b642d583ec262f30ed"
    text: str | None = "text"
    label: str | None = "label"
    drop_invalid: bool = True
    card_file = "20newsgroups.toml"
    default_classifier = "bert-base"


@contextmanager
def _extra(path: str) -> Iterator[None]:
    """Say how to install what an import lacks; cards are shown without it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise PluginError(
            f"data set {path!r} needs {error.name!r}, which is not installed: "
            "pip install 'fgbench[datasets]'"
        ) from error
