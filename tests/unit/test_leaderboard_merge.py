"""Merging boards: idempotent, independent of order, verifiable; conflicting entries are refused."""

import json
import shutil

import pytest

from fgbench.errors import LeaderboardError
from fgbench.leaderboard.files import read_board
from fgbench.leaderboard.merge import merge_boards
from fgbench.leaderboard.models import Provenance
from fgbench.leaderboard.verify import verify_board
from support.boards import coordinates, make_entry, make_run, registry


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    make_run(folder / "controls", arms=("baseline", "real"))
    make_run(folder / "synthesis", arms=("synthesis+",))
    make_run(folder / "all", arms=("baseline", "real", "synthesis+"))
    return folder


def test_merged_runs_are_compared_and_verify(runs, tmp_path):
    output = tmp_path / "board.json"
    merged = merge_boards([runs / "controls", runs / "synthesis"], output, registry())
    together = read_board(runs / "all")
    for entry in merged.entries:
        same = together.entry(entry.id)
        assert entry.contrasts == same.contrasts
    assert verify_board(output, registry()).ok
    shutil.move(tmp_path, tmp_path.with_name("elsewhere"))
    assert verify_board(tmp_path.with_name("elsewhere") / "board.json", registry()).ok


def test_merging_is_idempotent_and_order_independent(runs, tmp_path):
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


def test_earlier_of_equal_entries_is_kept(tmp_path):
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


def test_conflicting_entries_are_refused_naming_both(runs, tmp_path):
    def change(entry):
        entry["metrics"]["ece"]["mean"] += 1e-3

    other = changed(runs, tmp_path, change)
    output = tmp_path / "board.json"
    with pytest.raises(LeaderboardError, match=r"metrics\.ece\.mean") as error:
        merge_boards([runs / "controls", other], output, registry())
    assert str(other) in str(error.value)
    assert str(runs / "controls") in str(error.value)
    assert not output.exists()


def test_changed_id_or_predictions_are_refused(runs, tmp_path):
    def change(entry):
        entry["arm"] = "resample"

    with pytest.raises(LeaderboardError, match="The file was edited"):
        merge_boards([changed(runs, tmp_path, change)], tmp_path / "board.json", registry())
    copy = tmp_path / "copy"
    shutil.copytree(runs / "controls", copy)
    next((copy / "predictions").iterdir()).write_bytes(b"x")
    with pytest.raises(LeaderboardError, match="digest"):
        merge_boards([copy], tmp_path / "board.json", registry())
    assert not (tmp_path / "board.json").exists()


def test_build_extends_existing_board_unless_replace(runs, tmp_path):
    output = tmp_path / "board.json"
    merge_boards([runs / "controls"], output, registry())
    added = merge_boards([runs / "synthesis"], output, registry())
    assert len(added.entries) == 6
    assert added == merge_boards([runs / "controls"], output, registry())
    replaced = merge_boards([runs / "synthesis"], output, registry(), replace=True)
    assert {entry.arm for entry in replaced.entries} == {"synthesis+"}


def test_build_does_not_overwrite_other_files(runs, tmp_path):
    output = tmp_path / "notes.json"
    for content in ("my notes", '{"schema": "fgbench.leaderboard/9", "entries": []}', ""):
        output.write_text(content, encoding="utf-8")
        with pytest.raises(LeaderboardError, match=r"notes\.json") as error:
            merge_boards([runs / "controls"], output, registry())
        assert "\n" not in str(error.value)
        assert output.read_text(encoding="utf-8") == content
    with pytest.raises(LeaderboardError, match="is a folder"):
        merge_boards([runs / "controls"], tmp_path, registry())


def test_predictions_are_not_written_through_a_link(runs, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "board.predictions").symlink_to(tmp_path / "outside")
    with pytest.raises(LeaderboardError, match="is a link"):
        merge_boards([runs / "controls"], tmp_path / "board.json", registry())
    assert not any((tmp_path / "outside").iterdir())
    assert not (tmp_path / "board.json").exists()


def test_build_with_missing_predictions_writes_nothing(runs, tmp_path):
    shutil.copytree(runs / "controls", tmp_path / "copy")
    next((tmp_path / "copy" / "predictions").iterdir()).unlink()
    with pytest.raises(LeaderboardError, match="cannot be read"):
        merge_boards([tmp_path / "copy"], tmp_path / "board.json", registry())
    assert not (tmp_path / "board.json").exists()


def test_equal_entry_with_predictions_is_preferred(tmp_path):
    where = coordinates("baseline")
    early, _ = make_entry(tmp_path, where)
    bare = early.model_copy(
        update={
            "artifacts": early.artifacts.model_copy(update={"predictions": []}),
            "provenance": early.provenance.model_copy(update={"started": "2020-01-01"}),
        }
    )
    for name, entry in (("full", early), ("bare", bare)):
        (tmp_path / f"{name}.json").write_text(entry.model_dump_json(), encoding="utf-8")
    for order in (("full", "bare"), ("bare", "full")):
        sources = [tmp_path / f"{name}.json" for name in order]
        output = tmp_path / f"{order[0]}-board.json"
        (kept,) = merge_boards(sources, output, registry()).entries
        assert len(kept.artifacts.predictions) == 2


def test_empty_boards_merge_into_empty_board(tmp_path):
    empty = tmp_path / "empty.json"
    empty.write_text(
        '{"schema": "fgbench.leaderboard/1", "name": "none", "created": "", "entries": []}',
        encoding="utf-8",
    )
    assert merge_boards([empty], tmp_path / "board.json", registry()).entries == []
    assert verify_board(tmp_path / "board.json", registry()).ok
