"""Every command on boards, suites and data with hostile names, on a real terminal."""

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys

import pytest

from support.boards import make_run

PAYLOAD = (
    "\x1b[2J\x1b]0;title\x07\x1b]52;c;ZXZpbA==\x1b\\\x1b]8;;http://example.org\x1b\\\x1bc"
    "\x1b[35;5mcolor\x9b31m\x9d0;title\x9c\u202e\u2066\u200f\x08\x7f\rover"
)
FORMULA = "＝cmd"
RUNNER = """
import json, sys
from fgbench.cli import run_command
for arguments in json.load(open("commands.json")):
    print("CODE", run_command(arguments), ascii(arguments[:3]), flush=True)
"""
OWN = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\x1b\[[0-9]*[AK]|\r+\n|\r(?=\x1b\[2K)")
"""What rich writes: styles, the cursor, the lines of a progress bar."""


def hostile(value, text):
    """Append `text` to every name and sentence of a board, as its author could."""
    if isinstance(value, dict):
        return {
            key + (text if key in ("ece", "brier") else ""): (
                item if key in ("schema", "sha256", "path", "protocol", "id", "selector", "word")
                else hostile(item, text)
            )
            for key, item in value.items()
        }  # fmt: skip
    if isinstance(value, list):
        return [hostile(item, text) for item in value]
    return value + text if isinstance(value, str) else value


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    board = make_run(tmp_path / "run", arms=("baseline", "synthesis"), text=PAYLOAD)
    value = hostile(json.loads(board.to_json()), PAYLOAD)
    (tmp_path / "run/leaderboard.json").write_text(json.dumps(value), encoding="utf-8")
    for entry in value["entries"]:
        entry["dataset"]["digest"] = "e" * 64
        entry["classifier"]["name"] = FORMULA + entry["classifier"]["name"]
    (tmp_path / "other.json").write_text(json.dumps(value), encoding="utf-8")
    (tmp_path / "bad.json").write_text(json.dumps({PAYLOAD: PAYLOAD}), encoding="utf-8")
    escaped = json.dumps(PAYLOAD)
    (tmp_path / "suite.toml").write_text(f"datasets = [{escaped}]\n{escaped} = 1\n", "utf-8")
    (tmp_path / "part.toml").write_text(
        f'dataset = {{name = {escaped}, path = "x"}}\ncalibrator = [{escaped}]\n', "utf-8"
    )
    (tmp_path / "data.csv").write_text(f"text{PAYLOAD},label\na,{PAYLOAD}\n", "utf-8")
    (tmp_path / "p.csv").write_text(f"label,{PAYLOAD}\n{PAYLOAD},0.5\n", "utf-8")
    (tmp_path / "header.csv").write_text(f"{PAYLOAD},{PAYLOAD}\n", "utf-8")
    return tmp_path


COMMANDS = [
    *(["leaderboard", "show", *rest] for rest in ([], ["--json"], ["--sort", f"ece{PAYLOAD}"])),
    *(["leaderboard", name] for name in ("verify", "submit-check")),
    *(["leaderboard", "compare", *rest] for rest in ([], ["--csv"], ["--markdown"], ["--json"])),
    ["leaderboard", "html", "-o", "page"],
    ["leaderboard", "build", "other.json", "-o", "built.json"],
    ["leaderboard", "show", "bad.json"],
    ["report", "run"],
    ["predict", "run", "--cell", "0"],
    ["ablation", "run"],
    ["grid", "run"],
    ["store", "prune", "--run", "run"],
    ["run", "suite.toml"],
    ["run", "part.toml"],
    ["plan", "part.toml"],
    ["run", "--dataset", "csv:path=data.csv,text=a,label=label"],
    ["evaluate", "p.csv"],
    ["evaluate", "header.csv"],
    ["evaluate", "none.csv"],
    ["compare", "p.csv", "p.csv"],
    ["compare", "header.csv", "none.csv"],
    ["list"],
    ["show", PAYLOAD],
    ["data", "show", PAYLOAD],
    ["cache", "import", "bad.json"],
    [PAYLOAD],
    ["doctor"],
]


def on_a_terminal(folder, commands):
    """Return what a terminal gets from these commands, one after the other."""
    (folder / "commands.json").write_text(json.dumps(commands), encoding="utf-8")
    primary, secondary = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", RUNNER],
        stdin=subprocess.DEVNULL, stdout=secondary, stderr=secondary, cwd=folder,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(secondary)
    received = bytearray()
    while True:
        try:
            chunk = os.read(primary, 1 << 16)
        except OSError:  # the last writer is gone
            break
        if not chunk:
            break
        received += chunk
    os.close(primary)
    assert process.wait(60) == 0, received[-2000:]
    return received.decode("utf-8")


@pytest.mark.slow
def test_no_command_passes_on_what_a_terminal_obeys(folder):
    commands = []
    for command in COMMANDS:
        boards = {"compare": ["run", "other.json"], "build": ["run"]}
        names = {"leaderboard"} if len(command) > 1 and "bad.json" not in command else set()
        on = boards.get(command[1], ["run"]) if command[0] in names else []
        commands.append([*command[:2], *on, *command[2:]])
    text = on_a_terminal(folder, commands)
    assert text.count("CODE") == len(commands)
    rest = OWN.sub("", text)
    wrong = [char for char in rest if char != "\n" and (not char.isprintable())]
    places = [rest[max(0, rest.index(char) - 80) : rest.index(char) + 40] for char in set(wrong)]
    assert not places, places
    assert "\x1b[35;5m" not in text
    assert "\x1b[1m" in text  # own styles arrive
    assert "Internal error" not in text


def test_csv_of_a_comparison_has_no_formula(folder, fgbench):
    output = fgbench("leaderboard", "compare", "run", "other.json", "--csv").stdout
    cells = [cell for row in csv.reader(io.StringIO(output)) for cell in row]
    assert any(FORMULA in cell for cell in cells)
    assert not any(cell.startswith(FORMULA) for cell in cells)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2066]", output)
