"""`fgbench init`: what it guesses, shows and writes, and that `fgbench run` takes it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from fgbench.cli import run_command


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FGBENCH_STORE", str(tmp_path / "store"))
    return tmp_path


def write(name: str, rows: list[list[str]], delimiter: str = ",", encoding: str = "utf-8") -> None:
    text = "\n".join(delimiter.join(row) for row in rows) + "\n"
    Path(name).write_bytes(text.encode(encoding))


def reviews(n: int = 60) -> list[list[str]]:
    rows = [[str(i), f"caf\u00e9 number {i}", "good" if i % 3 else "bad"] for i in range(n)]
    return [["id", "comment", "verdict"], *rows]


def table(name: str) -> dict[str, object]:
    (only,) = tomllib.loads(Path(name).read_text(encoding="utf-8"))["datasets"]
    assert isinstance(only, dict)
    return only


@pytest.mark.parametrize(
    ("delimiter", "encoding", "expected"),
    [
        (",", "utf-8", {}),
        (";", "utf-8-sig", {"delimiter": ";"}),
        ("\t", "cp1252", {"delimiter": "tab", "encoding": "cp1252"}),
        ("|", "utf-16", {"delimiter": "|", "encoding": "utf-16"}),
    ],
)
def test_delimiter_encoding_and_columns_are_guessed_and_shown(
    capsys: pytest.CaptureFixture[str], delimiter: str, encoding: str, expected: dict[str, str]
) -> None:
    write("reviews.csv", reviews(), delimiter, encoding)
    assert run_command(["init", "reviews.csv"]) == 0
    output = capsys.readouterr().out
    columns = {"name": "csv", "path": "reviews.csv", "text": "comment", "label": "verdict"}
    assert table("reviews.toml") == columns | expected
    assert "text 'comment', label 'verdict'" in output
    assert "caf\u00e9 number 1" in output
    assert "60 rows: train 38, validation 10, test 12" in output
    assert "2 labels: good 40, bad 20" in output
    assert run_command(["plan", "reviews.toml", "--json"]) == 0


def test_written_suite_runs_and_its_board_is_titled_by_the_file(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write("reviews.csv", reviews())
    assert run_command(["init", "reviews.csv"]) == 0
    options = ["--arm", "baseline", "--seed", "0", "--replicates", "20", "--out", "runs"]
    capsys.readouterr()
    assert run_command(["run", "reviews.toml", *options]) == 0
    output = capsys.readouterr().out
    assert "reviews" in output
    assert "csv" not in output
    (path,) = Path("runs").glob("*/leaderboard.json")
    (first, *_) = json.loads(path.read_text(encoding="utf-8"))["entries"]
    assert first["dataset"]["name"] == "csv"
    for name in ("reviews", "csv"):
        assert run_command(["leaderboard", "show", str(path), "--dataset", name]) == 0
    assert run_command(["leaderboard", "show", str(path), "--dataset", "review"]) == 2


def test_existing_suite_is_kept_without_force(capsys: pytest.CaptureFixture[str]) -> None:
    write("reviews.csv", reviews())
    Path("reviews.toml").write_text("mine")
    assert run_command(["init", "reviews.csv"]) == 2
    assert "reviews.toml exists. Use --force" in capsys.readouterr().err
    assert Path("reviews.toml").read_text() == "mine"
    assert run_command(["init", "reviews.csv", "--force"]) == 0
    assert table("reviews.toml")["label"] == "verdict"
    write("data.toml", reviews())
    assert run_command(["init", "data.toml", "--force"]) == 2
    assert "is the data file" in capsys.readouterr().err


def test_json_lines_and_test_files_are_described() -> None:
    lines = [json.dumps({"body": f"text number {i}", "n": i % 2}) for i in range(60)]
    Path("train.jsonl").write_text("\n".join(lines))
    Path("held.jsonl").write_text("\n".join(lines[:9]))
    assert run_command(["init", "train.jsonl", "--test", "held.jsonl", "-o", "mine.toml"]) == 0
    assert table("mine.toml") == {
        "name": "jsonl",
        "path": "train.jsonl",
        "test": "held.jsonl",
        "text": "body",
        "label": "n",
    }


def test_split_column_is_found_and_invalid_rows_are_dropped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [[*row, "train" if i % 4 else "test"] for i, row in enumerate(reviews()[1:])]
    rows[5][2] = ""
    write("reviews.csv", [["id", "comment", "verdict", "split"], *rows])
    assert run_command(["init", "reviews.csv"]) == 0
    written = table("reviews.toml")
    assert (written["split"], written["drop_invalid"]) == ("split", True)
    assert "dropped 1 of 60 rows (1 × empty label)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([["root:x:0:0"]] * 4, [], "the first line is one column with the delimiter"),
        ([["a b", "x"], ["c d", "x"], ["e f", "y"]] * 9, [], "the first line looks like data"),
        ([["text", "label"]], [], "no rows below the header"),
        (reviews(), ["--text", "body"], "no column 'body'; there are id, comment, verdict"),
        (reviews(), ["--label", "id"], "60 rows have 60 different labels; is 'id' the right"),
        (reviews(), ["--delimiter", ";;"], "a delimiter is one character, or tab"),
        (reviews(), ["--encoding", "ascii"], "not a text in the encoding 'ascii'"),
        (reviews(), ["--encoding", "utf-9"], "--encoding 'utf-9': unknown encoding"),
        ([["a", "b"], *[[str(i), str(i)] for i in range(9)]], [], "no column looks like the text"),
    ],
)
def test_what_cannot_be_guessed_is_one_sentence_and_writes_nothing(
    capsys: pytest.CaptureFixture[str],
    rows: list[list[str]],
    options: list[str],
    message: str,
) -> None:
    write("reviews.csv", rows)
    assert run_command(["init", "reviews.csv", *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "root" not in error
    assert not Path("reviews.toml").exists()


def test_folders_pipes_and_missing_files_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    import os

    Path("folder.csv").mkdir()
    os.mkfifo("pipe.csv")
    for name, problem in {
        "folder.csv": "is a folder",
        "none.csv": "no such file",
        "pipe.csv": "not a regular file",
    }.items():
        assert run_command(["init", name]) == 2
        assert problem in capsys.readouterr().err


def test_plan_shows_parameters_in_brackets(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    (folder / "banking77").mkdir()
    for name in ("train", "test"):
        rows = [f"{name} {i},{'pin_blocked' if i % 2 else 'change_pin'}" for i in range(40)]
        (folder / "banking77" / f"{name}.csv").write_text("text,category\n" + "\n".join(rows))
    reference = "banking77:intents=[pin_blocked,change_pin]"
    options = ["--classifier", "tfidf-logreg", "--data-dir", str(folder)]
    assert run_command(["plan", "--dataset", reference, *options]) == 0
    assert "banking77:intents=[pin_blocked,change_pin]" in capsys.readouterr().out


def test_python_interface_reports_what_was_left_out() -> None:
    import fgbench

    write("reviews.csv", [*reviews(), ["60", "", "good"]])
    run = fgbench.run(
        dataset="csv:reviews.csv,text=comment,label=verdict,drop_invalid=true",
        arms=["baseline"],
        seeds=[0],
        replicates=20,
    )
    assert run.notes == (
        "reviews.csv: dropped 1 of 61 rows (1 × empty text), the first at line 62.",
    )
