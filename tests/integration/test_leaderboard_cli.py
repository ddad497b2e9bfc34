"""`fgbench leaderboard`: what a user types, sees and gets as exit code."""

import json

import pytest

from fgbench.cli import run_command
from synthetic_run import make_run


@pytest.fixture
def run(tmp_path):
    make_run(tmp_path / "run", arms=("baseline", "synthesis+"))
    return tmp_path / "run"


def test_build_show_verify(run, tmp_path, capsys):
    board = tmp_path / "board.json"
    assert run_command(["leaderboard", "build", str(run), "-o", str(board)]) == 0
    assert "4 entries" in capsys.readouterr().out
    assert run_command(["leaderboard", "show", str(board)]) == 0
    shown = capsys.readouterr()
    assert "synthesis+" in shown.out
    assert shown.err == ""
    assert run_command(["leaderboard", "verify", str(board)]) == 0
    assert "verified (4 entries, 8 prediction files" in capsys.readouterr().out


def test_show_as_json_prints_a_board_and_nothing_else(run, capsys):
    arguments = ["leaderboard", "show", str(run), "--arm", "baseline", "--json"]
    assert run_command(arguments) == 0
    board = json.loads(capsys.readouterr().out)
    assert {entry["arm"] for entry in board["entries"]} == {"baseline"}


def test_show_with_a_metric_of_choice(run, capsys):
    assert run_command(["leaderboard", "show", str(run), "--metric", "brier"]) == 0
    out = capsys.readouterr().out
    assert "brier" in out
    assert "accuracy" not in out


def test_an_unknown_name_is_met_with_the_nearest(run, capsys):
    assert run_command(["leaderboard", "show", str(run), "--metric", "brie"]) == 2
    assert "Did you mean 'brier'?" in capsys.readouterr().err


def test_tampering_is_named_and_ends_with_one(run, capsys):
    file = run / "leaderboard.json"
    board = json.loads(file.read_text(encoding="utf-8"))
    board["entries"][0]["metrics"]["ece"]["mean"] = 0.001
    file.write_text(json.dumps(board), encoding="utf-8")
    assert run_command(["leaderboard", "verify", str(run)]) == 1
    error = capsys.readouterr().err
    assert "metrics.ece.mean is 0.001 on the board" in error
    assert "does not verify: 1 problems" in error


@pytest.mark.parametrize("command", ["show", "verify"])
def test_what_is_no_board_is_one_sentence_and_ends_with_two(tmp_path, capsys, command):
    (tmp_path / "x.json").write_text("{", encoding="utf-8")
    assert run_command(["leaderboard", command, str(tmp_path / "x.json")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("Error: ")
    assert error.count("\n") == 1
