"""Commands that read predictions, on archives that are not what they claim to be."""

import hashlib
import json
import resource

import pytest

from fgbench.cli import run_command
from support.archives import HOSTILE
from support.boards import make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    make_run(folder, arms=("baseline",), calibrators=("none",), seeds=(0,))
    return folder


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_hostile_archive_is_a_problem_of_the_board(run, tmp_path, capsys, content):
    board = run / "leaderboard.json"
    value = json.loads(board.read_text("utf-8"))
    (record,) = value["entries"][0]["artifacts"]["predictions"]
    record["sha256"] = hashlib.sha256(content).hexdigest()
    (run / record["path"]).write_bytes(content)
    board.write_text(json.dumps(value), encoding="utf-8")
    (tmp_path / "p.npz").write_bytes(content)
    page = str(tmp_path / "page")
    codes = {
        "verify": run_command(["leaderboard", "verify", str(run)]),
        "submit-check": run_command(["leaderboard", "submit-check", str(run)]),
        "html": run_command(["leaderboard", "html", str(run), "-o", page]),
        "evaluate": run_command(["evaluate", str(tmp_path / "p.npz")]),
    }
    output = capsys.readouterr()
    assert codes == {"verify": 1, "submit-check": 1, "html": 0, "evaluate": 2}, output
    assert "Internal error" not in output.err
    assert "not a predictions file (" in output.err
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 1_000_000  # kB
