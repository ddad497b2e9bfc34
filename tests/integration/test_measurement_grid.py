"""`fgbench grid`: the measurement grid of every entry of a run, as CSV."""

import csv
import io

import pytest

from fgbench.calibration import ece, top_label
from fgbench.calibration.grid import BIN_COUNTS, FAMILIES, OTHERS
from fgbench.leaderboard.files import read_board, read_predictions, write_board
from support.boards import make_run


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_grid_covers_every_entry_and_seed(tmp_path, fgbench):
    run = tmp_path / "run"
    make_run(run)
    fgbench("grid", run, "-o", run / "grid.csv")
    rows = rows_of(run / "grid.csv")
    board = read_board(run)
    entries = [each for each in board.entries if each.calibrator.name in ("none", "temperature")]
    assert len(rows) == sum(len(each.seeds) for each in entries) * (
        len(BIN_COUNTS) * len(FAMILIES) + len(OTHERS)
    )
    assert {row["stage"] for row in rows} <= {"before", "after"}
    entry = entries[0]
    stored = read_predictions(run, entry.artifacts.predictions[0])
    confidence, correct = top_label(stored)
    (value,) = [
        float(row["value"])
        for row in rows
        if row["entry"] == entry.id
        and row["seed"] == str(entry.seeds[0])
        and row["measure"] == "ece:bins=50"
    ]
    assert value == pytest.approx(ece(confidence, correct, bins=50), rel=1e-9)


def test_grid_csv_escapes_spreadsheet_formulas(tmp_path, fgbench):
    run = tmp_path / "run"
    make_run(run, dataset='=HYPERLINK("x")')
    fgbench("grid", run, "-o", tmp_path / "grid.csv")
    assert {row["dataset"] for row in rows_of(tmp_path / "grid.csv")} == {'\'=HYPERLINK("x")'}


def test_grid_is_printed_and_missing_calibrator_reported(tmp_path, fgbench):
    run = tmp_path / "run"
    make_run(run)
    board = read_board(run)
    plain = [entry for entry in board.entries if entry.calibrator.name == "none"]
    write_board(board.model_copy(update={"entries": plain}), run / "leaderboard.json")
    done = fgbench("grid", run)
    assert {row["stage"] for row in csv.DictReader(io.StringIO(done.stdout))} == {"before"}
    assert done.stderr == "No \"after\" rows: the run has no calibrator 'temperature'.\n"
