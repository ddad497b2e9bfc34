"""What a maintainer's CI says of a contributed board."""

import json

import pytest

from fgbench.cli import run_command
from fgbench.leaderboard.submission import check_submission
from support.boards import make_run, registry

NAMES = ["schema", "duplicates", "parts", "verify", "metadata", "licence"]


@pytest.fixture
def run(tmp_path):
    make_run(
        tmp_path / "run", arms=("baseline", "real"), calibrators=("none",), seeds=(0,),
        dataset="banking77",
    )  # fmt: skip
    return tmp_path / "run"


def change(run, edit):
    file = run / "leaderboard.json"
    value = json.loads(file.read_text(encoding="utf-8"))
    edit(value)
    file.write_text(json.dumps(value), encoding="utf-8")


def failed(checks):
    return {check.name: " ".join(check.found) for check in checks if not check.passed}


def test_a_good_board_passes_every_check_and_says_the_licences(run, capsys):
    checks = check_submission(run, registry())
    assert [check.name for check in checks] == NAMES
    assert not failed(checks)
    assert checks[-1].found == ["banking77: CC BY 4.0"]
    assert run_command(["leaderboard", "submit-check", str(run)]) == 0
    out = capsys.readouterr().out
    assert out.count("passed  ") == len(NAMES)
    assert "ready to be taken in." in out


def test_a_tampered_number_fails_verify_alone_and_ends_with_one(run, capsys):
    change(run, lambda v: v["entries"][0]["metrics"]["ece"].update(mean=0.001))
    assert set(failed(check_submission(run, registry()))) == {"verify"}
    assert run_command(["leaderboard", "submit-check", str(run), "--json"]) == 1
    value = json.loads(capsys.readouterr().out)
    assert not value["passed"]
    assert [check["check"] for check in value["checks"]] == NAMES


def test_entries_that_are_there_already_fail_with_what_differs(run):
    same = failed(check_submission(run, registry(), against=run))
    assert set(same) == {"duplicates"}
    assert "and 1 more: on the board already, with the same numbers" in same["duplicates"]


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda e: e["provenance"].update(git_dirty=True), "uncommitted changes"),
        (lambda e: e["provenance"].update(packages={}), "provenance.packages is missing"),
        (lambda e: e["provenance"].pop("started"), "provenance.started is missing"),
        (lambda e: e.pop("checksums"), "checksums are missing"),
        (lambda e: e["artifacts"].update(predictions=[]), "predictions are missing"),
    ],
)
def test_missing_metadata_is_named(run, edit, said):
    change(run, lambda value: edit(value["entries"][0]))
    assert said in failed(check_submission(run, registry()))["metadata"]


def test_a_data_set_without_a_card_and_unknown_parts_are_named(tmp_path):
    make_run(tmp_path, arms=("baseline",), calibrators=("none",), seeds=(0,), dataset="mine")
    found = failed(check_submission(tmp_path, registry()))
    assert set(found) == {"parts", "licence"}
    assert "dataset 'mine' is no part" in found["parts"]
    assert "'mine' has no card that says its licence" in found["licence"]


def test_a_drawn_data_set_needs_no_card(tmp_path):
    make_run(
        tmp_path, arms=("baseline",), calibrators=("none",), seeds=(0,), dataset="known-posterior"
    )
    assert not failed(check_submission(tmp_path, registry()))


@pytest.mark.parametrize(
    ("text", "check", "said"),
    [
        ("{", "schema", "not JSON"),
        ('{"schema": "fgbench.leaderboard/7", "entries": []}', "schema", "newer than this fgbench"),
        (
            '{"schema": "fgbench.leaderboard/1", "name": "x", "created": "", "entries": []}',
            "entries",
            "no entries",
        ),
    ],
)
def test_what_is_no_board_or_an_empty_one_fails_in_a_sentence(tmp_path, capsys, text, check, said):
    file = tmp_path / "x.json"
    file.write_text(text, encoding="utf-8")
    found = failed(check_submission(file, registry()))
    assert said in found[check]
    assert run_command(["leaderboard", "submit-check", str(file)]) == 1
    assert "not ready" in capsys.readouterr().out


def test_an_id_that_stands_twice_fails(run):
    change(run, lambda value: value["entries"].append(value["entries"][0]))
    assert "stands twice" in failed(check_submission(run, registry()))["schema"]
