"""Data set cards, and the data folder that finds their files or says how to get them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from fgbench import Card, DataError, DataFolder
from fgbench.plugins.registry import Registry
from fgbench_datasets import CARDS

MINE = """
name = "mine"
title = "My data"
licence = "CC0"
task = "a sentence"
splits = "80:20"

[citation]
text = "Me (2026)."

[sources.all]
url = "https://example.org/all.csv"
filename = "all.csv"
sha256 = "{sha256}"

[[labels]]
name = "no"
description = "says no"

[[labels]]
name = "yes"
description = "says yes"
"""


def write_card(folder: Path, content: bytes = b"x", **changes: str) -> Path:
    text = MINE.format(sha256=hashlib.sha256(content).hexdigest())
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def folder_of(
    tmp_path: Path, *, own: bytes | None = None, cached: bytes | None = None
) -> DataFolder:
    for root, content in ((tmp_path / "own", own), (tmp_path / "cache", cached)):
        if content is not None:
            (root / "mine").mkdir(parents=True)
            (root / "mine" / "all.csv").write_bytes(content)
    return DataFolder(tmp_path / "own", tmp_path / "cache")


@pytest.mark.parametrize("path", sorted(CARDS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_card_is_valid_and_named_after_its_file(path: Path) -> None:
    card = Card.read(path)
    assert card.name == path.stem
    assert all(label.description for label in card.labels)


@pytest.mark.parametrize("name", ["tc", "subj", "banking77", "se", "arxiv", "medical"])
def test_paper_cards_default_to_bert_and_state_sizes(name: str) -> None:
    loader = Registry.load().part_class("dataset", name)
    card = loader.card()
    assert card is not None and card.paper is not None and card.sources
    assert loader.default_classifier == card.default_classifier == "bert-base"


def test_third_party_card_is_read_from_path(tmp_path: Path) -> None:
    card = Card.read(write_card(tmp_path))
    assert card.label_names == ("no", "yes")
    assert card.folder_name == "mine"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            'licence = "CC0"',
            'license = "CC0"',
            "unknown key 'license', and 'licence' missing. Did you mean 'licence'?",
        ),
        ('title = "My data"', "", "the key 'title' is missing"),
        ('filename = "all.csv"', 'filename = "../all.csv"', "sources.all.filename"),
        ('name = "mine"', 'name = "../mine"', "name = '../mine':"),
        ("https://", "file:///", "sources.all.url"),
        ('title = "My data"', 'title = "t"\nencoding = "utf-9"', "'utf-9' is not an encoding"),
        ('name = "yes"', 'name = "no"', "duplicate label name"),
        ('name = "mine"', 'name = "mine', "not valid TOML"),
    ],
)
def test_invalid_card_error_names_file_and_key(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    path = write_card(tmp_path, **{old: new})
    with pytest.raises(DataError) as caught:
        Card.read(path)
    assert str(path) in str(caught.value)
    assert problem in str(caught.value)


def test_unknown_label_error_suggests_nearest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Did you mean 'yes'"):
        Card.read(write_card(tmp_path)).label("yess")


def test_user_folder_precedes_cache(tmp_path: Path) -> None:
    card = Card.read(write_card(tmp_path, b"right"))
    folder = folder_of(tmp_path, own=b"right", cached=b"right")
    assert folder.path(card, "all") == tmp_path / "own" / "mine" / "all.csv"
    (tmp_path / "own" / "mine" / "all.csv").unlink()
    assert folder.path(card, "all") == tmp_path / "cache" / "mine" / "all.csv"
    assert folder.warnings == []


def test_differing_user_file_is_used_with_warning(tmp_path: Path) -> None:
    card = Card.read(write_card(tmp_path, b"right"))
    folder = folder_of(tmp_path, own=b"other")
    assert folder.path(card, "all") == folder.path(card, "all")
    assert len(folder.warnings) == 1
    assert "not comparable" in folder.warnings[0]


def test_differing_fetched_file_is_refused(tmp_path: Path) -> None:
    card = Card.read(write_card(tmp_path, b"right"))
    with pytest.raises(DataError, match=r"corrupt.*fgbench data fetch mine"):
        folder_of(tmp_path, cached=b"other").path(card, "all")


def test_unconfirmed_digest_warns_and_recorded_digest_is_enforced(tmp_path: Path) -> None:
    card = Card.read(
        write_card(tmp_path, b"reported", **{"filename =": "confirmed = false\nfilename ="})
    )
    folder = folder_of(tmp_path, cached=b"came")
    record = {"sha256": hashlib.sha256(b"came").hexdigest()}
    (tmp_path / "cache/mine/all.csv.fetched.json").write_text(json.dumps(record))
    folder.path(card, "all")
    assert "unconfirmed" in folder.warnings[0]
    (tmp_path / "cache/mine/all.csv").write_bytes(b"rotten")
    with pytest.raises(DataError, match="is corrupt"):
        folder.path(card, "all")


def test_missing_file_error_names_fetch_and_folder(tmp_path: Path) -> None:
    card = Card.read(write_card(tmp_path))
    for folder in (DataFolder(None, tmp_path), folder_of(tmp_path)):
        with pytest.raises(DataError) as caught:
            folder.path(card, "all")
        assert "fgbench data fetch mine" in str(caught.value)
        assert "mine/all.csv" in str(caught.value)
    with pytest.raises(DataError, match="--data-dir or FGBENCH_DATA"):
        DataFolder(None, tmp_path).path(card, "all")


def test_data_option_overrides_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FGBENCH_DATA", str(tmp_path / "env"))
    monkeypatch.setenv("FGBENCH_CACHE", str(tmp_path / "cache"))
    assert DataFolder.from_environment().data_dir == tmp_path / "env"
    assert DataFolder.from_environment(tmp_path / "opt").data_dir == tmp_path / "opt"
    assert DataFolder.from_environment().cache_dir == tmp_path / "cache" / "data"
    monkeypatch.delenv("FGBENCH_DATA")
    assert DataFolder.from_environment().data_dir is None


def test_cards_import_nothing_heavy() -> None:
    heavy = ["numpy", "scipy", "sklearn", "pandas", "torch", "rich", "urllib.request", "filelock"]
    code = f"import sys, fgbench.cards; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
