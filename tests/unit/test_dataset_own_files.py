"""A user's own CSV or JSON Lines file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fgbench import ConfigurationError, DataError, DataFolder, Dataset
from fgbench.plugins.references import PartReference
from fgbench.plugins.registry import Registry

REGISTRY = Registry.load()
FOLDER = DataFolder(None, Path("unused"))


def load(reference: str) -> Dataset:
    dataset: Dataset = REGISTRY.create("dataset", PartReference.parse(reference)).load(FOLDER)
    return dataset


def error(reference: str) -> str:
    with pytest.raises(DataError) as caught:
        load(reference)
    return str(caught.value)


def write_csv(folder: Path, rows: list[str], header: str = "text,label") -> Path:
    path = folder / "reviews.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def write_jsonl(folder: Path, rows: list[object]) -> Path:
    path = folder / "reviews.jsonl"
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


ROWS = [f"text {i},{'good' if i % 2 else 'bad'}" for i in range(50)]


def test_csv_is_split_by_seed_with_sorted_labels(tmp_path: Path) -> None:
    path = write_csv(tmp_path, ROWS)
    dataset = load(f"csv:path={path},text=text,label=label")
    assert dataset.name == "reviews"
    assert dataset.label_names == ("bad", "good")
    assert [len(split) for split in dataset.splits.values()] == [32, 8, 10]
    assert dataset.digest == load(f"csv:path={path},text=text,label=label").digest


def test_csv_columns_delimiter_and_labels_are_configurable(tmp_path: Path) -> None:
    rows = [f"x;{i % 3};text {i}" for i in range(60)]
    path = write_csv(tmp_path, rows, header="id;stars;review")
    dataset = load(
        f"csv:path={path},text=review,label=stars,delimiter=';',labels=[2,1,0],"
        "descriptions=[good,so so,bad],task=a review"
    )
    assert dataset.label_names == ("2", "1", "0")
    assert dataset.label_descriptions == ("good", "so so", "bad")
    assert dataset.task == "a review"


def test_integer_labels_sort_by_value(tmp_path: Path) -> None:
    path = write_csv(tmp_path, [f"text {i},{(i % 12) - 1}" for i in range(120)])
    names = load(f"csv:path={path},text=text,label=label").label_names
    assert names == ("-1", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10")


def test_split_column_is_used_and_missing_validation_cut_from_train(tmp_path: Path) -> None:
    parts = ["Train"] * 40 + ["test"] * 10
    rows = [f"{row},{part}" for row, part in zip(ROWS, parts, strict=True)]
    reference = f"csv:path={write_csv(tmp_path, rows, 'text,label,part')},text=text,label=label"
    dataset = load(f"{reference},split=part")
    assert [len(split) for split in dataset.splits.values()] == [32, 8, 10]
    assert set(dataset.splits["test"].inputs) == {f"text {i}" for i in range(40, 50)}
    write_csv(tmp_path, [row.replace("test", "dev") for row in rows], "text,label,part")
    assert "no row has the split 'test' in part" in error(f"{reference},split=part")
    write_csv(tmp_path, [*rows, "more,good,elsewhere"], "text,label,part")
    assert "line 52: split 'elsewhere' is not train" in error(f"{reference},split=part")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (",good", "empty text (text)"),
        ("fine, ", "empty label (label)"),
        ("fine,good,extra", "has 3 columns instead of 2"),
        ("fine,goood", "label 'goood' is not one of bad, good"),
    ],
)
def test_malformed_csv_row_is_refused(tmp_path: Path, row: str, problem: str) -> None:
    path = write_csv(tmp_path, ['"three\nlines\nhere",good', *ROWS, row])
    message = error(f"csv:path={path},text=text,label=label,labels=[bad,good]")
    assert message.startswith(f"{path} line 55: ")
    assert problem in message


def test_missing_file_column_or_class_is_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path, ROWS)
    assert "no such file" in error(f"csv:path={path}x,text=text,label=label")
    assert "is a folder" in error(f"csv:path={tmp_path},text=text,label=label")
    assert "line 1: no column 'body'" in error(f"csv:path={path},text=body,label=label")
    write_csv(tmp_path, [])
    assert ": no rows" in error(f"csv:path={path},text=text,label=label")
    write_csv(tmp_path, [f"text {i},good" for i in range(9)])
    assert "every row has the label 'good'" in error(f"csv:path={path},text=text,label=label")
    with pytest.raises(ConfigurationError, match="needs the parameter 'path'"):
        load("csv:text=a,label=b")
    with pytest.raises(ConfigurationError, match="unknown encoding"):
        load("csv:path=a,text=a,label=b,encoding=utf-9")


def test_encoding_is_configurable_and_errors_name_line(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_bytes("\n".join(["text,label", *ROWS, "caf\u00e9,good"]).encode("utf-16"))
    reference = f"csv:path={path},text=text,label=label"
    inputs = {t for s in load(f"{reference},encoding=utf-16").splits.values() for t in s.inputs}
    assert "caf\u00e9" in inputs
    path.write_bytes("\n".join(["text,label", *ROWS, "caf\u00e9,good"]).encode("latin-1"))
    assert "line 52: byte 0xE9 is not valid utf-8" in error(reference)


def test_json_lines_accept_text_and_integer_labels(tmp_path: Path) -> None:
    rows = [{"t": f"a\u2028line {i}", "y": i % 2, "more": [1]} for i in range(50)]
    dataset = load(f"jsonl:path={write_jsonl(tmp_path, [*rows, ''])},text=t,label=y")
    assert dataset.label_names == ("0", "1")
    assert sum(len(split) for split in dataset.splits.values()) == 50


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ('{"t": "open', "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[1, 2]", "not a JSON object"),
        ({"t": "no label"}, "no 'y'; the object has t"),
        ({"t": 3, "y": 1}, "'t' is 3, not a string"),
        ({"t": "x", "y": True}, "'y' is true, not a string"),
        ({"t": "x", "y": 0.5}, "'y' is 0.5, not a string"),
        ({"t": "", "y": 1}, "empty text (t)"),
    ],
)
def test_malformed_json_line_is_refused(tmp_path: Path, row: object, problem: str) -> None:
    rows: list[object] = [{"t": f"text {i}", "y": i % 2} for i in range(9)]
    path = write_jsonl(tmp_path, [*rows, "", row])
    message = error(f"jsonl:path={path},text=t,label=y")
    assert message.startswith(f"{path} line 11: ")
    assert problem in message
