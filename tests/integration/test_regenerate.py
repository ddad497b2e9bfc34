"""`fgbench leaderboard regenerate`: entries are reproduced, compared, and their drift explained."""

import json
import shutil
from pathlib import Path

import pytest

from fgbench.cli import run_command
from fgbench.errors import ConfigurationError
from fgbench.leaderboard.files import read_board
from fgbench.runs.regenerate import suite_of

RUN = (
    "run", "--dataset", "logistic-1d", "--limit", "150", "--seed", "0", "--seed", "3",
    "--arm", "baseline", "--arm", "real", "--arm", "synthesis+", "--replicates", "50",
    "--metric", "ece", "--metric", "accuracy", "--quiet",
)  # fmt: skip


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("original")
    assert run_command([*RUN, "--out", f"{folder}/runs", "--store", f"{folder}/store"]) == 0
    (run,) = (folder / "runs").iterdir()
    return run


@pytest.fixture
def place(original, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path, Path(shutil.copytree(original, tmp_path / "run"))


def regenerate(capsys, *arguments):
    code = run_command(["leaderboard", "regenerate", "--quiet", *map(str, arguments)])
    streams = capsys.readouterr()
    return code, " ".join(streams.out.split()), streams.err


def test_run_folder_is_reproduced_from_its_suite(place, capsys):
    folder, run = place
    code, out, _ = regenerate(capsys, run)
    assert code == 0, out
    assert "Reproduced 6 entries: 6 identical," in out
    (anew,) = (folder / "regenerated").iterdir()  # its store is gone
    finished = [
        json.loads(line)["event"] for line in (anew / "events.jsonl").read_text().splitlines()
    ]
    assert "stage_finished" in finished
    assert "stage_cached" not in finished


def test_suite_is_derived_from_board_coordinates(place, capsys):
    folder, run = place
    assert run_command(["leaderboard", "build", str(run), "-o", "board.json"]) == 0
    code, out, _ = regenerate(capsys, "board.json", "--out", folder / "anew")
    assert code == 0, out
    assert "Reproduced 6 entries: 6 identical," in out
    assert "made along with it" not in out  # no entry but those of the board


def test_entry_is_selected_by_id_prefix(place, capsys):
    _, run = place
    entry = next(e for e in read_board(run).entries if e.arm == "synthesis+")
    code, out, _ = regenerate(capsys, run, "--entry", entry.id[:8])
    assert code == 0, out
    assert "Reproduced 1 entries: 1 identical," in out
    code, _, err = regenerate(capsys, run, "--entry", "zz")
    assert code == 2
    assert "--entry zz: matches no entry of the board" in err


def changed(run, change):
    file = run / "leaderboard.json"
    value = json.loads(file.read_text(encoding="utf-8"))
    for entry in value["entries"]:
        change(entry)
    file.write_text(json.dumps(value), encoding="utf-8")


def test_difference_within_interval_is_noise_and_beyond_is_drift(place, capsys):
    """The old board is edited to look like one of older versions."""
    folder, run = place

    def older(entry):
        metric = entry["metrics"]["ece"]
        half = (metric["ci95"][1] - metric["ci95"][0]) / 2
        far = 0.3 if entry["arm"] == "real" else 0.5
        by = half * far if entry["arm"] != "synthesis+" else 10 * metric["ci95"][1] + 1.0
        metric["mean"] += by
        metric["per_seed"] = [value + by for value in metric["per_seed"]]
        entry["artifacts"]["predictions"] = []
        entry["provenance"]["packages"]["numpy"] = "1.0"
        entry["provenance"]["git_commit"] = "a" * 40
        entry["provenance"]["model_revision"] = "old-revision"

    changed(run, older)
    code, out, _ = regenerate(capsys, run, "--out", folder / "anew")
    assert code == 1
    assert "4 within noise, 2 beyond noise." in out
    assert ": seed noise (its 95 % interval is ±" in out
    assert ": beyond noise (its 95 % interval is ±" in out
    assert "possible causes: model revision old-revision → none;" in out
    assert "package numpy 1.0 → " in out
    assert "git commit aaaaaaaaaaaa → " in out


def test_changed_data_are_reported_with_digests_and_not_compared(place, capsys):
    from fgbench.coordinates import Coordinates, entry_id

    folder, run = place

    def older(entry):
        entry["dataset"]["digest"] = "b" * 64
        names = Coordinates.model_fields
        entry["id"] = entry_id(
            Coordinates.model_validate({k: v for k, v in entry.items() if k in names})
        )

    changed(run, older)
    code, out, _ = regenerate(capsys, run, "--out", folder / "anew")
    assert code == 1
    assert "Reproduced 0 entries:" in out
    assert "the data differ (digest bbbbbbbbbbbb →" in out


def test_changed_metric_version_is_reported_as_cause(place, capsys):
    folder, run = place

    def older(entry):
        entry["metric_versions"]["ece"] = "0"
        entry["artifacts"]["predictions"] = []
        entry["metrics"]["ece"]["mean"] += 0.5

    changed(run, older)
    code, out, _ = regenerate(capsys, run, "--out", folder / "anew")
    assert code == 1
    assert "ece: not compared: the metric's version differs (0 → 1)" in out


def test_empty_board_has_nothing_to_regenerate(tmp_path, capsys):
    empty = tmp_path / "empty.json"
    empty.write_text(
        '{"schema": "fgbench.leaderboard/1", "name": "none", "created": "", "entries": []}',
        encoding="utf-8",
    )
    code, _, err = regenerate(capsys, empty)
    assert code == 2
    assert "nothing to rerun" in err


def test_published_figures_cannot_be_regenerated(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    board = read_board_of("paper-table4")
    code, _, err = regenerate(capsys, "paper-table4", "--entry", board.entries[0].id)
    assert code == 2
    assert "it is a published figure" in err


def read_board_of(name):
    from fgbench.leaderboard.bundled import board_path

    return read_board(board_path(Path(name)))


def test_unknown_settings_are_refused(place):
    _, run = place
    entry = read_board(run).entries[0]
    odd = entry.model_copy(update={"settings": {"moon": "full"}})
    with pytest.raises(ConfigurationError, match="unknown key 'moon'"):
        suite_of([odd])


def test_regenerate_with_replay_sends_no_requests(llm_server, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    server = llm_server()
    generator = f"openai:model=tiny,base_url={server.url}"
    assert (
        run_command(
            ["run", "--dataset", "known-posterior", "--limit", "60", "--arm", "synthesis+",
             "--seed", "0", "--calibrator", "none", "--metric", "ece", "--replicates", "20",
             "--generator", generator, "--out", "runs", "--store", "store", "--quiet"]
        ) == 0
    )  # fmt: skip
    (run,) = (tmp_path / "runs").iterdir()
    arguments = ["cache", "export", "answers.jsonl", "--store", "store"]
    assert run_command(arguments) == 0
    asked = len(server.stats()["requests"])
    assert asked > 0
    code, out, err = regenerate(capsys, run, "--replay", "answers.jsonl")
    assert code == 0, out + err
    assert "Reproduced 1 entries: 1 identical," in out
    assert len(server.stats()["requests"]) == asked


def test_regenerate_caps_requests_and_resumes(llm_server, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    server = llm_server()
    generator = f"openai:model=tiny,base_url={server.url}"
    assert (
        run_command(
            ["run", "--dataset", "known-posterior", "--limit", "60", "--arm", "synthesis+",
             "--seed", "0", "--calibrator", "none", "--metric", "ece", "--replicates", "20",
             "--generator", generator, "--out", "runs", "--store", "store", "--quiet"]
        ) == 0
    )  # fmt: skip
    (run,) = (tmp_path / "runs").iterdir()
    asked = len(server.stats()["requests"])
    assert asked > 5
    code, _, err = regenerate(capsys, run, "--max-requests", "5")
    assert code == 1
    assert "--max-requests" in err
    assert len(server.stats()["requests"]) == asked + 5
    code, out, err = regenerate(capsys, run, "--executor", "local:jobs=2")
    assert code == 0, out + err
    assert len(server.stats()["requests"]) == 2 * asked  # the five answers were reused


def test_regenerate_leaves_a_store_in_its_output_folder_alone(place, capsys):
    folder, run = place
    answers = folder / "work" / "store" / "answers.sqlite"
    answers.parent.mkdir(parents=True)
    answers.write_bytes(b"paid for")
    code, out, _ = regenerate(capsys, run, "--out", folder / "work")
    assert code == 0, out
    assert answers.read_bytes() == b"paid for"
    assert sorted(path.name for path in answers.parent.iterdir()) == ["answers.sqlite"]
    assert not list((folder / "work").glob(".regenerate-*"))  # its own store is gone
