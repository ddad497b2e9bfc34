"""`fgbench data`: what the commands print, where, and with which exit code."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fgbench.cli import run_command

PLUGIN = '''
"""A third party's data set, with a card of its own."""
from pathlib import Path
from fgbench import Card, Dataset, DatasetLoader, Split, hookimpl


class Mine(DatasetLoader):
    @classmethod
    def card(cls):
        return Card.read(Path(__file__).with_name("mine.toml"))

    def load(self, folder):
        card = self.card()
        lines = folder.path(card, "all").read_text(encoding="utf-8").splitlines()
        split = Split(lines, [index % 2 for index in range(len(lines))])
        splits = dict.fromkeys(("train", "validation", "test"), split)
        return Dataset(card.name, card.label_names, splits)


@hookimpl
def fgbench_datasets(register):
    register("mine", "mine_plugin:Mine", "Mine")
'''

CARD = """
name = "mine"
title = "My [bold]data[/bold]"
licence = "CC0"
task = "a sentence"
splits = "none"
citation = {{text = "Me (2026)."}}
labels = [{{name = "no", description = "says no"}}, {{name = "yes", description = "says yes"}}]

[sources.all]
url = "http://127.0.0.1:{port}/all.txt"
filename = "all.txt"
sha256 = "{sha256}"
"""

CONTENT = b"no\nyes\n" * 5


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A plugin whose data set is served on the loopback."""
    served = tmp_path / "served"
    served.mkdir()
    (served / "all.txt").write_bytes(CONTENT)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("FGBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FGBENCH_DATA", raising=False)
    monkeypatch.delenv("FGBENCH_PLUGINS", raising=False)
    monkeypatch.delitem(__import__("sys").modules, "mine_plugin", raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=served)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        card = CARD.format(
            port=server.server_address[1], sha256=hashlib.sha256(CONTENT).hexdigest()
        )
        (tmp_path / "mine.toml").write_text(card, encoding="utf-8")
        (tmp_path / "mine_plugin.py").write_text(PLUGIN, encoding="utf-8")
        yield str(tmp_path / "mine_plugin.py")
        server.shutdown()
        thread.join()


def test_fetch_verify_and_load_third_party_data(
    plugin: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["data", "verify", "mine", "--plugin", plugin]) == 2
    out, err = capsys.readouterr()
    assert out == "missing     all.txt\n"
    assert "fgbench data fetch mine" in err and "FGBENCH_DATA" in err

    assert run_command(["data", "fetch", "mine", "--plugin", plugin]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    target = tmp_path / "cache/data/mine/all.txt"
    assert err.splitlines() == [
        "all.txt: downloading 35 bytes",
        f"mine: all downloaded to {target}",
    ]
    assert target.read_bytes() == CONTENT

    assert run_command(["data", "verify", "mine", "--json", "--plugin", plugin]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["sources"][0]["status"] == "ok"
    assert shown["sources"][0]["path"] == str(target)

    from fgbench import DataFolder
    from fgbench.plugins.references import PartReference
    from fgbench.plugins.registry import Registry

    loader = Registry.load([plugin]).create("dataset", PartReference("mine"))
    assert len(loader.load(DataFolder.from_environment()).splits["train"]) == 10


def test_verify_reports_corrupt_fetched_and_differing_user_files(
    plugin: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_command(["data", "fetch", "mine", "--plugin", plugin])
    (tmp_path / "cache/data/mine/all.txt").write_bytes(b"rotten")
    (tmp_path / "own/mine").mkdir(parents=True)
    (tmp_path / "own/mine/all.txt").write_bytes(b"mine")
    capsys.readouterr()
    assert run_command(["data", "verify", "mine", "--plugin", plugin]) == 2
    assert capsys.readouterr().out.startswith("corrupt     all.txt")
    own = ["--data-dir", str(tmp_path / "own"), "--plugin", plugin]
    assert run_command(["data", "verify", "mine", *own]) == 2
    assert capsys.readouterr().out.startswith("differs     all.txt")


def test_wrong_digest_exits_2_with_one_error(
    plugin: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "served/all.txt").write_bytes(b"other")
    assert run_command(["data", "fetch", "mine", "--plugin", plugin]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("Error: dataset mine: the download from http://127.0.0.1")
    assert not (tmp_path / "cache/data/mine/all.txt").exists()
    assert not (tmp_path / "cache/data/mine/all.txt.part").exists()


def test_card_is_shown_as_text_and_json(
    plugin: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run_command(["data", "show", "mine", "--plugin", plugin]) == 0
    out = capsys.readouterr().out
    assert "My [bold]data[/bold] (mine)" in out and "says yes" in out
    assert run_command(["data", "show", "mine", "--json", "--plugin", plugin]) == 0
    assert json.loads(capsys.readouterr().out)["licence"] == "CC0"


@pytest.mark.parametrize("name", ["tc", "subj", "banking77", "se", "arxiv", "medical"])
def test_paper_cards_fit_80_columns(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run_command(["data", "show", name]) == 0
    out = capsys.readouterr().out
    for word in ("license", "cite", "splits", "in FITG", "labels", "source", "sha256", "bert-base"):
        assert word in out
    assert max(map(len, out.splitlines())) <= 80


def test_data_set_without_files_has_nothing_to_fetch(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["data", "fetch", "logistic-1d", "csv"]) == 0
    assert capsys.readouterr().err.count("nothing to download") == 2
    assert run_command(["data", "verify", "logistic-1d"]) == 0
    assert run_command(["data", "show", "csv"]) == 0


def test_unknown_data_set_suggests_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["data", "show", "bankin77"]) == 2
    assert "Did you mean 'banking77'?" in capsys.readouterr().err


def test_list_says_what_is_here_and_how_to_get_the_rest(
    plugin: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["data", "list", "--plugin", plugin]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["mine"].split()[1:] == ["missing", "fgbench", "data", "fetch", "mine"]
    assert "built in" in lines["known-posterior"]
    assert "own data" in lines["csv"]
    assert "hub" in lines["ag-news"]
    assert "missing" in lines["tc"]
    assert run_command(["data", "fetch", "mine", "--plugin", plugin]) == 0
    part = tmp_path / "own" / "banking77"
    part.mkdir(parents=True)
    (part / "train.csv").write_text("text,category\n")
    capsys.readouterr()
    options = ["--json", "--plugin", plugin, "--data-dir", str(tmp_path / "own")]
    assert run_command(["data", "list", *options]) == 0
    rows = {row["dataset"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["mine"]["status"] == "here"
    assert rows["banking77"]["status"] == "missing"
    assert rows["banking77"]["hint"].endswith("(1 of 2 files are missing)")


def test_list_keeps_going_when_one_card_is_broken(
    plugin: str, capsys: pytest.CaptureFixture[str]
) -> None:
    card = Path(plugin).with_name("mine.toml")
    card.write_text("name = 3\n")
    for command in ("list", "show", "verify"):
        assert run_command(["data", command, "--plugin", plugin]) == 0
    captured = capsys.readouterr()
    assert "mine" in captured.out and "broken" in captured.out
    assert captured.err.count("mine.toml") == 2


def test_verify_and_show_without_a_name_take_all(
    plugin: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["data", "verify", "--plugin", plugin]) == 0
    assert "No files of data sets are here. See `fgbench data list`." in capsys.readouterr().out
    assert run_command(["data", "fetch", "mine", "--plugin", plugin]) == 0
    capsys.readouterr()
    assert run_command(["data", "verify", "--plugin", plugin]) == 0
    assert capsys.readouterr().out.startswith("ok          mine/all.txt  ")
    assert run_command(["data", "verify", "--json", "--plugin", plugin]) == 0
    (only,) = json.loads(capsys.readouterr().out)
    assert only["dataset"] == "mine"
    assert run_command(["data", "verify", "mine", "tc", "--plugin", plugin]) == 2
    assert "Error: dataset tc: complaints-data.csv (missing)" in capsys.readouterr().err
    assert run_command(["data", "show", "--json", "--plugin", plugin]) == 0
    cards = json.loads(capsys.readouterr().out)
    assert {"mine", "tc", "ag-news", "clinc150"} <= set(cards)
    assert cards["sst2"]["hub"]["path"] == "stanfordnlp/sst2"
    assert run_command(["data", "show", "--plugin", plugin]) == 0
    assert "My [bold]data[/bold]" in capsys.readouterr().out


def test_fetch_of_a_hub_data_set_says_when_it_is_downloaded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_command(["data", "fetch", "ag-news"]) == 0
    assert "ag-news: downloaded from the hub when it is used first." in capsys.readouterr().err
