"""The official files, where FGBENCH_TEST_DATA points to them: counts that others have published."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fgbench import DataFolder, Dataset
from fgbench.plugins.references import PartReference
from fgbench.plugins.registry import Registry

DATA = os.environ.get("FGBENCH_TEST_DATA")
pytestmark = pytest.mark.skipif(
    not DATA, reason="FGBENCH_TEST_DATA does not point to a folder of official data files"
)
REGISTRY = Registry.load()


def load(reference: str) -> Dataset:
    folder = DataFolder(Path(str(DATA)), Path("no cache"))
    dataset: Dataset = REGISTRY.create("dataset", PartReference.parse(reference)).load(folder)
    assert folder.warnings == []
    return dataset


def sizes(dataset: Dataset) -> list[int]:
    return [len(split) for split in dataset.splits.values()]


def counts(dataset: Dataset) -> Counter[str]:
    labels = np.concatenate([split.labels for split in dataset.splits.values()])
    return Counter(dataset.label_names[label] for label in labels)


def straddling(dataset: Dataset) -> set[str]:
    train, validation, test = (set(split.inputs) for split in dataset.splits.values())
    return (train & test) | (validation & test) | (train & validation)


def test_twitter_complaints_split_80_10_10() -> None:
    dataset = load("tc")
    assert counts(dataset) == {"complaint": 1232, "no complaint": 3449 - 1232}
    assert sizes(dataset) == [2759, 345, 345]
    assert sum(sizes(dataset)[:2]) == 3104
    for split in dataset.splits.values():
        assert abs(split.labels.mean() - 1232 / 3449) < 0.002
    assert not straddling(dataset)


def test_subjectivity_has_5000_sentences_per_class() -> None:
    dataset = load("subj")
    assert counts(dataset) == {"objective": 5000, "subjective": 5000}
    assert sizes(dataset) == [6400, 1600, 2000]
    texts = [text for split in dataset.splits.values() for text in split.inputs]
    assert not any("\ufffd" in text for text in texts)
    assert any("clich\u00e9" in text for text in texts) and any("\u2026" in text for text in texts)


def test_banking_pair_has_197_and_80_rows() -> None:
    dataset = load("banking77")
    assert sizes(dataset) == [158, 39, 80]
    labels = np.concatenate([dataset.splits[name].labels for name in ("train", "validation")])
    assert Counter(labels.tolist()) == {0: 110, 1: 87}
    assert Counter(dataset.splits["test"].labels.tolist()) == {0: 40, 1: 40}


def test_banking_has_all_77_intents() -> None:
    dataset = load("banking77:intents=all")
    assert dataset.n_classes == 77
    assert sum(sizes(dataset)[:2]) == 10003
    assert Counter(dataset.splits["test"].labels.tolist()) == dict.fromkeys(range(77), 40)


def test_customer_reviews_have_3775_lines_without_blanks() -> None:
    dataset = load("se")
    # 2,407 and 1,368 lines, of which two each are blank.
    assert counts(dataset) == {"positive": 2405, "negative": 1366}
    texts = {text for split in dataset.splits.values() for text in split.inputs}
    assert len(texts) == 3765
    assert not straddling(dataset)


@pytest.mark.parametrize("name", ["tc", "subj", "banking77", "se"])
def test_real_data_depend_only_on_files_and_seed(name: str) -> None:
    assert load(name).digest == load(name).digest != load(f"{name}:split_seed=1").digest


def test_republished_ddxplus_evidence_is_read() -> None:
    from fgbench_plugins.datasets.evidences import Evidences
    from fgbench_plugins.datasets.text_files import TextFile

    path = Path(str(DATA)) / "medical/release_evidences.json"
    evidences = Evidences.read(TextFile.of_path(path, path.name))
    codes = "['E_91', 'E_55_@_V_26', 'E_56_@_4', 'E_131_@_V_12']"
    assert evidences.patient_as_text("49", "F", codes) == (
        "Age: 49. Sex: female. "
        "Do you have a fever (either felt or measured with a thermometer)? yes. "
        "Do you feel pain somewhere? back of the neck. "
        "How intense is the pain? 4 out of 10. Do your lesions peel off? yes."
    )


def test_tweeteval_keeps_official_splits() -> None:
    irony = load("tweeteval-irony")
    assert sizes(irony) == [2862, 955, 784]
    assert counts(irony)["ironic"] == 1445 + 456 + 311
    emotion = load("tweeteval-emotion")
    assert sizes(emotion) == [3257, 374, 1421]
    assert emotion.n_classes == 4


def test_clinc_has_150_intents_ten_domains_and_out_of_scope_rows() -> None:
    dataset = load("clinc150")
    assert sizes(dataset) == [15000, 3000, 4500]
    assert set(counts(dataset).values()) == {150}
    domains = Counter(dataset.splits["test"].columns["domain"].tolist())
    assert set(domains.values()) == {450} and len(domains) == 10
    extended = load("clinc150:out_of_scope=true")
    assert sizes(extended) == [15100, 3100, 5500]
    assert Counter(extended.splits["test"].columns["domain"].tolist())["oos"] == 1000
