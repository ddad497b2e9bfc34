"""Kill a run at random instants, resume it, and compare it with an undisturbed run."""

import os
import random
import signal
import subprocess
import time
from collections import Counter

import pytest

from support.runs import ENTRY, PROBE, comparable, events

RUN = [
    *ENTRY, "run", "--plugin", str(PROBE), "--dataset", "probe", "--dataset", "probe:classes=3",
    "--classifier", "probe-classifier:seconds=0.05", "--bins", "5", "--bins", "10",
    "--calibrator", "none", "--calibrator", "temperature", "--seed", "0", "--seed", "1",
    "--replicates", "50", "--quiet",
]  # fmt: skip


def started(folder, jobs, **options):
    return subprocess.Popen(
        [
            *RUN,
            "--out",
            str(folder / "runs"),
            "--store",
            str(folder / "store"),
            "--jobs",
            str(jobs),
        ],
        **options,
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Run once undisturbed; return its board and how long it took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    began = time.monotonic()
    assert started(folder, 1).wait() == 0
    seconds = time.monotonic() - began
    (run,) = (folder / "runs").iterdir()
    return comparable(run / "leaderboard.json"), seconds


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_run_killed_ten_times_gives_same_board(tmp_path, undisturbed, jobs):
    """Twenty instants in all; SIGKILL leaves no chance to tidy up."""
    board, seconds = undisturbed
    rng = random.Random(jobs)
    killed = 0
    while killed < 10:
        process = started(tmp_path, jobs)
        try:
            # Early kills hit the start-up, later ones stages; the whole run takes `seconds`.
            process.wait(timeout=rng.uniform(0.2, 0.6 * seconds))
        except subprocess.TimeoutExpired:
            process.kill()
        if process.wait() == -signal.SIGKILL:
            killed += 1
        else:
            # It got to its end before it was killed: start afresh on an empty store.
            assert process.returncode == 0
            assert_whole(tmp_path, board)
            tmp_path = tmp_path / "again"
            tmp_path.mkdir()
    assert started(tmp_path, jobs).wait() == 0
    assert_whole(tmp_path, board)


def assert_whole(folder, board):
    (run,) = (folder / "runs").iterdir()
    assert comparable(run / "leaderboard.json") == board
    finished = Counter(e["key"] for e in events(run) if e["event"] == "stage_finished")
    assert max(finished.values()) == 1, "a finished stage ran twice"


def test_ctrl_c_exits_130_and_run_resumes(tmp_path, undisturbed):
    board, _ = undisturbed
    for jobs in (1, 2):
        folder = tmp_path / str(jobs)
        folder.mkdir()
        process = started(folder, jobs, stderr=subprocess.PIPE, start_new_session=True)
        while not any(
            "stage_finished" in log.read_text() for log in folder.glob("runs/*/events.jsonl")
        ):
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)  # the whole group, as a terminal does
        message = process.communicate(timeout=20)[1].decode()
        assert process.returncode == 130, message
        assert "Run the same command to resume" in message
        assert "Traceback" not in message
        assert started(folder, jobs).wait() == 0
        assert_whole(folder, board)


def test_ctrl_c_during_worker_start_shows_no_traceback(tmp_path):
    """The terminal also interrupts workers that have not yet installed their signal handler."""
    (tmp_path / "sitecustomize.py").write_text(
        "import signal, sys, time\n"
        "if '--multiprocessing-fork' in sys.orig_argv:\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # or its parent may be quicker\n"
        "    open('started', 'a').close()\n"
        "    time.sleep(1)\n"
    )
    process = started(
        tmp_path,
        2,
        stderr=subprocess.PIPE,
        start_new_session=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    while not (tmp_path / "started").exists():
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    message = process.communicate(timeout=20)[1].decode()
    assert process.returncode == 130, message
    assert "Run the same command to resume" in message
    assert "Traceback" not in message


def test_workers_exit_when_parent_is_killed(tmp_path):
    import psutil

    process = started(tmp_path, 2)
    parent = psutil.Process(process.pid)
    deadline = time.monotonic() + 30
    while len(children := parent.children(recursive=True)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=15)
    assert alive == []
