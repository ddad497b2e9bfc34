"""Boards of earlier versions stay readable; those of newer versions are refused."""

import json
from pathlib import Path

import pytest

from fgbench.coordinates import entry_id
from fgbench.errors import LeaderboardError
from fgbench.leaderboard.files import read_board
from fgbench.leaderboard.merge import merge_boards
from fgbench.leaderboard.migrations import migrated
from fgbench.leaderboard.models import Entry
from fgbench.leaderboard.verdict import verdict_of
from fgbench.leaderboard.verify import verify_board
from support.boards import make_run, registry

STORED = Path(__file__).parents[1] / "stored" / "leaderboard-1"
"""Written by fgbench before boards had noise floors, checksums and published figures."""


def test_version_1_board_keeps_its_ids():
    board = read_board(STORED)
    assert len(board.entries) == 3
    for entry in board.entries:
        assert entry_id(entry) == entry.id
        assert entry.published is None
        assert entry.checksums == {}
        assert all(record.noise_floor is None for record in entry.metrics.values())
    assert board.checksum is None


def test_verify_of_version_1_board_names_unverifiable_fields():
    result = verify_board(STORED, registry())
    assert result.on_trust == 3
    assert result.files == 3
    assert not any("noise_floor" in problem for problem in result.problems)
    assert not any("checksum" in problem for problem in result.problems)


def test_version_1_board_merges_with_current_boards(tmp_path):
    today = make_run(tmp_path / "run", dataset="other", arms=("baseline",), seeds=(0,))
    merged = merge_boards([STORED, tmp_path / "run"], tmp_path / "board.json", registry())
    assert len(merged.entries) == 3 + len(today.entries)
    again = merge_boards([STORED], tmp_path / "board.json", registry())
    assert again == merged


def test_version_1_comparisons_become_contrasts():
    entries = read_board(STORED).entries
    old = json.loads((STORED / "leaderboard.json").read_text(encoding="utf-8"))["entries"]
    compared = 0
    for entry, value in zip(entries, old, strict=True):
        assert entry.statistics.version == "1"
        for control in ("baseline", "real"):
            records = value[f"versus_{control}"]
            if value[control] is None:
                assert control not in entry.contrasts
                continue
            assert entry.contrasts[control].entry == value[control]
            for name, record in records.items():
                contrast = entry.contrast(control, name)
                assert contrast.difference == record["delta"]
                assert list(contrast.interval) == record["ci95"]
                assert contrast.p_value == record["p_value"]
                assert contrast.standard_error is None
                better = (record["delta"] < 0) != (name in value["higher_is_better"])
                if record["p_adjusted"] < 0.05:
                    assert contrast.word == ("better" if better else "worse")
                else:
                    assert contrast.word == "cannot tell"
                compared += 1
    assert compared > 10
    assert verdict_of(read_board(STORED)).code == "none"


def test_single_entry_of_version_1_is_read(tmp_path):
    entry = json.loads((STORED / "leaderboard.json").read_text(encoding="utf-8"))["entries"][-1]
    (tmp_path / "entry.json").write_text(json.dumps(entry), encoding="utf-8")
    (read,) = read_board(tmp_path / "entry.json").entries
    assert read.id == entry["id"]
    assert read == read_board(STORED).entries[-1]


def test_commands_read_a_board_of_version_1(fgbench, tmp_path):
    for command in (
        ("show", STORED),
        ("show", STORED, "--table"),
        ("show", STORED, "--json"),
        ("compare", STORED, STORED),
        ("html", STORED, "-o", tmp_path / "page"),
    ):
        assert fgbench("leaderboard", *command).stdout
    assert "earlier version" in fgbench("leaderboard", "show", STORED).stdout
    assert "Traceback" not in fgbench("leaderboard", "submit-check", STORED, code=1).stderr


def step(value):
    """A change of the format: `arm` used to be called `treatment`."""
    entries = [{**entry, "arm": entry["treatment"]} for entry in value["entries"]]
    return {**value, "entries": entries}


def test_migrations_run_in_sequence():
    old = {"schema": "fgbench.leaderboard/1", "entries": [{"treatment": "real"}]}
    steps = {1: step, 2: lambda value: {**value, "lifted": True}}
    lifted = migrated(old, "x.json", steps=steps, schema="fgbench.leaderboard/3")
    assert lifted["schema"] == "fgbench.leaderboard/3"
    assert lifted["entries"][0]["arm"] == "real"
    assert lifted["lifted"]
    assert old["schema"] == "fgbench.leaderboard/1"
    with pytest.raises(LeaderboardError, match="cannot convert schema"):
        migrated(old, "x.json", steps={2: step}, schema="fgbench.leaderboard/3")


@pytest.mark.parametrize("schema", ["fgbench.leaderboard/4", "fgbench.leaderboard/10"])
def test_newer_schema_is_refused(schema):
    with pytest.raises(LeaderboardError, match=r"newer than fgbench\.leaderboard/3") as error:
        migrated({"schema": schema}, "x.json", steps={}, schema="fgbench.leaderboard/3")
    assert str(error.value).startswith("x.json: ")


@pytest.mark.parametrize("schema", [None, 1, "fgbench.leaderboard/x", "other/1", "", []])
def test_invalid_schema_version_is_refused(schema):
    with pytest.raises(LeaderboardError, match="expected 'fgbench"):
        migrated({"schema": schema}, "x.json")


def test_neutral_parts_of_a_stored_board_are_known_though_not_recorded():
    for entry in read_board(STORED).entries:
        assert "neutral" not in entry.model_fields_set
        assert entry.neutral == (
            ["loss", "calibrator"] if entry.calibrator.name == "none" else ["loss"]
        )


def test_neutral_parts_are_recorded_and_not_guessed_from_names():
    entry = read_board(STORED).entries[0]
    value = json.loads(entry.model_dump_json()) | {"neutral": []}
    assert Entry.model_validate(value).neutral == []
