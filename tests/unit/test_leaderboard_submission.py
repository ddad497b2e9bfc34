"""`submit-check`: the checks of a contributed board."""

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


def test_valid_submission_passes_and_lists_licenses(run, capsys):
    checks = check_submission(run, registry())
    assert [check.name for check in checks] == NAMES
    assert not failed(checks)
    assert checks[-1].found == ["banking77: CC BY 4.0"]
    assert run_command(["leaderboard", "submit-check", str(run)]) == 0
    out = capsys.readouterr().out
    assert out.count("passed  ") == len(NAMES)
    assert "ready to merge." in out


def test_tampered_number_fails_only_verify(run, capsys):
    change(run, lambda v: v["entries"][0]["metrics"]["ece"].update(mean=0.001))
    assert set(failed(check_submission(run, registry()))) == {"verify"}
    assert run_command(["leaderboard", "submit-check", str(run), "--json"]) == 1
    value = json.loads(capsys.readouterr().out)
    assert not value["passed"]
    assert [check["check"] for check in value["checks"]] == NAMES


def test_existing_entries_fail_with_differences(run):
    same = failed(check_submission(run, registry(), against=run))
    assert set(same) == {"duplicates"}
    assert "and 1 more: already on the board, with the same numbers" in same["duplicates"]


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
def test_submission_names_missing_metadata(run, edit, said):
    change(run, lambda value: edit(value["entries"][0]))
    assert said in failed(check_submission(run, registry()))["metadata"]


def test_submission_names_missing_card_and_unknown_parts(tmp_path):
    make_run(tmp_path, arms=("baseline",), calibrators=("none",), seeds=(0,), dataset="mine")
    found = failed(check_submission(tmp_path, registry()))
    assert set(found) == {"parts", "licence"}
    assert "unknown dataset 'mine'" in found["parts"]
    assert "'mine' has no card with a license" in found["licence"]


def test_generated_data_set_needs_no_card(tmp_path):
    make_run(
        tmp_path, arms=("baseline",), calibrators=("none",), seeds=(0,), dataset="known-posterior"
    )
    assert not failed(check_submission(tmp_path, registry()))


@pytest.mark.parametrize(
    ("text", "check", "said"),
    [
        ("{", "schema", "not JSON"),
        (
            '{"schema": "fgbench.leaderboard/7", "entries": []}',
            "schema",
            "newer than fgbench.leaderboard/2",
        ),
        (
            '{"schema": "fgbench.leaderboard/1", "name": "x", "created": "", "entries": []}',
            "entries",
            "no entries",
        ),
    ],
)
def test_submission_refuses_invalid_or_empty_board(tmp_path, capsys, text, check, said):
    file = tmp_path / "x.json"
    file.write_text(text, encoding="utf-8")
    found = failed(check_submission(file, registry()))
    assert said in found[check]
    assert run_command(["leaderboard", "submit-check", str(file)]) == 1
    assert "not ready" in capsys.readouterr().out


def test_submission_refuses_duplicate_entry_id(run):
    change(run, lambda value: value["entries"].append(value["entries"][0]))
    assert "duplicate entry id" in failed(check_submission(run, registry()))["schema"]
