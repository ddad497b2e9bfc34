"""Damaged answer databases: no flipped bit and no truncation is silent, and nothing is paid again.

FGBENCH_TEST_FLIPS is the number of random bits to flip, 80 by default.
"""

import contextlib
import errno
import json
import os
import random
import shutil
import sqlite3
import zlib
from dataclasses import replace

import pytest

from fgbench import Answers, TokenChoice
from fgbench.errors import StoreError
from fgbench.llm.answers import AnswerStore
from fgbench.llm.budget import Caps, Ledger
from fgbench.llm.files import export_answers, import_answers
from support.chat import Echo, failed, request, requests, said

FLIPS = int(os.environ.get("FGBENCH_TEST_FLIPS", "80"))
TOKENS = (TokenChoice("A", -0.5, (("A", -0.5), ("B", -1.5))),)
SCRIPT = {
    "text 1": [said("no")],
    "text 2": [failed("too long")],
    "text 3": [said("A", tokens=TOKENS, served_model="m", finish_reason="stop")],
}
ASKED = [*requests(30), request("a prompt of its own " * 20)]


def refuses(text):
    return text == "no"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """Return the file of a closed store with answers of every status, and with a budget."""
    path = tmp_path_factory.mktemp("pristine") / "answers.sqlite"
    with contextlib.closing(AnswerStore(path)) as store:
        answers = Answers(store, ledger=Ledger(store, "run", Caps(requests=1000)))
        list(answers.ask(Echo(SCRIPT), ASKED, is_refusal=refuses))
        list(Answers(store).ask(Echo(name="other"), requests(3)))
    return path


def whole_content(path):
    """Return everything that is read from a database, and fail if anything is sent."""
    model = Echo({"text 1": [said("no")], "text 2": [failed("too long")]})
    with contextlib.closing(AnswerStore(path)) as store:
        totals = store.totals()
        spent = Ledger(store, "run").total()
        export_answers(store, path.with_name("x.jsonl"))
        # Refusals and failures are requested again in any case.
        asked = [item for item in ASKED if item.messages[-1].content not in ("text 1", "text 2")]
        found = list(Answers(store).ask(model, asked))
        assert model.calls == 0, "paid twice"
    return found, totals, spent, path.with_name("x.jsonl").read_bytes()


def test_flipped_bits_are_never_silent(tmp_path, pristine):
    expected = whole_content(shutil.copy(pristine, tmp_path / "whole.sqlite"))
    content = pristine.read_bytes()
    rng = random.Random(12)
    found = 0
    for flip in range(FLIPS):
        bit = rng.randrange(8 * len(content))
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path = tmp_path / "flips" / str(flip) / "answers.sqlite"
        path.parent.mkdir(parents=True)
        path.write_bytes(damaged)
        try:
            assert whole_content(path) == expected, f"bit {bit} changed what is read"
        except StoreError as error:
            found += 1
            assert str(path) in str(error)
            assert AnswerStore(path).check(), f"bit {bit}: check() finds nothing"
        shutil.rmtree(path.parent)
    assert found > FLIPS // 10, "many bits matter"


def test_flipped_bits_of_each_value_are_named(tmp_path, pristine):
    """Change one column of one row at a time, as a flip within a page would."""
    changes = {
        "text": "CAST('Re: text 4' AS TEXT)", "failure": "'x'", "served_model": "'x'",
        "finish_reason": "'x'", "standing": 2, "requests": 2, "prompt_tokens": 11,
        "completion_tokens": 4, "tokens": "x'00'", "notes": "'[\"x\"]'", "time": 1.0,
        "digest": "x'00'", "model": 2, "request": "zeroblob(20)",
    }  # fmt: skip
    for column, value in changes.items():
        path = shutil.copy(pristine, tmp_path / f"{column}.sqlite")
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            (key,) = connection.execute(
                "SELECT key FROM answers WHERE text = 're: text 4' AND model = 1"
            ).fetchone()
            connection.execute(f"UPDATE answers SET {column} = {value} WHERE key = ?", (key,))
        store = AnswerStore(path)
        (problem,) = store.check()
        assert problem.startswith(f"answer {key.hex()}: ")
        with pytest.raises(StoreError, match=rf"{column}\.sqlite: corrupt: answer {key.hex()}: "):
            export_answers(store, tmp_path / "x.jsonl")
        assert not (tmp_path / "x.jsonl").exists()
        if column not in ("model", "request"):
            with pytest.raises(StoreError, match="digest mismatch"):
                list(Answers(store).ask(Echo(), requests(5)))
        store.close()


def test_usage_of_a_run_is_checked(tmp_path, pristine):
    path = shutil.copy(pristine, tmp_path / "answers.sqlite")
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE spending SET requests = 1 WHERE run = 'run'")
    store = AnswerStore(path)
    with pytest.raises(StoreError, match="usage of run 'run': digest mismatch"):
        Ledger(store, "run").total()
    assert any("run 'run'" in problem for problem in store.check())
    store.close()


def test_intact_answers_are_saved_from_a_corrupt_store(tmp_path, pristine):
    path = shutil.copy(pristine, tmp_path / "answers.sqlite")
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE answers SET text = 'lies' WHERE text = 're: text 9'")
    store = AnswerStore(path)
    problems = []
    count = export_answers(store, tmp_path / "x.jsonl", on_damage=problems.append)
    assert (count, len(problems)) == (len(store) - 1, 1)
    other = AnswerStore(tmp_path / "other.sqlite")
    assert import_answers(other, tmp_path / "x.jsonl") == (count, count)
    store.close()
    other.close()


def test_corrupt_index_is_found_before_anything_is_sent(tmp_path, pristine):
    """A key that its index lost would be requested, and paid, again."""
    with contextlib.closing(AnswerStore(pristine, read_only=True)) as store:
        key = next(store.records()).key
    content = pristine.read_bytes()
    at = max(content.find(key), content.rfind(key))
    first = min(content.find(key), content.rfind(key))
    for position in {at, first}:
        path = tmp_path / f"{position}.sqlite"
        path.write_bytes(content[:position] + bytes([key[0] ^ 1]) + content[position + 1 :])
        model = Echo(SCRIPT)
        store = AnswerStore(path)
        with pytest.raises(StoreError, match="corrupt"):
            list(Answers(store).ask(model, ASKED, is_refusal=refuses))
            list(Answers(store).ask(Echo(name="other"), requests(3)))
        assert model.calls == 0
        store.close()


@pytest.mark.parametrize("size", [0, 1, 15, 16, 99, 100, 4096, -4096, -1])
def test_truncated_database_is_an_error(tmp_path, pristine, size):
    path = tmp_path / "answers.sqlite"
    content = pristine.read_bytes()
    content = content[:size]
    path.write_bytes(content)
    for read_only in (False, True):
        with pytest.raises(StoreError, match=r"answers\.sqlite: .*corrupt"):
            AnswerStore(path, read_only=read_only).get([bytes(32)])
        assert path.read_bytes() == content, "left as it is"
        assert AnswerStore(path, read_only=read_only).check()


def test_lost_database_with_its_log_is_an_error(tmp_path, pristine):
    (tmp_path / "answers.sqlite-wal").write_bytes(b"log")
    with pytest.raises(StoreError, match="missing, but its log"):
        AnswerStore(tmp_path / "answers.sqlite").get([bytes(32)])
    assert not (tmp_path / "answers.sqlite").exists()


def test_new_database_is_private_and_complete(tmp_path):
    path = tmp_path / "new" / "answers.sqlite"
    store = AnswerStore(path)
    assert len(store) == 0
    assert path.stat().st_size >= 4096
    assert path.stat().st_mode & 0o077 == 0
    assert not [item for item in path.parent.iterdir() if item.suffix == ".tmp"]
    store.close()


def test_database_is_created_without_hard_links(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr("os.link", fail)
    store = AnswerStore(tmp_path / "answers.sqlite")
    assert len(store) == 0
    store.close()


@pytest.mark.parametrize("statement", [
    "ALTER TABLE answers RENAME TO hidden; CREATE VIEW answers AS SELECT * FROM hidden",
    "CREATE TRIGGER t AFTER INSERT ON answers BEGIN DELETE FROM answers; END",
])  # fmt: skip
def test_views_and_triggers_are_refused(tmp_path, pristine, statement):
    path = shutil.copy(pristine, tmp_path / "answers.sqlite")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(statement)
    with pytest.raises(StoreError, match="neither a table nor an index"):
        AnswerStore(path, read_only=True).get([bytes(32)])


def to_format_1(path):
    """Turn a database into one of format 1, without digests."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE answers DROP COLUMN digest")
        connection.execute("ALTER TABLE spending DROP COLUMN digest")
        connection.execute("PRAGMA user_version = 1")
    return path


def test_database_of_format_1_gets_digests_once(tmp_path, pristine):
    expected = whole_content(shutil.copy(pristine, tmp_path / "whole.sqlite"))
    path = to_format_1(shutil.copy(pristine, tmp_path / "answers.sqlite"))
    before = path.read_bytes()
    reader = AnswerStore(path, read_only=True)
    assert reader.check() == []
    assert len(list(reader.records())) == len(ASKED) + 3
    reader.close()
    assert path.read_bytes() == before, "a reader changes nothing"
    assert whole_content(path) == expected
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
        connection.execute("UPDATE answers SET text = 'lies'")
    with pytest.raises(StoreError, match="digest mismatch"):
        whole_content(path)


def test_corrupt_database_of_format_1_gets_no_digests(tmp_path, pristine):
    path = to_format_1(shutil.copy(pristine, tmp_path / "answers.sqlite"))
    with contextlib.closing(AnswerStore(pristine, read_only=True)) as store:
        key = next(store.records()).key
    content = path.read_bytes()
    at = content.find(key)
    path.write_bytes(content[:at] + bytes([key[0] ^ 1]) + content[at + 1 :])
    store = AnswerStore(path)
    with pytest.raises(StoreError, match="corrupt"):
        store.get([key])
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)


def test_large_answers_are_read_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr("fgbench.llm.answers._BATCH_BYTES", 1000)
    store = AnswerStore(tmp_path / "answers.sqlite")
    long = {f"text {n}": [said("x" * 600 + str(n))] for n in range(9)}
    found = list(Answers(store).ask(Echo(long), requests(9)))
    assert [answer.text[600:] for answer in found] == [str(n) for n in range(9)]
    with store.reading() as connection:
        keys = [key for (key,) in connection.execute("SELECT key FROM answers")]
    assert len(store.get(keys)) == 2, "no more than fit"
    store.close()


def test_compressed_bomb_is_not_unpacked(tmp_path):
    from fgbench.llm.rows import MAX_UNPACKED, unpacked

    bomb = zlib.compress(bytes(MAX_UNPACKED + 1))
    with pytest.raises(zlib.error, match="more than"):
        unpacked(bomb)
    assert len(unpacked(zlib.compress(bytes(MAX_UNPACKED)))) == MAX_UNPACKED


# Import


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def signed(value):
    """Return a line with a valid key and digest for its content."""
    from fgbench.digests import digest

    value = {name: entry for name, entry in value.items() if name != "digest"}
    with contextlib.suppress(TypeError):
        value["key"] = digest({"model": value["model"], **value["request"]})
    return json.dumps(value | {"digest": digest(value)}).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {"text": 5}, {"text": "\ud800"}, {"text": None}, {"failure": ["x"]},
        {"requests": -1}, {"prompt_tokens": -5}, {"completion_tokens": True},
        {"prompt_tokens": 1.5}, {"prompt_tokens": 2**63}, {"requests": "1"},
        {"status": "odd"}, {"status": "refused"}, {"status": None},
        {"tokens": 3}, {"tokens": "abc"}, {"tokens": [[1, 2]]}, {"tokens": [["a", "b", []]]},
        {"tokens": [["a", 10**400, []]]}, {"tokens": [["a", -1, [["b", None]]]]},
        {"notes": "x"}, {"notes": [1]}, {"notes": None},
        {"time": "now"}, {"time": -1}, {"time": 10**400}, {"time": True},
        {"model": []}, {"model": {"model": "\ud800"}}, {"request": []},
        {"served_model": {}}, {"finish_reason": 1},
    ],
)  # fmt: skip
def test_import_refuses_values_of_wrong_type(tmp_path, pristine, changes):
    with contextlib.closing(AnswerStore(pristine, read_only=True)) as store:
        export_answers(store, tmp_path / "x.jsonl")
    lines = (tmp_path / "x.jsonl").read_bytes().splitlines()
    bad = next(json.loads(line) for line in lines[1:] if b'"status":"answered"' in line)
    lines[4] = signed(bad | changes)
    (tmp_path / "x.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    other = AnswerStore(tmp_path / "other.sqlite")
    with pytest.raises(StoreError, match=r"x\.jsonl line 5: not an answer exported by fgbench: "):
        import_answers(other, tmp_path / "x.jsonl")
    assert len(other) == 0
    other.close()


@pytest.mark.parametrize(
    "line",
    [b"[" * 100_000, b'{"a":' * 100_000, b'{"digest": "\0"}', b"\x00\x00", b"nul", b'"x"', b"5"],
)
def test_import_refuses_malformed_lines(tmp_path, line):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"schema":"fgbench.answers/1","count":1}\n' + line + b"\n")
    other = AnswerStore(tmp_path / "other.sqlite")
    with pytest.raises(StoreError, match=r"x\.jsonl line 2: not an answer"):
        import_answers(other, path)
    path.write_bytes(line)
    with pytest.raises(StoreError, match=r"x\.jsonl line 1: not a file of answers"):
        import_answers(other, path)
    assert len(other) == 0
    other.close()


def test_import_refuses_endless_lines_and_fifos(tmp_path, monkeypatch):
    monkeypatch.setattr("fgbench.llm.files._MAX_LINE", 1000)
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"schema":"fgbench.answers/1","count":1}\n' + b" " * 2000)
    other = AnswerStore(tmp_path / "other.sqlite")
    with pytest.raises(StoreError, match=r"x\.jsonl line 2: longer than 1,000 bytes"):
        import_answers(other, path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(StoreError, match=r"fifo: not a regular file"):
        import_answers(other, tmp_path / "fifo")
    other.close()


def test_hostile_database_is_refused(tmp_path, pristine):
    """Valid digests for values that are none: a database that somebody wrote by hand."""
    from fgbench.llm.rows import ANSWER, row_digest

    for column, value in {
        "text": b"\xff\xfe", "notes": b"{", "tokens": zlib.compress(b"[" * 9999),
        "requests": -1, "standing": 9,
    }.items():  # fmt: skip
        path = shutil.copy(pristine, tmp_path / f"{column}.sqlite")
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.text_factory = bytes
            connection.execute(f"UPDATE answers SET {column} = ? WHERE id = 5", (value,))
            key, *row = connection.execute(
                f"SELECT key, {ANSWER} FROM answers WHERE id = 5"
            ).fetchone()
            connection.execute(
                "UPDATE answers SET digest = ? WHERE id = 5", (row_digest(key, row),)
            )
        other = AnswerStore(tmp_path / "other.sqlite")
        with pytest.raises(StoreError, match=f"answer {key.hex()}: "):
            import_answers(other, path)
        assert len(other) == 0
        other.close()


def test_counts_beyond_sqlites_integers_are_clipped(tmp_path):
    from fgbench import Usage

    store = AnswerStore(tmp_path / "answers.sqlite")
    answers = Answers(store, ledger=Ledger(store, "run"))
    huge = {f"text {n}": [replace(said("a"), usage=Usage(1, 2**70, -(2**70)))] for n in range(2)}
    found = list(answers.ask(Echo(huge), requests(2)))
    assert [answer.text for answer in found] == ["a", "a"]
    assert found[0].usage.completion_tokens == 0
    assert store.totals()[0]["prompt_tokens"] == 2 * 2**53
    store.close()


# Command line


def run_cache(*arguments):
    from click.testing import CliRunner

    from fgbench.cli.cache import cache

    return CliRunner().invoke(cache, [str(argument) for argument in arguments])


def test_cache_export_names_corrupt_answers(tmp_path, pristine):
    path = shutil.copy(pristine, tmp_path / "answers.sqlite")
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        (key,) = connection.execute("SELECT key FROM answers WHERE id = 7").fetchone()
        connection.execute("UPDATE answers SET text = 'lies' WHERE id = 7")
    file = tmp_path / "x.jsonl"
    result = run_cache("export", file, "--store", tmp_path)
    assert isinstance(result.exception, StoreError)
    assert key.hex() in str(result.exception)
    assert "--skip-corrupt" in str(result.exception)
    assert not file.exists()
    result = run_cache("export", file, "--skip-corrupt", "--store", tmp_path)
    assert result.exit_code == 0
    assert f"answer {key.hex()}: digest mismatch" in result.stderr
    assert b"lies" not in file.read_bytes()


def test_cache_of_an_empty_file_is_an_error(tmp_path):
    (tmp_path / "answers.sqlite").touch()
    for command in (("info",), ("export", tmp_path / "x.jsonl")):
        result = run_cache(*command, "--store", tmp_path)
        assert isinstance(result.exception, StoreError)
        assert "the file is empty" in str(result.exception)
