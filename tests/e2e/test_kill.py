"""Kill a run at random instants, resume it, and compare it with an undisturbed run.

FGBENCH_TEST_KILLS sets how often each kind of stage and each command is killed (default: once).
"""

import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from contextlib import closing

import pytest

from fgbench.llm.answers import ANSWERS_FILE, AnswerStore, Record
from fgbench.llm.chat import ChatAnswer, ChatRequest, Message, Sampling
from fgbench.llm.keys import RequestHasher
from fgbench.stages import STAGES
from support.runs import ENTRY, PROBE, comparable, events

KILLS = int(os.environ.get("FGBENCH_TEST_KILLS", "1"))

RUN = [
    *ENTRY, "run", "--plugin", str(PROBE), "--dataset", "probe", "--dataset", "probe:classes=3",
    "--classifier", "probe-classifier:seconds=0.05", "--bins", "5", "--bins", "10",
    "--calibrator", "none", "--calibrator", "temperature", "--seed", "0", "--seed", "1",
    "--replicates", "50", "--quiet",
]  # fmt: skip

EVERY_STAGE = [
    *ENTRY, "run", "--dataset", "known-posterior:train=80,validation=60,test=40", "--bins", "5",
    "--calibrator", "none", "--calibrator", "temperature", "--seed", "0", "--replicates", "50",
    "--quiet",
]  # fmt: skip


def started(folder, jobs, command=RUN, **options):
    return subprocess.Popen(
        [
            *command,
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


@pytest.fixture(scope="module")
def every_stage(tmp_path_factory):
    """Run every kind of stage once undisturbed; return the folder and the seconds of each kind."""
    folder = tmp_path_factory.mktemp("every-stage")
    assert started(folder, 1, EVERY_STAGE).wait() == 0
    (run,) = (folder / "runs").iterdir()
    seconds = {}
    for event in events(run):
        if event["event"] == "stage_finished":
            seconds.setdefault(event["stage"], event["seconds"])
    assert seconds.keys() == STAGES.keys()
    return folder, seconds


@pytest.mark.slow
def test_run_killed_in_every_kind_of_stage_gives_same_board(tmp_path, every_stage):
    undisturbed, seconds = every_stage
    (run,) = (undisturbed / "runs").iterdir()
    board = comparable(run / "leaderboard.json")
    rng = random.Random(0)
    for attempt in range(KILLS):
        for stage in seconds:
            folder = tmp_path / str(attempt)
            folder.mkdir(exist_ok=True)
            while not killed_in(stage, folder, rng.uniform(0, 1.2 * seconds[stage] + 0.02)):
                # Nothing of this kind was left to do, or the run ended first: start afresh.
                assert_whole(folder, board)
                shutil.rmtree(folder)
                folder.mkdir()
        assert started(folder, 1, EVERY_STAGE).wait() == 0
        assert_whole(folder, board)


def killed_in(stage, folder, delay):
    """Run until a stage of this kind has been running for `delay` seconds, and kill the run.

    Return False if the run finished first.
    """
    began = sum(map(len, logs(folder)))
    process = started(folder, 1, EVERY_STAGE)
    line = '"event": "stage_started", "label"'
    while process.poll() is None:
        text = "".join(logs(folder))[began:]
        if any(line in each and f'"stage": "{stage}"' in each for each in text.splitlines()):
            time.sleep(delay)
            process.kill()
            break
        time.sleep(0.002)
    if process.wait() == 0:
        return False
    assert process.returncode == -signal.SIGKILL
    return True


def logs(folder):
    return [log.read_text() for log in folder.glob("runs/*/events.jsonl")]


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("leaderboard", "build", "{run}", "--output", "{out}/board.json"),
        ("leaderboard", "html", "{run}", "--output", "{out}/page"),
        ("report", "{run}", "--output", "{out}/report.html"),
        ("cache", "export", "{out}/answers.jsonl.gz", "--store", "{store}"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_killed_command_leaves_nothing_behind(tmp_path, every_stage, command):
    """It writes the same files when it is run again."""
    (run,) = (every_stage[0] / "runs").iterdir()
    if command[0] == "cache":
        with closing(AnswerStore(tmp_path / "store" / ANSWERS_FILE)) as answers:
            answers.put_all(some_answers(5_000))

    def call(out):
        values = {"run": run, "out": out, "store": tmp_path / "store"}
        return subprocess.Popen(
            [*ENTRY, *(part.format(**values) for part in command)], stdout=subprocess.DEVNULL
        )

    began = time.monotonic()
    assert call(tmp_path / "undisturbed").wait() == 0
    seconds = time.monotonic() - began
    rng = random.Random(str(command))
    for _ in range(3 * KILLS):
        out = tmp_path / "killed"
        process = call(out)
        deadline = time.monotonic() + rng.uniform(0.3, 1) * seconds
        while time.monotonic() < deadline and not any(out.rglob(".*.tmp")):
            time.sleep(0.001)
        process.kill()
        process.wait()
    assert call(out).wait() == 0
    assert contents(out) == contents(tmp_path / "undisturbed")


def some_answers(count):
    hasher = RequestHasher({"model": "m"})
    for number in range(count):
        messages = (Message("user", f"prompt {number}"),)
        request = ChatRequest(messages=messages, sampling=Sampling())
        key, text = hasher.key_and_text(request)
        yield Record(key, hasher.model, text, ChatAnswer(text=f"answer {number}"), 0.0)


def contents(folder):
    """Return the files below a folder, by name; empty lock files do not count."""
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    return {name: content for name, content in files.items() if not name.endswith(".lock")}


def assert_whole(folder, board):
    (run,) = (folder / "runs").iterdir()
    assert comparable(run / "leaderboard.json") == board
    for name in ("building", "locks", "leases"):
        assert list((folder / "store" / name).iterdir()) == []
    assert list(folder.rglob("*.tmp")) == []
    check = subprocess.run(
        [*ENTRY, "store", "check", "--store", str(folder / "store")], capture_output=True, text=True
    )
    assert check.stdout.endswith("no damage.\n"), check.stdout + check.stderr
    finished = Counter(e["key"] for e in events(run) if e["event"] == "stage_finished")
    assert max(finished.values()) == 1, "a finished stage ran twice"


@pytest.mark.parametrize(
    ("number", "whole_group", "code", "word"),
    [
        (signal.SIGINT, True, 130, "Interrupted"),
        (signal.SIGTERM, True, 143, "Terminated"),
        (signal.SIGTERM, False, 143, "Terminated"),
    ],
)
def test_interrupted_run_resumes(tmp_path, undisturbed, number, whole_group, code, word):
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
        if whole_group:  # as a terminal, or timeout(1), does
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        message = process.communicate(timeout=20)[1].decode()
        assert process.returncode == code, message
        assert message.strip() == f"{word}. Run the same command to resume."
        (run,) = (folder / "runs").iterdir()
        assert events(run)[-1]["event"] == "run_interrupted"
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
