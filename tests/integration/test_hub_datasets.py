"""Data sets of the hub, read with the library `datasets` from local folders and from a cache."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fgbench import ConfigurationError, DataError, DataFolder, Dataset, FgbenchError, PluginError
from fgbench.plugins.references import PartReference
from fgbench.plugins.registry import Registry
from fgbench.testing import check_dataset

REGISTRY = Registry.load()
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The library with its caches in the test's folder; never online."""
    datasets = pytest.importorskip("datasets")
    from huggingface_hub import constants

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "arrow")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return datasets


def load(reference: str) -> tuple[Dataset, DataFolder]:
    folder = DataFolder(None, Path("unused"))
    dataset: Dataset = REGISTRY.create("dataset", PartReference.parse(reference)).load(folder)
    return dataset, folder


def error(reference: str) -> str:
    with pytest.raises(FgbenchError) as caught:
        load(reference)
    return str(caught.value)


def rows(split: str, n: int, **more: Any) -> dict[str, list[Any]]:
    columns = {"sentence": [f"{split} {i}" for i in range(n)], "label": [i % 2 for i in range(n)]}
    return columns | {name: list(values) for name, values in more.items()}


def tables(library: Any, parts: Mapping[str, Any], names: list[str] | None = None) -> Any:
    def table(columns: dict[str, list[Any]]) -> Any:
        part = library.Dataset.from_dict(columns)
        return part if names is None else part.cast_column("label", library.ClassLabel(names=names))

    return library.DatasetDict({name: table(columns) for name, columns in parts.items()})


def write_cache(hub: Path, repo: str, parts: Any, readme: str = "") -> Path:
    """Write a snapshot as the hub's client caches it."""
    repository = hub / f"datasets--{repo.replace('/', '--')}"
    snapshot = repository / "snapshots" / COMMIT
    (snapshot / "data").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    for name, part in parts.items():
        part.to_parquet(str(snapshot / "data" / f"{name}-00000-of-00001.parquet"))
    (snapshot / "README.md").write_text(readme)
    return snapshot


PARTS = {"train": rows("train", 40), "test": rows("test", 10)}
README = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
  - split: test
    path: data/test-*
---
"""


@pytest.mark.parametrize("kind", ["disk", "parquet", "csv", "jsonl"])
def test_local_folder_of_each_format_is_read(library: Any, tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "reviews"
    parts = tables(library, PARTS)
    folder.mkdir()
    if kind == "disk":
        parts.save_to_disk(str(folder))
    for name, part in parts.items():
        path = str(folder / f"{name}.{kind}")
        {
            "disk": lambda path, part=part: None,
            "parquet": part.to_parquet,
            "csv": part.to_csv,
            "jsonl": part.to_json,
        }[kind](path)
    dataset, notes = load(f"hf:{folder}")
    assert dataset.name == "reviews"
    assert dataset.label_names == ("0", "1")
    assert [len(split) for split in dataset.splits.values()] == [32, 8, 10]
    assert set(dataset.splits["test"].inputs) == set(PARTS["test"]["sentence"])
    for split in dataset.splits.values():
        assert all(
            int(str(text).split()[1]) % 2 == label
            for text, label in zip(split.inputs, split.labels, strict=True)
        )
    assert notes.notes == [
        f"data set {folder}: text 'sentence', label 'label', splits train, test."
    ]


def test_cached_data_set_records_its_commit_and_works_offline(library: Any, tmp_path: Path) -> None:
    write_cache(tmp_path / "hub", "me/reviews", tables(library, PARTS, ["bad", "good"]), README)
    part = REGISTRY.create("dataset", PartReference.parse("hf:me/reviews"))
    assert part.identity("hf")["content"] == COMMIT
    assert part.identity("hf")["parameters"]["path"] == "me/reviews"
    dataset, notes = load("hf:me/reviews")
    assert dataset.label_names == ("bad", "good")
    assert notes.notes[0].endswith(f"splits train, test, revision {COMMIT}.")
    pinned, _ = load(f"hf:me/reviews,revision={COMMIT}")
    assert pinned.digest == dataset.digest


def test_branch_without_readme_is_found_in_the_cache(library: Any, tmp_path: Path) -> None:
    parts = tables(library, PARTS, ["bad", "good"])
    snapshot = write_cache(tmp_path / "hub", "me/reviews", parts)
    (snapshot / "README.md").unlink()
    for name in parts:
        (snapshot / "default" / name).mkdir(parents=True)
        shard = snapshot / "data" / f"{name}-00000-of-00001.parquet"
        shard.rename(snapshot / "default" / name / "0000.parquet")
    branch = snapshot.parents[1] / "refs" / "refs" / "convert" / "parquet"
    branch.parent.mkdir(parents=True)
    branch.write_text(COMMIT)
    dataset, notes = load("hf:me/reviews,revision=refs/convert/parquet")
    assert [len(split) for split in dataset.splits.values()] == [32, 8, 10]
    assert COMMIT in notes.notes[0]


def test_only_the_default_configuration_must_be_cached(library: Any, tmp_path: Path) -> None:
    second = README.replace("---\nconfigs:\n", "").replace("default", "second")
    readme = README.removesuffix("---\n") + second.replace("data/", "other/")
    write_cache(tmp_path / "hub", "me/two", tables(library, PARTS), readme)
    dataset, _ = load("hf:me/two")
    assert len(dataset.splits["test"]) == 10
    assert "not in the cache of the hub" in error("hf:me/two,config=second")


def test_incomplete_or_missing_cache_is_not_used_offline(library: Any, tmp_path: Path) -> None:
    snapshot = write_cache(tmp_path / "hub", "me/reviews", tables(library, PARTS), README)
    (snapshot / "data" / "test-00000-of-00001.parquet").unlink()
    expected = "not in the cache of the hub, and HF_HUB_OFFLINE forbids downloading it"
    assert expected in error("hf:me/reviews")
    (snapshot / "README.md").write_text("")
    train = snapshot / "data" / "train-00000-of-00001.parquet"
    train.rename(snapshot / "data" / "train-00000-of-00002.parquet")
    assert expected in error("hf:me/reviews")
    assert expected in error("hf:me/others")
    assert expected in error(f"hf:me/reviews,revision={COMMIT[::-1]}")


def test_unlabeled_test_split_is_replaced_by_the_validation_split(
    library: Any, tmp_path: Path
) -> None:
    hidden = {"sentence": ["a", "b"], "label": [-1, -1]}
    parts = {"train": rows("train", 40), "validation": rows("dev", 10), "test": hidden}
    tables(library, parts, ["bad", "good"]).save_to_disk(str(tmp_path / "sst"))
    dataset, notes = load(f"hf:{tmp_path / 'sst'}")
    assert set(dataset.splits["test"].inputs) == set(parts["validation"]["sentence"])
    assert "splits train, validation as test (not used: test)" in notes.notes[0]


def test_splits_are_named_and_one_is_divided(library: Any, tmp_path: Path) -> None:
    parts = {"good": rows("good", 40), "hard": rows("hard", 10)}
    tables(library, parts).save_to_disk(str(tmp_path / "odd"))
    reference = f"hf:{tmp_path / 'odd'}"
    assert "no labeled split 'train'. Set split= to one or more of good, hard" in error(reference)
    assert "no split 'easy'; there are good, hard" in error(f"{reference},split=easy")
    dataset, _ = load(f"{reference},split=[good,hard]")
    assert [len(split) for split in dataset.splits.values()] == [32, 8, 10]
    dataset, _ = load(f"{reference},split=good")
    assert [len(split) for split in dataset.splits.values()] == [26, 6, 8]


def test_integer_labels_take_names_from_the_text_column_beside_them(
    library: Any, tmp_path: Path
) -> None:
    named = {"label_text": ["zero" if i % 2 == 0 else "one" for i in range(40)]}
    tables(library, {"train": rows("train", 40, **named)}).save_to_disk(str(tmp_path / "named"))
    dataset, _ = load(f"hf:{tmp_path / 'named'},text=sentence")
    assert dataset.label_names == ("zero", "one")


def test_columns_that_cannot_be_guessed_are_asked_for(library: Any, tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(40)]
    columns = {"premise": texts, "hypothesis": texts, "entailed": [0, 1] * 20}
    tables(library, {"train": columns}).save_to_disk(str(tmp_path / "nli"))
    reference = f"hf:{tmp_path / 'nli'}"
    assert "which column is the text? Set text= to one of premise, hypothesis" in error(reference)
    assert "no text column 'entailed'" in error(f"{reference},text=entailed")
    assert "which column is the label?" in error(f"{reference},text=premise")
    dataset, _ = load(f"{reference},text=premise,label=entailed")
    assert dataset.label_names == ("0", "1")


def test_rows_without_text_or_label_are_refused_or_dropped(library: Any, tmp_path: Path) -> None:
    train = rows("train", 40)
    train["sentence"][3] = " "
    train["label"][5] = -1
    tables(library, {"train": train}, ["bad", "good"]).save_to_disk(str(tmp_path / "holes"))
    reference = f"hf:{tmp_path / 'holes'}"
    assert "split train, row 3: empty text. drop_invalid=true drops such rows" in error(reference)
    dataset, notes = load(f"{reference},drop_invalid=true")
    assert sum(len(split) for split in dataset.splits.values()) == 38
    assert "dropped 2 of 40 rows" in notes.notes[1]


def test_column_of_ids_is_no_label(library: Any, tmp_path: Path) -> None:
    columns = {"text": [f"t {i}" for i in range(40)], "label": [f"id {i}" for i in range(40)]}
    tables(library, {"train": columns}).save_to_disk(str(tmp_path / "ids"))
    message = error(f"hf:{tmp_path / 'ids'}")
    assert "40 rows have 40 different labels; is 'label' the right column?" in message


def test_unreadable_folder_is_one_sentence(library: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "the library 'datasets' cannot read it" in error(f"hf:{tmp_path / 'empty'}")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "train.parquet").write_bytes(b"PAR1 no")
    assert "the library 'datasets' cannot read it" in error(f"hf:{tmp_path / 'broken'}")
    file = tmp_path / "reviews.csv"
    file.write_text("text,label\n")
    assert "is a file" in error(f"hf:{file}")
    assert "no such folder" in error(f"hf:{tmp_path / 'none'}")


def test_every_hub_card_agrees_with_its_loader_and_names_hub_classes(
    library: Any, tmp_path: Path
) -> None:
    for name in ("ag-news", "sst2", "imdb", "trec", "20newsgroups"):
        loader = REGISTRY.create("dataset", PartReference(name))
        card = loader.card()
        assert card is not None and card.hub is not None
        used = {key: getattr(loader, key) for key in ("path", "config", "revision")}
        assert used == {key: getattr(card.hub, key) for key in used}
        assert (loader.text, loader.label) == (card.hub.text, card.hub.label)
        classes = sorted(label.value or label.name for label in card.labels)
        n = 4 * len(classes)
        columns = {
            card.hub.text: [f"text {i}" for i in range(n)],
            card.hub.label: [i % len(classes) for i in range(n)],
        }
        feature = library.ClassLabel(names=classes)
        part = library.Dataset.from_dict(columns).cast_column(card.hub.label, feature)
        folder = tmp_path / name
        library.DatasetDict({"train": part, "test": part}).save_to_disk(str(folder))
        dataset, _ = load(f"{name}:path={folder}")
        assert dataset.label_names == card.label_names
        split = dataset.splits["test"]
        for text, label in zip(split.inputs, split.labels, strict=True):
            value = card.labels[label].value or card.labels[label].name
            assert value == classes[int(str(text).split()[1]) % len(classes)]
    message = error(f"sst2:path={tmp_path / 'imdb'},text=text")
    assert "its classes are not those of the card of sst2: negative, positive" in message


def test_conformance_kit_accepts_a_hub_data_set(library: Any, tmp_path: Path) -> None:
    tables(library, PARTS, ["bad", "good"]).save_to_disk(str(tmp_path / "reviews"))
    part = REGISTRY.create("dataset", PartReference.parse(f"hf:{tmp_path / 'reviews'}"))
    check_dataset(part, DataFolder(None, Path("unused")))


def test_library_is_imported_only_on_use_and_without_torch(library: Any, tmp_path: Path) -> None:
    tables(library, PARTS).save_to_disk(str(tmp_path / "reviews"))
    code = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from fgbench import DataFolder\n"
        "from fgbench.plugins.references import PartReference\n"
        "from fgbench.plugins.registry import Registry\n"
        "part = Registry.load().create('dataset', PartReference.parse(sys.argv[1]))\n"
        "before = 'datasets' in sys.modules\n"
        "part.load(DataFolder(None, Path('unused')))\n"
        "print(json.dumps([before, 'datasets' in sys.modules, 'torch' in sys.modules]))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, f"hf:{tmp_path / 'reviews'}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(result.stdout) == [False, True, False]


def test_missing_library_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.delitem(sys.modules, "fgbench_plugins.datasets.hub_tables", raising=False)
    monkeypatch.delattr("fgbench_plugins.datasets.hub_tables", raising=False)
    with pytest.raises(PluginError, match=r"needs 'datasets'.*pip install 'fgbench\[datasets\]'"):
        load(f"hf:{tmp_path}")
    assert REGISTRY.part_class("dataset", "ag-news").card().hub.path == "fancyzhx/ag_news"


def test_more_than_three_splits_are_refused(library: Any, tmp_path: Path) -> None:
    tables(library, {name: rows(name, 4) for name in "abcd"}).save_to_disk(str(tmp_path / "four"))
    with pytest.raises(ConfigurationError, match="one, two or three"):
        load(f"hf:{tmp_path / 'four'},split=[a,b,c,d]")


def test_data_error_of_config_lists_the_choices(library: Any, tmp_path: Path) -> None:
    readme = README.replace("default", "first") + ""
    second = readme.replace("---\nconfigs:\n", "").replace("first", "second")
    folder = write_cache(tmp_path / "hub", "me/two", tables(library, PARTS), "")
    (folder / "README.md").write_text(readme.removesuffix("---\n") + second)
    with pytest.raises(DataError, match=r"first.*second"):
        load("hf:me/two")
    dataset, _ = load("hf:me/two,config=second")
    assert len(dataset.splits["test"]) == 10
