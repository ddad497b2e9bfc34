"""A user's own CSV or JSON Lines file."""

from __future__ import annotations

import json
import os
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
    assert "line 52: the split (part) is not train" in error(f"{reference},split=part")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (",good", "empty text (text)"),
        ("fine, ", "empty label (label)"),
        ("fine,good,extra", "has 3 columns instead of 2"),
        ("fine,goood", "the label (label) is not one of bad, good"),
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
    assert "every row has the same label" in error(f"csv:path={path},text=text,label=label")
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
        ({"t": "no label"}, "no 'y' in the object"),
        ({"t": 3, "y": 1}, "'t' is a number, not a string"),
        ({"t": "x", "y": True}, "'y' is a boolean, not a string"),
        ({"t": "x", "y": 0.5}, "'y' is a number, not a string"),
        ({"t": "", "y": 1}, "empty text (t)"),
    ],
)
def test_malformed_json_line_is_refused(tmp_path: Path, row: object, problem: str) -> None:
    rows: list[object] = [{"t": f"text {i}", "y": i % 2} for i in range(9)]
    path = write_jsonl(tmp_path, [*rows, "", row])
    message = error(f"jsonl:path={path},text=t,label=y")
    assert message.startswith(f"{path} line 11: ")
    assert problem in message


SECRET = "sk-0123456789"


@pytest.mark.parametrize(
    ("name", "content", "parameters"),
    [
        ("csv", f"KEY={SECRET}\nOTHER=x\n", "text=text,label=label"),
        ("csv", f"KEY={SECRET}\nOTHER=x\n", "text=KEY,label=label,delimiter='='"),
        ("jsonl", f'{{"{SECRET}": "{SECRET}"}}\n', "text=text,label=label"),
        ("jsonl", f'{{"t": {{"k": "{SECRET}"}}, "y": 1}}\n', "text=t,label=y"),
        ("jsonl", f"{SECRET}\n", "text=t,label=y"),
        ("csv", f"a,b,c\nx,y,{SECRET}\n", "text=a,label=b,split=c"),
        ("csv", f"a,b\nx,{SECRET}\n", "text=a,label=b"),
        ("csv", f"a,b\nx,{SECRET}\n", "text=a,label=b,labels=[0,1]"),
    ],
)
def test_errors_show_no_content_of_a_file_that_a_suite_may_choose(
    tmp_path: Path, name: str, content: str, parameters: str
) -> None:
    (tmp_path / "file").write_text(content, encoding="utf-8")
    assert SECRET not in error(f"{name}:path={tmp_path}/file,{parameters}")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_files_of_the_system_are_not_data() -> None:
    assert "not a regular file" in error("csv:path=/proc/self/environ,text=a,label=b")


@pytest.mark.parametrize("name", ["csv", "jsonl"])
def test_fifo_is_refused(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "file")
    message = error(f"{name}:path={tmp_path}/file,text=text,label=label")
    assert "not a regular file (a FIFO)" in message


@pytest.mark.parametrize(
    ("label", "problem"),
    [("9" * 5000, "line 10: not valid JSON (an integer has more than 300 digits)"),
     ('"\\ud800"', "half of a surrogate pair")],
)  # fmt: skip
def test_json_label_that_cannot_be_written_is_found_before_the_run(
    tmp_path: Path, label: str, problem: str
) -> None:
    rows: list[object] = [{"t": f"text {i}", "y": i % 2} for i in range(9)]
    path = write_jsonl(tmp_path, [*rows, f'{{"t": "text", "y": {label}}}'])
    assert problem in error(f"jsonl:path={path},text=t,label=y")


def test_long_integers_are_labels(tmp_path: Path) -> None:
    rows: list[object] = [{"t": f"text {i}", "y": "9" * (4000 + i % 2)} for i in range(50)]
    dataset = load(f"jsonl:path={write_jsonl(tmp_path, rows)},text=t,label=y")
    assert dataset.n_classes == 2


def test_line_that_is_too_long_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("fgbench_plugins.datasets.text_files._MAX_LINE", 1000)
    for name in ("csv", "jsonl"):
        path = write_csv(tmp_path, [*ROWS, "x" * 1001])
        reference = f"{name}:path={path},text=text,label=label"
        assert "1,000 characters" in error(reference) or "JSON" in error(reference)


@pytest.mark.parametrize("encoding", ["rot13", "zip", "undefined", "utf-9"])
def test_encoding_must_be_one_of_texts(encoding: str) -> None:
    with pytest.raises(ConfigurationError, match="unknown encoding"):
        load(f"csv:path=a,text=a,label=b,encoding={encoding}")


@pytest.mark.parametrize("encoding", ["idna", "utf-7", "unicode_escape", "utf-16", "utf-32"])
def test_text_in_another_encoding_is_an_error_of_the_file(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "reviews.csv"
    path.write_bytes(b"text,label\nxn--\xff\\ud800\\N{x+2AA-,good\n" + b"\xdc\0" * 5)
    assert str(path) in error(f"csv:path={path},text=text,label=label,encoding={encoding}")


# Splits in files of their own, delimiters, invalid rows.


def test_splits_may_be_files_of_their_own(tmp_path: Path) -> None:
    train = write_csv(tmp_path, ROWS)
    test = tmp_path / "held_out.csv"
    test.write_text("text,label\n" + "".join(f"held {i},good\n" for i in range(7)))
    reference = f"csv:{train},text=text,label=label"
    dataset = load(f"{reference},test={test}")
    assert [len(split) for split in dataset.splits.values()] == [40, 10, 7]
    assert set(dataset.splits["test"].inputs) == {f"held {i}" for i in range(7)}
    validation = tmp_path / "dev.csv"
    validation.write_text("text,label\n" + "".join(f"dev {i},bad\n" for i in range(5)))
    dataset = load(f"{reference},test={test},validation={validation}")
    assert [len(split) for split in dataset.splits.values()] == [50, 5, 7]
    assert "none.csv: no such file" in error(f"{reference},test={tmp_path / 'none.csv'}")
    assert "Set test= to a data file" in error(f"{reference},test={tmp_path}")
    with pytest.raises(ConfigurationError, match="validation= needs test="):
        load(f"{reference},validation={validation}")
    with pytest.raises(ConfigurationError, match="split= and test= are both given"):
        load(f"{reference},test={test},split=part")
    test.write_text("text,label\nheld,goood\n")
    assert "held_out.csv line 2: the label (label) is not one of" in error(
        f"{reference},test={test},labels=[bad,good]"
    )


@pytest.mark.parametrize("name", ["tab", "\\t", "\t"])
def test_tab_has_a_name(tmp_path: Path, name: str) -> None:
    path = write_csv(tmp_path, [row.replace(",", "\t") for row in ROWS], "text\tlabel")
    loader = REGISTRY.create(
        "dataset",
        PartReference(
            "csv", {"path": str(path), "text": "text", "label": "label", "delimiter": name}
        ),
    )
    assert sum(len(split) for split in loader.load(FOLDER).splits.values()) == 50
    assert loader.published_parameters()["delimiter"] == "\t"


def test_wrong_delimiter_is_hinted_at_without_quoting_the_file(tmp_path: Path) -> None:
    path = write_csv(tmp_path, ["a;b"], "secret;label")
    message = error(f"csv:path={path},text=text,label=label")
    assert "no column 'text' in the header of 1 column. Try delimiter=;." in message
    assert "secret" not in message
    message = error(f"csv:path={path},text=text,label=label,delimiter=;")
    assert message.endswith("in the header of 2 columns.")
    write_csv(tmp_path, ["a\tb"], "secret\tlabel")
    assert "Try delimiter=tab." in error(f"csv:path={path},text=text,label=label")


def test_invalid_rows_are_dropped_on_request_and_counted(tmp_path: Path) -> None:
    rows = [*ROWS, "no label,", ",good", "other,goood"]
    path = write_csv(tmp_path, rows)
    folder = DataFolder(None, Path("unused"))
    reference = f"csv:{path},text=text,label=label,labels=[bad,good],drop_invalid=true"
    dataset = REGISTRY.create("dataset", PartReference.parse(reference)).load(folder)
    assert sum(len(split) for split in dataset.splits.values()) == 50
    assert folder.notes == [
        f"{path}: dropped 3 of 53 rows (1 × empty label, 1 × empty text, 1 × label not listed), "
        "the first at line 52."
    ]
    path = write_jsonl(tmp_path, [{"t": f"x {i}", "l": i % 2} for i in range(20)] + [{"t": "x"}])
    assert "line 21: no 'l'" in error(f"jsonl:{path},text=t,label=l,drop_invalid=true")
    path = write_jsonl(
        tmp_path, [{"t": f"x {i}", "l": i % 2} for i in range(20)] + [{"t": "x", "l": None}]
    )
    assert "line 21: empty label (l)" in error(f"jsonl:{path},text=t,label=l")
    assert load(f"jsonl:{path},text=t,label=l,drop_invalid=true").n_classes == 2


@pytest.mark.parametrize("kind", ["id{}", "{}.5"])
def test_column_without_classes_is_named(tmp_path: Path, kind: str) -> None:
    path = write_csv(tmp_path, [f"text {i},{kind.format(i)}" for i in range(200)])
    message = error(f"csv:path={path},text=text,label=label")
    assert message == (f"{path}: 200 rows have 200 different labels; is 'label' the right column?")


def test_too_few_different_texts_are_counted(tmp_path: Path) -> None:
    path = write_csv(tmp_path, [f"same,{'a' if i % 2 else 'b'}" for i in range(20)])
    message = error(f"csv:path={path},text=text,label=label")
    assert "20 rows with 1 different texts are too few to divide" in message


def test_suspicious_labels_give_warnings(tmp_path: Path) -> None:
    path = write_csv(tmp_path, [*ROWS, "loud,GOOD", "rare,unique"])
    folder = DataFolder(None, Path("unused"))
    REGISTRY.create("dataset", PartReference.parse(f"csv:{path},text=text,label=label")).load(
        folder
    )
    assert folder.warnings == [
        f"{path}: the labels 'GOOD' and 'good' differ only in case; they are different classes.",
        f"{path}: 'GOOD', 'unique' have only one row.",
    ]


def test_later_parameters_change_no_identity(tmp_path: Path) -> None:
    part = REGISTRY.create("dataset", PartReference.parse("csv:path=d/a.csv,text=t,label=l"))
    assert part.identity("csv") == {
        "name": "csv",
        "version": "1",
        "parameters": {
            "path": "a.csv",
            "text": "t",
            "label": "l",
            "split": None,
            "labels": [],
            "descriptions": [],
            "task": "a text",
            "encoding": "utf-8",
            "split_seed": 0,
            "delimiter": ",",
        },
    }
    reference = "csv:path=d/a.csv,text=t,label=l,test=d/b.csv,drop_invalid=true"
    published = REGISTRY.create("dataset", PartReference.parse(reference)).published_parameters()
    assert (published["test"], published["drop_invalid"]) == ("b.csv", True)
    assert "validation" not in published
