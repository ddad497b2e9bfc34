"""The columns of a board's page: they hold what the board and the table hold."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from fgbench.calibration import positive_class, reliability_diagram
from fgbench.leaderboard.bundled import board_path
from fgbench.leaderboard.files import read_board, read_predictions
from fgbench.leaderboard.ranking import ranks
from fgbench.numbers import interval, number, signed
from fgbench.report.columns import board_columns, packed
from fgbench.report.view import comparisons
from support.boards import make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    make_run(folder)
    return folder


@pytest.fixture(scope="module")
def board(run):
    return read_board(run)


@pytest.fixture(scope="module")
def columns(board, run):
    return board_columns(board, run)


def text(columns, name, i):
    column = columns["entries"][name]
    return column["texts"][column["of"][i]]


def test_columns_hold_every_entry_in_arm_order(columns, board):
    ids = columns["entries"]["id"]
    assert sorted(ids) == sorted(entry.id for entry in board.entries)
    arms = [text(columns, "arm", i) for i in range(len(ids))]
    assert arms == [arm for arm in ("baseline", "real", "synthesis", "synthesis+") for _ in "12"]
    assert [text(columns, "calibrator", i) for i in range(2)] == ["none", "temperature"]
    assert text(columns, "generator", 0) is None
    assert text(columns, "generator", 4) == "oracle"


def test_columns_hold_the_board_raw_and_as_text(columns, board):
    for i, name in enumerate(columns["entries"]["id"]):
        entry = board.entry(name)
        for metric, record in entry.metrics.items():
            found = columns["metrics"][metric]
            assert found["value"][i] == pytest.approx(record.estimate, rel=1e-5)
            assert found["text"][i] == number(record.estimate)
            if record.ci95 is not None:
                assert [found["low"][i], found["high"][i]] == pytest.approx(record.ci95, rel=1e-5)
                assert found["interval"][i] == interval(record.ci95)
            if record.corrected is not None:
                assert found["measured"][i] == number(record.mean)
            assert found["higher"] == (metric in entry.higher_is_better)
        for control, against in entry.contrasts.items():
            for metric, record in against.metrics.items():
                found = columns["metrics"][metric]["versus"][control]
                assert found["delta"][i] == pytest.approx(record.difference, rel=1e-5)
                assert found["word"][i] == record.word
                assert found["text"][i] == signed(record.difference)
                if record.interval is not None:
                    assert found["interval"][i] == interval(record.interval, differs=True)
            place = columns["entries"]["controls"][control][i]
            assert columns["entries"]["id"][place] == against.entry


def test_ranks_are_among_entries_sharing_a_test_set(columns, board):
    (group,) = comparisons(board)
    expected = ranks(group.entries, "nll")
    found = columns["metrics"]["nll"]
    for i, name in enumerate(columns["entries"]["id"]):
        assert (found["best"][i], found["worst"][i]) == (expected[name].best, expected[name].worst)


def test_figures_without_an_interval_have_no_rank():
    path = board_path(Path("paper-table4"))
    columns = board_columns(read_board(path), path.parent)
    found = columns["metrics"]["ece_positive"]
    assert "best" not in found
    assert "low" not in found
    assert any("±.020" in text for text in found["text"])  # TC's baseline, as printed
    assert "Table 4" in text(columns, "source", 0)


def test_diagrams_match_stored_predictions(columns, board, run):
    assert columns["diagrams"]["problems"] == {}
    assert len(columns["diagrams"]["drawn"]) == len(board.entries)
    for drawn in columns["diagrams"]["drawn"]:
        entry = board.entry(columns["entries"]["id"][drawn["entry"]])
        pairs = [positive_class(read_predictions(run, r)) for r in entry.artifacts.predictions]
        expected = reliability_diagram(
            np.concatenate([p for p, _ in pairs]), np.concatenate([y for _, y in pairs]), 15
        )
        filled = expected.counts > 0
        assert drawn["bin"] == np.flatnonzero(filled).tolist()
        assert drawn["count"] == expected.counts[filled].tolist()
        assert drawn["confidence"] == pytest.approx(expected.mean_confidence[filled], abs=5.1e-5)
        assert drawn["outcome"] == pytest.approx(expected.mean_outcome[filled], abs=5.1e-5)
        for low, share, high in zip(drawn["low"], drawn["outcome"], drawn["high"], strict=True):
            assert low <= share <= high


def test_baseline_has_diagram_per_compared_bin_count(run, board):
    ten = [e.model_copy(update={"bins": 10}) if e.generator else e for e in board.entries]
    columns = board_columns(board.model_copy(update={"entries": ten}), run)
    bins = {}
    for drawn in columns["diagrams"]["drawn"]:
        key = text(columns, "arm", drawn["entry"]), text(columns, "calibrator", drawn["entry"])
        bins.setdefault(key, []).append(drawn["bins"])
    assert bins["baseline", "none"] == [10, 15]
    assert bins["real", "none"] == [15]
    assert bins["synthesis", "none"] == [10]


def test_predictions_outside_run_folder_are_not_read(run, board, tmp_path):
    artifacts = [
        entry.artifacts.model_copy(
            update={
                "predictions": [
                    record.model_copy(update={"path": f"../{run.name}/{record.path}"})
                    for record in entry.artifacts.predictions
                ]
            }
        )
        for entry in board.entries
    ]
    entries = [
        entry.model_copy(update={"artifacts": each})
        for entry, each in zip(board.entries, artifacts, strict=True)
    ]
    diagrams = board_columns(board.model_copy(update={"entries": entries}), run)["diagrams"]
    assert diagrams["drawn"] == []
    assert all("leaves the folder" in problem for problem in diagrams["problems"])


def test_empty_board_has_empty_columns(board, run):
    columns = board_columns(board.model_copy(update={"entries": []}), run)
    assert columns["entries"]["id"] == []
    assert columns["metrics"] == {}


def test_packing_round_trips_and_is_deterministic(columns):
    assert json.loads(gzip.decompress(packed(columns))) == columns
    assert packed(columns) == packed(columns)
    with pytest.raises(ValueError, match="JSON"):
        packed(float("nan"))
