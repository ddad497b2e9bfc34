"""Two processes that build into one board file at the same time."""

import subprocess
import sys

from fgbench.leaderboard.files import read_board
from fgbench.leaderboard.verify import verify_board
from support.boards import make_run, registry

BUILD = """
import sys
from pathlib import Path
from fgbench.leaderboard.merge import merge_boards
from fgbench.plugins.registry import Registry

registry = Registry.load()
print("ready", flush=True)
sys.stdin.readline()
for source in sys.argv[2:]:
    merge_boards([Path(source)], Path(sys.argv[1]), registry)
"""


def test_concurrent_builds_lose_no_entry(tmp_path):
    output = tmp_path / "board.json"
    made = {}
    for name in ("a0", "a1", "a2", "b0", "b1", "b2"):
        run = make_run(
            tmp_path / name, arms=("baseline",), calibrators=("none",), seeds=(0,), dataset=name
        )
        made[name] = {entry.id for entry in run.entries}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", BUILD, output, *(tmp_path / f"{side}{k}" for k in range(3))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for side in "ab"
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:  # both start at the same time
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        with process:
            process.communicate(timeout=120)
        assert process.returncode == 0
    board = read_board(output)
    assert {entry.id for entry in board.entries} == set().union(*made.values())
    assert verify_board(output, registry()).ok
