"""The loaders of TweetEval and CLINC150 on small files in the official formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fgbench import ConfigurationError, DataError, DataFolder, Dataset
from fgbench.plugins.references import PartReference
from fgbench.plugins.registry import Registry

REGISTRY = Registry.load()
INTENTS = list(REGISTRY.part_class("dataset", "clinc150").card().label_names)


def load(reference: str, data: Path) -> Dataset:
    loader = REGISTRY.create("dataset", PartReference.parse(reference))
    dataset: Dataset = loader.load(DataFolder(data, data / "no cache"))
    return dataset


def error(reference: str, data: Path) -> str:
    with pytest.raises(DataError) as caught:
        load(reference, data)
    return str(caught.value)


def write_irony(data: Path) -> Path:
    folder = data / "tweeteval" / "irony"
    folder.mkdir(parents=True)
    for split, n in (("train", 8), ("val", 4), ("test", 6)):
        texts = "".join(f"{split} tweet {i}\u2028 \n" for i in range(n))
        (folder / f"{split}_text.txt").write_text(texts, encoding="utf-8")
        (folder / f"{split}_labels.txt").write_text("".join(f"{i % 2}\n" for i in range(n)))
    return folder


def test_tweeteval_keeps_official_splits_and_pairs_lines(tmp_path: Path) -> None:
    write_irony(tmp_path)
    dataset = load("tweeteval-irony", tmp_path)
    assert {name: len(split) for name, split in dataset.splits.items()} == {
        "train": 8,
        "validation": 4,
        "test": 6,
    }
    assert dataset.label_names == ("not ironic", "ironic")
    for name, split in dataset.splits.items():
        official = "val" if name == "validation" else name
        for text, label in zip(split.inputs, split.labels, strict=True):
            words = str(text).split()
            assert words[0] == official
            assert int(words[2]) % 2 == label


def test_tweeteval_refuses_malformed_lines(tmp_path: Path) -> None:
    folder = write_irony(tmp_path)
    labels = folder / "val_labels.txt"
    labels.write_text("0\n1\n2\n1\n")
    assert "val_labels.txt line 3: label '2' is not one of 0, 1" in error(
        "tweeteval-irony", tmp_path
    )
    labels.write_text("0\n1\n0\n")
    assert "val_text.txt: 4 texts, but 3 labels in" in error("tweeteval-irony", tmp_path)
    (folder / "val_text.txt").write_text("a\n\nb\nc\n")
    assert "val_text.txt line 2: empty text" in error("tweeteval-irony", tmp_path)
    (folder / "val_text.txt").unlink()
    assert "data fetch tweeteval-irony" in error("tweeteval-irony", tmp_path)


def write_clinc(data: Path, **changes: Any) -> None:
    folder = data / "clinc150"
    folder.mkdir(parents=True, exist_ok=True)
    known = [name for name in INTENTS if name != "oos"]
    domains = {f"domain {i}": known[i::10] for i in range(10)}
    content: dict[str, Any] = {
        split: [[f"{split} {name} {i}", name] for name in known[:4] for i in range(3)]
        for split in ("train", "val", "test")
    }
    content |= {f"oos_{split}": [[f"{split} oos", "oos"]] for split in ("train", "val", "test")}
    (folder / "data_full.json").write_text(json.dumps(content | changes))
    (folder / "domains.json").write_text(json.dumps(domains))


def test_clinc_has_domains_as_column_and_oos_as_optional_class(tmp_path: Path) -> None:
    write_clinc(tmp_path)
    dataset = load("clinc150", tmp_path)
    assert dataset.n_classes == 150
    assert "oos" not in dataset.label_names
    assert [len(split) for split in dataset.splits.values()] == [12, 12, 12]
    dataset = load(f"clinc150:intents=[{INTENTS[1]},{INTENTS[0]}],out_of_scope=true", tmp_path)
    assert dataset.label_names == (INTENTS[1], INTENTS[0], "oos")
    assert [len(split) for split in dataset.splits.values()] == [7, 7, 7]
    split = dataset.splits["test"]
    domain_of = {0: "domain 1", 1: "domain 0", 2: "oos"}
    assert split.columns["domain"].tolist() == [domain_of[int(label)] for label in split.labels]
    part = split.take([3, 1])
    assert part.columns["domain"].tolist() == split.columns["domain"][[3, 1]].tolist()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"val": None}, "no list 'val'"),
        ({"val": [["a", "balance"], ["b"]]}, "'val' row 2: not a pair of text and intent"),
        ({"val": [["a", 3]]}, "'val' row 1: not a pair"),
        ({"val": [[" ", "balance"]]}, "'val' row 1: empty text"),
        ({"oos_val": [["a", "blance"]]}, "'oos_val' row 1: 'blance' is not one of the 150 intents"),
    ],
)
def test_clinc_refuses_malformed_rows(
    tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    write_clinc(tmp_path, **changes)
    assert problem in error("clinc150", tmp_path)


def test_clinc_refuses_unknown_intents_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="closest match is 'balance'"):
        load("clinc150:intents=[blance,transfer]", tmp_path)
    write_clinc(tmp_path)
    domains = tmp_path / "clinc150" / "domains.json"
    domains.write_text('{"banking": ["balance"]}')
    assert "no domain has the intent" in error("clinc150", tmp_path)
    domains.write_text("[]")
    assert "domains.json: not a JSON object" in error("clinc150", tmp_path)
    domains.write_text("{")
    assert "domains.json: not valid JSON" in error("clinc150", tmp_path)


def test_columns_survive_storing_and_change_the_digest(tmp_path: Path) -> None:
    from dataclasses import replace

    from fgbench.data import Split, read_dataset, write_dataset

    write_clinc(tmp_path)
    dataset = load("clinc150", tmp_path)
    path = tmp_path / "stored.npz"
    with path.open("wb") as stream:
        write_dataset(dataset, stream)
    stored = read_dataset(path)
    assert stored.digest == dataset.digest
    assert not stored.splits["test"].columns["domain"].flags.writeable
    test = dataset.splits["test"]
    other = Split(test.inputs, test.labels, columns={"domain": test.columns["domain"][::-1]})
    changed = replace(dataset, splits={**dataset.splits, "test": other})
    plain = replace(dataset, splits={**dataset.splits, "test": Split(test.inputs, test.labels)})
    assert len({dataset.digest, changed.digest, plain.digest}) == 3
    wrong = Split(test.inputs, test.labels, columns={"domain": np.array(["home"])})
    with pytest.raises(DataError, match="split test, column 'domain'"):
        replace(dataset, splits={**dataset.splits, "test": wrong}).validate()
