"""Writing `report.html` of a run, and the page of any board."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fgbench.diagnostics.collect import SAMPLES_FOLDER
from fgbench.errors import LeaderboardError
from fgbench.execution.events import read_events
from fgbench.leaderboard.files import BOARD_FILE, read_board
from fgbench.report.diagnostics import read_summaries
from fgbench.report.page import render
from fgbench.report.samples import read_samples
from fgbench.store.atomic import write_atomically

PAGE_FILE = "index.html"
"""The file of a board's page in the folder that it is written to."""


def write_report(run_folder: Path, output: Path) -> None:
    """Write the report of the run in `run_folder` to the file `output`.

    Everything comes from the folder: `leaderboard.json`, `diagnostics.json`, `predictions/`,
    `samples/` and `events.jsonl`. Raises `LeaderboardError` where there is no readable board,
    `StoreError` where the report cannot be written.
    """
    board = read_board(run_folder / BOARD_FILE if run_folder.is_dir() else run_folder)
    folder = run_folder if run_folder.is_dir() else run_folder.parent
    page = render(
        board,
        folder,
        kind="report",
        samples=read_samples([folder]),
        summaries=read_summaries(folder),
        failures=_failures(folder / "events.jsonl"),
    )
    write_atomically(output, page.html)


@dataclass(frozen=True)
class BoardPage:
    """A page that was written: its file, and why entries have no diagram on it, a line each."""

    file: Path
    undrawn: tuple[str, ...]


def write_board_page(board_path: Path, output: Path, runs: Sequence[Path] = ()) -> BoardPage:
    """Write the page of a board, `index.html`, into the folder `output`.

    `board_path` is a board or a run folder. Its predictions are read where they lie beside it, and
    the synthetic samples of `board_path` and of each of `runs` where these are run folders. Raises
    `LeaderboardError` where there is no readable board or a run has no samples, `StoreError` where
    the page cannot be written.
    """
    board = read_board(board_path)
    folder = board_path if board_path.is_dir() else board_path.parent
    for run in runs:
        if not (run / SAMPLES_FOLDER).is_dir():
            raise LeaderboardError(
                f"{run}: it holds no {SAMPLES_FOLDER}/; name the folder of a run."
            )
    sources = [*([board_path] if board_path.is_dir() else []), *runs]
    if output.exists() and not output.is_dir():
        raise LeaderboardError(f"{output}: it is a file; name the folder to write the page into.")
    page = render(board, folder, kind="board", samples=read_samples(sources))
    target = output / PAGE_FILE
    write_atomically(target, page.html)
    return BoardPage(target, page.undrawn)


def _failures(events: Path) -> list[dict[str, str]]:
    """Return the cells that failed in the last attempt at the run, by error."""
    if not events.is_file():
        return []
    failed: dict[str, str] = {}
    for event in read_events(events):
        if not isinstance(event, dict):
            continue
        if event.get("event") == "run_started":
            failed = {}
        elif event.get("event") == "cell_failed":
            failed[str(event.get("cell"))] = str(event.get("error"))
    return [{"cell": cell, "error": error} for cell, error in failed.items()]
