"""Merging boards: idempotent, in any order, still verifiable, never two truths in one entry."""

import json
import shutil

import pytest

from fgbench.errors import LeaderboardError
from fgbench.leaderboard.files import read_board
from fgbench.leaderboard.merge import merge_boards
from fgbench.leaderboard.models import Provenance
from fgbench.leaderboard.verify import verify_board
from synthetic_run import coordinates, make_entry, make_run, registry


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    make_run(folder / "controls", arms=("baseline", "real"))
    make_run(folder / "synthesis", arms=("synthesis+",))
    make_run(folder / "all", arms=("baseline", "real", "synthesis+"))
    return folder


def test_runs_merged_are_compared_with_each_other_and_verify(runs, tmp_path):
    output = tmp_path / "board.json"
    merged = merge_boards([runs / "controls", runs / "synthesis"], output, registry())
    together = read_board(runs / "all")
    for entry in merged.entries:
        same = together.entry(entry.id)
        assert entry.baseline == same.baseline
        assert entry.versus_baseline == same.versus_baseline
        assert entry.versus_real == same.versus_real
    assert verify_board(output, registry()).ok
    shutil.move(tmp_path, tmp_path.with_name("elsewhere"))
    assert verify_board(tmp_path.with_name("elsewhere") / "board.json", registry()).ok


def test_merging_is_idempotent_and_knows_no_order(runs, tmp_path):
    a, b = runs / "controls", runs / "synthesis"
    output = tmp_path / "board.json"
    merge_boards([a, b], output, registry())
    first = output.read_bytes()
    merge_boards([b, a, b], output, registry())
    assert output.read_bytes() == first
    merge_boards([output], output, registry())
    assert output.read_bytes() == first
    merge_boards([a, output, b], output, registry())
    assert output.read_bytes() == first


def test_of_equal_entries_the_earlier_is_kept(tmp_path):
    where = coordinates("baseline")
    for name, started in (("late", "2026-05-05"), ("early", "2026-01-01")):
        provenance = Provenance(fgbench="0.1.0", python="3.12", started=started)
        entry, _ = make_entry(tmp_path / name, where, provenance=provenance)
        (tmp_path / name / "entry.json").write_text(entry.model_dump_json(), encoding="utf-8")
    sources = [tmp_path / "late" / "entry.json", tmp_path / "early" / "entry.json"]
    (kept,) = merge_boards(sources, tmp_path / "board.json", registry()).entries
    assert kept.provenance.started == "2026-01-01"


def changed(runs, tmp_path, change):
    copy = tmp_path / "changed"
    shutil.copytree(runs / "controls", copy)
    value = json.loads((copy / "leaderboard.json").read_text(encoding="utf-8"))
    change(value["entries"][0])
    (copy / "leaderboard.json").write_text(json.dumps(value), encoding="utf-8")
    return copy


def test_entries_of_one_id_with_other_numbers_are_refused_naming_both(runs, tmp_path):
    def change(entry):
        entry["metrics"]["ece"]["mean"] += 1e-3

    other = changed(runs, tmp_path, change)
    output = tmp_path / "board.json"
    with pytest.raises(LeaderboardError, match=r"metrics\.ece\.mean") as error:
        merge_boards([runs / "controls", other], output, registry())
    assert str(other) in str(error.value)
    assert str(runs / "controls") in str(error.value)
    assert not output.exists()


def test_a_changed_id_or_changed_predictions_are_refused(runs, tmp_path):
    def change(entry):
        entry["arm"] = "resample"

    with pytest.raises(LeaderboardError, match="changed by hand"):
        merge_boards([changed(runs, tmp_path, change)], tmp_path / "board.json", registry())
    copy = tmp_path / "copy"
    shutil.copytree(runs / "controls", copy)
    next((copy / "predictions").iterdir()).write_bytes(b"x")
    with pytest.raises(LeaderboardError, match="digest"):
        merge_boards([copy], tmp_path / "board.json", registry())
    assert not (tmp_path / "board.json").exists()
