"""`fgbench leaderboard`: what a user types, sees and gets as exit code."""

import json

import pytest

from fgbench.cli import run_command
from support.boards import make_run


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
    assert run_command(["leaderboard", "verify", str(board), "--digests"]) == 0
    assert "8 prediction files, 0 numbers; numbers not checked" in capsys.readouterr().out
    assert run_command(["leaderboard", "verify", str(board), "--no-intervals"]) == 0
    assert "intervals and p-values not checked" in capsys.readouterr().out


def test_show_json_prints_only_the_board(run, capsys):
    arguments = ["leaderboard", "show", str(run), "--arm", "baseline", "--json"]
    assert run_command(arguments) == 0
    board = json.loads(capsys.readouterr().out)
    assert {entry["arm"] for entry in board["entries"]} == {"baseline"}


def test_show_with_a_metric_of_choice(run, capsys):
    assert run_command(["leaderboard", "show", str(run), "--metric", "brier"]) == 0
    out = capsys.readouterr().out
    assert "brier" in out
    assert "accuracy" not in out


def test_unknown_name_suggests_nearest(run, capsys):
    assert run_command(["leaderboard", "show", str(run), "--metric", "brie"]) == 2
    assert "Did you mean 'brier'?" in capsys.readouterr().err


def test_verify_of_tampered_board_exits_1(run, capsys):
    file = run / "leaderboard.json"
    board = json.loads(file.read_text(encoding="utf-8"))
    board["entries"][0]["metrics"]["ece"]["mean"] = 0.001
    file.write_text(json.dumps(board), encoding="utf-8")
    assert run_command(["leaderboard", "verify", str(run)]) == 1
    error = capsys.readouterr().err
    assert "metrics.ece.mean is 0.001 on the board" in error
    assert "verification failed: 1 problems" in error


@pytest.mark.parametrize("command", ["show", "verify"])
def test_invalid_board_exits_2_with_one_error(tmp_path, capsys, command):
    (tmp_path / "x.json").write_text("{", encoding="utf-8")
    assert run_command(["leaderboard", command, str(tmp_path / "x.json")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("Error: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "expected a JSON object"),
        ('{"schema": "fgbench.leaderboard/3", "entries": []}', "newer than fgbench.leaderboard/2"),
        (
            '{"schema": "fgbench.leaderboard/1", "name": NaN, "created": "", "entries": []}',
            "NaN is not a number of JSON",
        ),
    ],
)
@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "BAD"),
        ("verify", "BAD"),
        ("compare", "BAD", "BAD"),
        ("regenerate", "BAD"),
        ("build", "BAD", "-o", "out.json"),
        ("build", "GOOD", "-o", "BAD"),
    ],
)
def test_bad_input_is_one_error_and_overwrites_nothing(
    run, tmp_path, capsys, monkeypatch, arguments, text, said
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.json").write_text(text, encoding="utf-8")
    paths = {"BAD": "bad.json", "GOOD": str(run)}
    code = run_command(["leaderboard", *(paths.get(each, each) for each in arguments)])
    error = capsys.readouterr().err
    assert code == 2
    assert error.startswith("Error: bad.json: ")
    assert error.count("\n") == 1
    assert said in error
    assert (tmp_path / "bad.json").read_text(encoding="utf-8") == text
    assert not (tmp_path / "out.json").exists()


def test_compare_and_its_exit_codes(run, tmp_path, capsys):
    board = json.loads((run / "leaderboard.json").read_text(encoding="utf-8"))
    for entry in board["entries"]:
        entry["artifacts"]["predictions"] = []
        nll = entry["metrics"]["nll"]
        nll.update(
            mean=nll["mean"] + 1,
            per_seed=[value + 1 for value in nll["per_seed"]],
            ci95=[bound + 1 for bound in nll["ci95"]],
        )
    worse = tmp_path / "worse.json"
    worse.write_text(json.dumps(board), encoding="utf-8")
    compare = ["leaderboard", "compare", str(run)]
    assert run_command([*compare, str(run), "--fail-on", "regression"]) == 0
    assert run_command([*compare, str(worse)]) == 0
    assert run_command([*compare, str(worse), "--fail-on", "regression"]) == 1
    streams = capsys.readouterr()
    assert "✗ worse" in streams.out
    assert "4 metrics regressed, first nll of" in streams.err
    assert run_command([*compare, str(worse), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["entries"][0]["verdict"] == "worse"
    board["entries"] = board["entries"][:1]
    worse.write_text(json.dumps(board), encoding="utf-8")
    assert run_command([*compare, str(worse), "--fail-on", "vanished", "--csv"]) == 1
    assert run_command([*compare, str(worse), "--metric", "nill", "--markdown"]) == 2
    assert "Did you mean 'nll'?" in capsys.readouterr().err


def test_show_sort_prints_ranks_best_first(run, capsys):
    assert run_command(["leaderboard", "show", str(run), "--sort", "ece", "--json"]) == 0
    (group,) = json.loads(capsys.readouterr().out)
    means = [entry["mean"] for entry in group["entries"]]
    assert means == sorted(means)
    assert group["entries"][0]["rank"][0] == 1
    assert run_command(["leaderboard", "show", str(run), "--sort", "accuracy"]) == 0
    out = capsys.readouterr().out
    assert "rank" in out
    assert "1–4" in out  # scaling changes no class: nobody is separable
    assert run_command(["leaderboard", "show", str(run), "--sort", "speed"]) == 2


def test_bundled_board_is_found_by_name(capsys):
    assert run_command(["leaderboard", "verify", "paper-table4"]) == 0
    assert "66 entries are published figures" in capsys.readouterr().out
    assert run_command(["leaderboard", "show", "paper-tabel4"]) == 2
    assert "Did you mean 'paper-table4'?" in capsys.readouterr().err


def test_empty_board_works_with_every_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.json").write_text(
        '{"schema": "fgbench.leaderboard/1", "name": "none", "created": "", "entries": []}',
        encoding="utf-8",
    )
    assert run_command(["leaderboard", "show", "empty.json"]) == 0
    assert run_command(["leaderboard", "verify", "empty.json"]) == 0
    assert run_command(["leaderboard", "compare", "empty.json", "empty.json"]) == 0
    assert run_command(["leaderboard", "build", "empty.json", "-o", "b.json"]) == 0
    assert capsys.readouterr().err == ""
    assert run_command(["leaderboard", "submit-check", "empty.json"]) == 1


def test_html_command_writes_one_page(run, tmp_path, capsys):
    assert run_command(["leaderboard", "html", str(run), "-o", str(tmp_path / "a" / "page")]) == 0
    page = tmp_path / "a" / "page" / "index.html"
    assert capsys.readouterr().out == f"{page}: {page.stat().st_size / 1e6:,.1f} MB.\n"
    assert [path.name for path in page.parent.iterdir()] == ["index.html"]
    assert "source 0: plain text" in page.read_text(encoding="utf-8")  # a run has its samples


def test_html_command_reports_missing_diagrams(run, tmp_path, capsys):
    for number, path in enumerate(sorted((run / "predictions").iterdir())):
        if number % 2:
            path.unlink()
    assert run_command(["leaderboard", "html", str(run), "-o", str(tmp_path / "page")]) == 0
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 4  # 4 entries, of which one file each is gone
    assert error[0].startswith("No reliability diagram: predictions predictions/")
    assert error[0].endswith("of seed 1 cannot be read: No such file or directory.")
    assert error[3] == "… and 1 more; see the rows of the page."


def test_html_command_refuses_invalid_input(run, tmp_path, capsys):
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    for arguments, said in (
        ([str(run), "-o", str(tmp_path / "file")], "is a file. Pass the folder"),
        ([str(run / "absent.json"), "-o", str(tmp_path / "page")], "no such file"),
        ([str(tmp_path / "file"), "-o", str(tmp_path / "page")], "not JSON"),
        (
            [str(run), "-o", str(tmp_path / "page"), "--samples", str(tmp_path / "empty")],
            "has no samples/. Pass the folder of a run",
        ),
        (["quikc", "-o", str(tmp_path / "page")], "Did you mean 'quick'?"),
    ):
        assert run_command(["leaderboard", "html", *arguments]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
        assert not (tmp_path / "page").exists()
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"
