"""`fgbench store`: what stored stages take, and freeing it without hurting anybody."""

import contextlib
import json
import os
import re
import shutil
import sqlite3
import stat

import pytest

RUN = (
    "run", "--dataset", "logistic-1d", "--limit", "150", "--arm", "baseline", "--replicates", "50",
    "--metric", "ece", "--quiet",
)  # fmt: skip


def info(fgbench, folder):
    return json.loads(fgbench("store", "info", "--store", folder, "--json").stdout)


@pytest.fixture
def two_runs(fgbench, tmp_path):
    """Return the folders of two runs in one store that share the data set and nothing else."""
    for seed in ("0", "1"):
        fgbench(*RUN, "--seed", seed, "--store", tmp_path / "store", "--name", f"seed{seed}")
    return [next((tmp_path / "runs").glob(f"seed{seed}-*")) for seed in ("0", "1")]


def test_info_counts_artifacts_and_bytes(fgbench, two_runs, tmp_path):
    value = info(fgbench, tmp_path / "store")
    assert value["stages"]["train"]["artifacts"] == 2
    assert value["stages"]["dataset"]["artifacts"] == 1
    on_disk = sum(
        path.stat().st_size for path in (tmp_path / "store/objects").rglob("*") if path.is_file()
    )
    assert sum(stage["bytes"] for stage in value["stages"].values()) == on_disk
    assert value["run_in_progress"] is False
    assert "train" in fgbench("store", "info", "--store", tmp_path / "store").stdout


def test_prune_by_run_leaves_the_other_run_stored(fgbench, two_runs, tmp_path):
    first, _ = two_runs
    before = info(fgbench, tmp_path / "store")["stages"]
    arguments = ["store", "prune", "--store", tmp_path / "store", "--run", first]
    assert "Would remove" in fgbench(*arguments, "--dry-run").stdout
    assert info(fgbench, tmp_path / "store")["stages"] == before
    assert "Removed" in fgbench(*arguments).stdout
    assert info(fgbench, tmp_path / "store")["stages"]["train"]["artifacts"] == 1
    board = (first / "leaderboard.json").read_bytes()
    fgbench("leaderboard", "verify", first)  # a run keeps its results
    answer = fgbench(*RUN[:-1], "--seed", "1", "--store", tmp_path / "store", "--name", "seed1")
    assert "(8 stored" in answer.stderr or "stored)" in answer.stderr
    assert (first / "leaderboard.json").read_bytes() == board


def test_pruned_run_can_be_run_again(fgbench, two_runs, tmp_path):
    first, _ = two_runs
    fgbench("store", "prune", "--store", tmp_path / "store", "--max-size", "0")
    assert info(fgbench, tmp_path / "store")["stages"] == {}
    shutil.rmtree(first)
    fgbench(*RUN, "--seed", "0", "--store", tmp_path / "store", "--name", "seed0")
    fgbench("leaderboard", "verify", first)


def modes(root, pattern="**/*"):
    """Return the permissions of the folders and of the files below a folder."""
    paths = [root, *root.glob(pattern)]
    folders = {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_dir()}
    return folders, {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_file()}


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_runs_are_private_and_boards_follow_the_umask(fgbench, tmp_path, umask):
    def call(*arguments):
        return fgbench(*arguments, preexec_fn=lambda: os.umask(umask))

    call(*RUN, "--seed", "0", "--name", "private", "--jobs", "2")
    (run,) = (tmp_path / "runs").iterdir()
    assert modes(run) == ({0o700}, {0o600})
    assert modes(tmp_path / "store") == ({0o700}, {0o600})
    assert call("store", "check").stderr == ""
    call("leaderboard", "build", run, "--output", "public/board.json")
    call("leaderboard", "html", run, "--output", "public/page")
    (tmp_path / "public/.board.json.lock").unlink()
    public = ({0o777 & ~umask}, {0o666 & ~umask})
    assert modes(tmp_path / "public") == public
    (tmp_path / "store").chmod(0o755)
    assert "chmod -R go=" in call("store", "check").stderr


def test_check_reads_everything_and_names_the_damage(fgbench, llm_server, tmp_path):
    server = llm_server()
    store = ["--store", tmp_path / "store"]
    fgbench(
        "run", "--dataset", "probe", "--generator",
        f"openai:model=tiny,base_url={server.url}", "--arm", "synthesis", "--bins", "5",
        "--seed", "0", "--replicates", "10", "--quiet", *store, probe=True,
    )  # fmt: skip
    before = sorted((tmp_path / "store").rglob("*"))
    intact = fgbench("store", "check", *store).stdout
    match = re.fullmatch(
        r"Checked (\d+) artifacts \([\d.]+ [kM]B\) and (\d+) answers: no damage\.\n", intact
    )
    manifests = list((tmp_path / "store/objects").glob("*/*/manifest.json"))
    assert int(match[1]) == len(manifests)
    assert int(match[2]) > 0
    assert sorted((tmp_path / "store").rglob("*")) == before

    train = next(path for path in manifests if '"stage": "train"' in path.read_text()).parent
    (train / "test.npz").write_bytes(b"x")
    database = tmp_path / "store/answers.sqlite"
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE answers SET key = randomblob(32) WHERE id = 1")
        connection.execute("UPDATE answers SET notes = '[' WHERE id = 2")
    damaged = fgbench("store", "check", *store, code=1).stdout
    assert f"artifact {train.name}: test.npz: 1 bytes instead of" in damaged
    assert damaged.count(f"{database}: ") == 2
    assert "3 damaged." in damaged

    database.write_bytes(database.read_bytes()[:8192] + b"\xff" * 4096)
    assert f"{database}: " in fgbench("store", "check", *store, code=1).stdout
    fgbench("store", "check", "--store", tmp_path / "nowhere", code=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name what to remove"),
        (["--unused-for", "soon"], "'soon' is not a duration: write 30d, 12h or 90m."),
        (["--max-size", "-1GB"], "is not a size: write 500MB or 10GB."),
        (["--run", "nowhere"], "nowhere: not a run folder"),
    ],
)
def test_prune_refuses_bad_arguments(fgbench, tmp_path, arguments, message):
    answer = fgbench("store", "prune", "--store", tmp_path / "store", *arguments, code=2)
    assert message in " ".join(answer.stderr.split())
