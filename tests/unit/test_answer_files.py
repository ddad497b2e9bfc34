"""Exported answers: equal content gives equal bytes, and changed files are refused."""

import gzip
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from fgbench import Answers, TokenChoice, UnansweredError
from fgbench.errors import StoreError
from fgbench.llm.answers import AnswerStore
from fgbench.llm.files import as_database, export_answers, import_answers
from support.chat import Echo, failed, request, requests, said


def filled(path):
    store = AnswerStore(path)
    script = {
        "text 1": [said("no")],
        "text 2": [failed("too long")],
        "text 3": [said("A", tokens=(TokenChoice("A", -0.5, (("A", -0.5),)),))],
        "text 4": [said("é\u2028\x85漢\ud800", notes=("odd",), served_model="m")],
    }
    asked = [*requests(5), request("text 0", draw=1, schema={"type": "object"})]
    list(Answers(store).ask(Echo(script), asked, is_refusal=lambda text: text == "no"))
    list(Answers(store).ask(Echo(name="other"), requests(2)))
    return store


@pytest.fixture
def store(tmp_path):
    store = filled(tmp_path / "a" / "answers.sqlite")
    yield store
    store.close()


@pytest.fixture
def other(tmp_path):
    store = AnswerStore(tmp_path / "b" / "answers.sqlite")
    yield store
    store.close()


@pytest.mark.parametrize("name", ["answers.jsonl", "answers.jsonl.gz"])
def test_answers_export_import_round_trip_is_byte_identical(tmp_path, store, other, name):
    first, second = tmp_path / name, tmp_path / f"again-{name}"
    assert export_answers(store, first) == len(store) == 8
    assert import_answers(other, first) == (8, 8)
    assert list(other.records()) == list(store.records())
    assert export_answers(other, second) == 8
    assert first.read_bytes() == second.read_bytes()
    assert import_answers(other, first) == (0, 8), "importing again adds nothing"


def test_export_does_not_depend_on_request_order(tmp_path, store, other):
    records = list(store.records())
    other.put_all(iter(records[::-1]))
    export_answers(store, tmp_path / "a.jsonl")
    export_answers(other, tmp_path / "b.jsonl")
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    keys = [json.loads(line)["key"] for line in lines(tmp_path / "a.jsonl")[1:]]
    assert keys == sorted(keys)


def lines(path):
    return path.read_bytes().split(b"\n")[:-1]


def changed(path, number, change):
    """Change the value of one line of a file, by its number from 1."""
    content = lines(path)
    value = json.loads(content[number - 1])
    change(value)
    content[number - 1] = json.dumps(value).encode()
    path.write_bytes(b"\n".join(content) + b"\n")


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.update(text="better"),
        lambda value: value.update(key="00" * 32),
        lambda value: value["request"].update(seed=99),
        lambda value: value["model"].update(model="gpt"),
        lambda value: value.update(prompt_tokens=0),
        lambda value: value.pop("notes"),
        lambda value: value.pop("digest"),
        lambda value: value.update(digest=None),
    ],
)
def test_import_refuses_changed_line_with_its_number(tmp_path, store, other, change):
    path = tmp_path / "x.jsonl"
    export_answers(store, path)
    changed(path, 4, change)
    with pytest.raises(StoreError, match=r"x\.jsonl line 4: "):
        import_answers(other, path)
    assert len(other) == 0, "all or nothing"


def test_import_reports_missing_and_malformed_lines(tmp_path, store, other):
    path = tmp_path / "x.jsonl"
    export_answers(store, path)
    whole = path.read_bytes()
    for content, words in [
        (whole[: whole.rindex(b"\n", 0, -1) + 1], "7 answers, but its first line says 8"),
        (whole[:-20], "line 9: not an answer"),
        (whole + b"[]\n", "line 10: not an answer"),
        (whole + b"\xff\xfe\n", "line 10: not an answer"),
        (b"", "empty"),
        (b'{"schema": "fgbench.answers/2", "count": 0}\n', "line 1: not a file of answers"),
        (b"text,label\n", "line 1: not a file of answers"),
    ]:
        path.write_bytes(content)
        with pytest.raises(StoreError, match=words):
            import_answers(other, path)
    with pytest.raises(StoreError, match="no such file"):
        import_answers(other, tmp_path / "nowhere.jsonl")


def test_import_refuses_corrupt_archive(tmp_path, store, other):
    path = tmp_path / "x.jsonl.gz"
    export_answers(store, path)
    whole = path.read_bytes()
    for content in (whole[:-30], b"plain text\n", whole[:40] + b"\x00\x01" + whole[42:]):
        path.write_bytes(content)
        with pytest.raises(StoreError, match=r"x\.jsonl\.gz"):
            import_answers(other, path)
    assert len(other) == 0
    assert len(gzip.decompress(whole).splitlines()) >= 9


def test_import_keeps_existing_good_answer(tmp_path, store, other):
    model = Echo({"text 0": [said("mine")]})
    list(Answers(other).ask(model, requests(1)))
    export_answers(store, tmp_path / "x.jsonl")
    assert import_answers(other, tmp_path / "x.jsonl") == (7, 8)
    (found,) = Answers(other).ask(model, requests(1))
    assert found.text == "mine"


def test_replay_reads_exports_and_stores(tmp_path, store):
    export_answers(store, tmp_path / "x.jsonl.gz")
    for path in (tmp_path / "x.jsonl.gz", store.path):
        scratch = tmp_path / path.suffix[1:]
        scratch.mkdir()
        with as_database(path, scratch) as file:
            replay = Answers.from_settings({"file": str(file), "replay": str(path)})
            model = Echo(name="other")
            assert [a.text for a in replay.ask(model, requests(2))] == ["re: text 0", "re: text 1"]
            with pytest.raises(UnansweredError, match=f"the replay {path}"):
                replay.ask(model, [request("new")])
            replay.close()


def test_import_of_another_stores_database(store, other):
    assert import_answers(other, store.path) == (8, 8)
    assert list(other.records()) == list(store.records())


def test_unrelated_files_are_not_overwritten(tmp_path, store):
    path = tmp_path / "answers.sqlite"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match=r"answers\.sqlite: not an answer database"):
        AnswerStore(path).get([bytes(32)])
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE notes (text)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not an fgbench answer database"):
        AnswerStore(path).get([bytes(32)])
    assert path.read_bytes() == before
    with store.writing() as connection:
        connection.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(StoreError, match="newer fgbench"):
        store.get([bytes(32)])


def test_unwritable_answer_folder_is_an_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"answers\.sqlite cannot be used: .*--store"):
        AnswerStore(tmp_path / "file" / "answers.sqlite").get([bytes(32)])


def test_replay_works_in_read_only_folder(store):
    """A store's file on a read-only medium: its folder gives no room for a log."""
    store.close()
    replay = AnswerStore(store.path, read_only=True)
    assert len(replay) == 8
    assert [item.name for item in store.path.parent.iterdir()] == ["answers.sqlite"]
    replay.close()


def test_concurrent_processes_create_one_database(tmp_path):
    code = """
import sys; from pathlib import Path
sys.path.insert(0, sys.argv[2])
from support.chat import Echo, requests
from fgbench import Answers
from fgbench.llm.answers import AnswerStore
for turn in range(5):
    store = AnswerStore(Path(sys.argv[1]) / f"{turn}.sqlite")
    assert sum(1 for _ in Answers(store).ask(Echo(), requests(20))) == 20
    store.close()
"""
    command = [sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parents[1])]
    running = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait(60) for process in running] == [0] * 4
    for turn in range(5):
        store = AnswerStore(tmp_path / f"{turn}.sqlite")
        assert len(store) == 20
        store.close()
