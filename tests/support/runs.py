"""The command line as a process, and readers of what a run writes."""

import json
import sys
from collections import Counter
from pathlib import Path

PROBE = Path(__file__).parent / "probe_parts.py"
ENTRY = [sys.executable, "-c", "from fgbench.cli import main; main()"]


def events(run_folder):
    """Return the events of a run."""
    lines = (Path(run_folder) / "events.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def stage_counts(run_folder):
    """Count the events of a run by name and stage."""
    return Counter(
        (event["event"], event["stage"]) for event in events(run_folder) if "stage" in event
    )


def comparable(board_path):
    """Return a board's text without timestamps and durations; the rest must be equal.

    The commit is left out too, for it moves when a developer commits while the tests run.
    """
    board = json.loads(Path(board_path).read_text())
    board["created"] = None
    board.pop("checksum", None)  # of the date, among others
    for entry in board["entries"]:
        for name in ("started", "wall_seconds", "git_commit", "git_dirty"):
            entry["provenance"][name] = None
        entry.get("checksums", {}).pop("provenance", None)
    return json.dumps(board, indent=1)
