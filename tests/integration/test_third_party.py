"""A third party's distribution, installed and used like any other."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "fgbench-weather"
PLUGIN = "weather (fgbench-weather)"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Install the example into a folder of its own and return an environment that sees it."""
    site = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "--no-deps", "--no-build-isolation", "--no-index", "--target", str(site), str(EXAMPLE)],
        check=True,
    )  # fmt: skip
    caches = tmp_path_factory.mktemp("caches")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FGBENCH_")}
    return kept | {
        "PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]),
        "FGBENCH_STORE": str(caches / "store"),
        "FGBENCH_CACHE": str(caches / "cache"),
        "FGBENCH_STATE": str(caches / "state"),
    }


def test_third_party_parts_are_listed_with_plugin_name(installed, fgbench):
    parts = json.loads(fgbench("list", "--json", env=installed).stdout)
    own = {(part["kind"], part["name"]) for part in parts if part["plugin"] == PLUGIN}
    assert own == {("dataset", "weather-notes"), ("generator", "clause-swap")}
    shown = json.loads(fgbench("show", "weather-notes", "--json", env=installed).stdout)
    assert shown[0]["plugin"] == PLUGIN
    assert {item["name"] for item in shown[0]["parameters"]} >= {"train_size", "clarity"}


def test_listing_third_party_parts_imports_nothing_heavy(installed, tmp_path):
    script = (
        "import sys; from fgbench.cli import run_command; run_command(['list', '--json'])\n"
        "print(sorted({'numpy', 'pydantic', 'fgbench_weather.notes'} & set(sys.modules)),"
        " file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=installed,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.strip() == "[]"


def test_third_party_command_is_listed_and_runs(installed, fgbench):
    listing = " ".join(fgbench("--help", env=installed).stdout.split())
    assert "weather-sample Print weather notes with their labels. [weather]" in listing
    lines = fgbench("weather-sample", "-n", "3", env=installed).stdout.splitlines()
    assert len(lines) == 3
    assert {line.split("\t")[0] for line in lines} <= {"dry", "rain"}
    done = fgbench("weather-sample", "-n", "0", env=installed, code=2)
    assert "0 is not in the range" in done.stderr


def test_third_party_parts_run_whole_loop(installed, fgbench, tmp_path):
    options = {
        "--dataset": ["weather-notes:clarity=0.9"],
        "--generator": ["clause-swap:proposals=4"],
        "--classifier": ["tfidf-logreg:C=100"],
        "--arm": ["baseline", "real", "synthesis+"],
        "--calibrator": ["none"],
        "--seed": ["0"],
        "--replicates": ["20"],
        "--out": [str(tmp_path / "runs")],
        "--store": [str(tmp_path / "store")],
    }
    arguments = [
        text for name, values in options.items() for value in values for text in (name, value)
    ]
    done = fgbench("run", *arguments, "--json", env=installed)
    (folder,) = (tmp_path / "runs").iterdir()
    board = json.loads((folder / "leaderboard.json").read_text(encoding="utf-8"))
    printed = json.loads(done.stdout)
    assert printed.pop("verdict")["code"] == "none"  # the run has one seed
    assert printed == board

    entries = {entry["arm"]: entry for entry in board["entries"]}
    assert set(entries) == {"baseline", "real", "synthesis+"}
    for entry in entries.values():
        assert entry["dataset"]["name"] == "weather-notes"
        assert entry["dataset"]["params"]["clarity"] == 0.9
        assert entry["dataset"]["n_test"] == 600
        assert 0.6 < entry["metrics"]["accuracy"]["mean"] < 0.9
    assert entries["baseline"]["generator"] is None
    filled = entries["synthesis+"]
    assert (filled["generator"]["name"], filled["generator"]["params"]) == (
        "clause-swap",
        {"proposals": 4},
    )
    assert filled["synthetic"]["accepted"] > 0.5 * filled["synthetic"]["requested"] > 0
    assert filled["usage"]["requests"] > 0

    samples = [
        json.loads(line)
        for path in sorted((folder / "samples").glob("*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    assert {sample["generator"] for sample in samples} == {"clause-swap"}
    assert sum(s["verdict"] == "accepted" for s in samples) == filled["synthetic"]["accepted"]
    fgbench("leaderboard", "verify", folder, env=installed)


def test_received_suite_that_uses_a_plugin_is_asked_about(installed, fgbench, tmp_path):
    (tmp_path / "suite.toml").write_text('datasets = ["weather-notes"]\nseeds = [0]\n')
    done = fgbench("plan", "suite.toml", env=installed, code=2)
    assert f"would use plugin {PLUGIN} (datasets[0])" in done.stderr
    assert "pass --yes." in done.stderr
    fgbench("plan", "suite.toml", "--yes", env=installed)
    fgbench("plan", "suite.toml", env=installed)


def test_wrong_third_party_parameter_suggests_nearest(installed, fgbench):
    wrong = ("--dataset", "weather-notes:clarty=1")
    done = fgbench("plan", *wrong, env=installed, code=2)
    assert (
        "dataset 'weather-notes' has no parameter 'clarty'. Did you mean 'clarity'?" in done.stderr
    )


def test_third_party_tests_pass_with_conformance_kit(installed, tmp_path):
    arguments = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(EXAMPLE)]
    done = subprocess.run(
        [sys.executable, *arguments, str(EXAMPLE / "tests")],
        env=installed,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
