"""Write the report of a run and the page of a board."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fgbench.diagnostics.collect import SAMPLES_FOLDER
from fgbench.engine.events import read_events
from fgbench.errors import LeaderboardError
from fgbench.leaderboard.files import BOARD_FILE, read_board
from fgbench.report.diagnostics import read_summaries
from fgbench.report.page import render
from fgbench.report.samples import read_samples
from fgbench.store.atomic import write_atomically

PAGE_FILE = "index.html"
"""Name of a board's page in its output folder."""


def write_report(run_folder: Path, output: Path) -> None:
    """Write the report of the run in `run_folder` to the file `output`.

    Reads `leaderboard.json`, `diagnostics.json`, `predictions/`, `samples/` and `events.jsonl` of
    the folder. Raises `LeaderboardError` if there is no readable board, `StoreError` if the report
    cannot be written.
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
    """A page that was written: its file, and why entries have no reliability diagram."""

    file: Path
    undrawn: tuple[str, ...]


def write_board_page(board_path: Path, output: Path, runs: Sequence[Path] = ()) -> BoardPage:
    """Write the page of a board, `index.html`, into the folder `output`.

    Its permissions are those that the umask leaves, for a page is made to be published.
    `board_path` is a board file or a run folder; its predictions are read from the same folder.
    Synthetic samples come from `board_path`, if it is a run folder, and from the run folders
    `runs`. Raises `LeaderboardError` if there is no readable board or a run has no samples,
    `StoreError` if the page cannot be written.
    """
    board = read_board(board_path)
    folder = board_path if board_path.is_dir() else board_path.parent
    for run in runs:
        if not (run / SAMPLES_FOLDER).is_dir():
            raise LeaderboardError(f"{run}: has no {SAMPLES_FOLDER}/. Pass the folder of a run.")
    sources = [*([board_path] if board_path.is_dir() else []), *runs]
    if output.exists() and not output.is_dir():
        raise LeaderboardError(f"{output}: is a file. Pass the folder to write the page into.")
    page = render(board, folder, kind="board", samples=read_samples(sources))
    target = output / PAGE_FILE
    write_atomically(target, page.html, public=True)
    return BoardPage(target, page.undrawn)


def _failures(events: Path) -> list[dict[str, str]]:
    """Return the cells that failed in the last attempt at the run, with their errors."""
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
