"""Runs that ask a language model: killed, capped, failed and replayed, by the command line."""

import json
import re
import subprocess
import time
from pathlib import Path

import pytest

from support.runs import ENTRY, PROBE, comparable, events

RUN = (
    "run", "--plugin", PROBE, "--dataset", "probe", "--arm", "baseline", "--arm", "synthesis+",
    "--bins", "5", "--bins", "10", "--seed", "0", "--seed", "1", "--calibrator", "none",
    "--metric", "ece", "--replicates", "50", "--json",
)  # fmt: skip
FIGURES = ("requests", "prompt_tokens", "completion_tokens")


def board_of(folder):
    (run,) = (folder / "runs").iterdir()
    return comparable(run / "leaderboard.json")


def sent(folder):
    log = folder / "log"
    return log.read_text().splitlines() if log.exists() else []


def arguments(folder, *more, **parameters):
    parameters = {"log": folder / "log", **parameters}
    reference = ",".join(f"{key}={value}" for key, value in parameters.items())
    return [*RUN, "--generator", f"probe-chat:{reference}", "--out", folder / "runs",
            "--store", folder / "store", *more]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    def make(name):
        (tmp_path / name).mkdir()
        return tmp_path / name

    return make


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An undisturbed run: its folder and the number of its requests."""
    place = tmp_path_factory.mktemp("whole")
    subprocess.run([*ENTRY, *map(str, arguments(place))], check=True, capture_output=True)
    asked = sent(place)
    assert len(asked) == len(set(asked)) > 50, "no request is sent twice, whatever stage asks"
    return place, len(asked)


def test_plan_reports_expected_cost(fgbench, folder):
    place = folder("planned")
    plan = [
        "plan" if item == "run" else item
        for item in arguments(place, relabeler="probe-chat")
        if item not in ("--out", place / "runs")
    ]
    value = json.loads(fgbench(*plan).stdout)
    (usage,) = value["expected_usage"].values()
    first, most = usage["first_round"], usage["at_most"]
    # One generator writes for each source, and the other labels what it wrote.
    assert first["requests"] == 2 * value["generation_requests"]["at_most"] > 0
    assert first["cost_usd"] == pytest.approx(first["requests"] * 0.002)
    assert most["prompt_tokens"] == 8 * first["prompt_tokens"] == 80 * first["requests"]
    text = fgbench(*(item for item in plan if item != "--json")).stdout
    assert f"about {first['requests']} calls" in " ".join(text.split())


def test_progress_reports_spending_during_stage(folder):
    import os
    import pty

    place = folder("seen")
    command = [str(item) for item in arguments(place, seconds=0.05) if item != "--json"]
    reader, writer = pty.openpty()
    process = subprocess.Popen([*ENTRY, *command], stdout=subprocess.DEVNULL, stderr=writer,
                               env=os.environ | {"COLUMNS": "150", "TERM": "xterm"})  # fmt: skip
    os.close(writer)
    seen = b""
    while b"requests, " not in seen:
        seen += os.read(reader, 4096)
    process.kill()
    process.wait()
    os.close(reader)
    assert re.search(rb"[1-9][\d,]* requests, [\d,]+", seen)


def test_killed_run_resumes_with_unanswered_requests_only(whole, folder, fgbench):
    place, total = whole
    again = folder("again")
    command = arguments(again, seconds=0.01)
    for turn in range(1, 4):
        process = subprocess.Popen([*ENTRY, *map(str, command)], stdout=subprocess.DEVNULL)
        while len(sent(again)) < turn * total // 4:
            assert process.poll() is None
            time.sleep(0.005)
        process.kill()
        process.wait()
    fgbench(*command)
    asked = sent(again)
    # A kill loses the request in flight: one, as this model takes one at a time.
    assert total <= len(asked) <= total + 3
    assert len(set(asked)) == total
    assert board_of(again) == board_of(place)


@pytest.mark.parametrize("jobs", [1, 2])
def test_budget_covers_all_processes_and_resumes(whole, folder, fgbench, jobs):
    place, total = whole
    short = folder(f"short{jobs}")
    cap = total // 3
    for _ in range(2):  # the same command again spends nothing more
        answer = fgbench(*arguments(short, "--jobs", jobs, "--max-requests", cap), code=1)
        assert f"--max-requests {cap}" in answer.stderr
        assert "Raise the limit" in answer.stderr
        assert len(sent(short)) == cap
    board = json.loads(answer.stdout)
    assert {entry["arm"] for entry in board["entries"]} >= {"baseline"}
    fgbench(*arguments(short, "--jobs", jobs, "--max-requests", 2 * total))
    assert len(set(sent(short))) == total
    if jobs == 1:  # two stages that run at once may ask the same; the first answer stays
        assert len(sent(short)) == total
    assert board_of(short) == board_of(place)


@pytest.mark.parametrize(("option", "most"), [("--max-tokens", 900), ("--max-cost", 0.1)])
def test_tokens_and_cost_are_capped(folder, fgbench, option, most):
    """A request uses 15 tokens and 0.2 cents, and could use 60 and 1.1 cents."""
    place = folder("capped")
    answer = fgbench(*arguments(place, option, most, "--jobs", 2), code=1)
    assert option in answer.stderr
    each = {"--max-tokens": 15, "--max-cost": 0.002}[option]
    used = len(sent(place)) * each
    assert 0.8 * most < used <= most


def test_replay_of_exported_answers_gives_same_board(whole, folder, fgbench, tmp_path):
    place, total = whole
    exported = tmp_path / "answers.jsonl.gz"
    answer = fgbench("cache", "export", exported, "--store", place / "store")
    assert f"{total} answers" in answer.stdout
    for jobs, file in ((1, exported), (2, exported), (1, place / "store" / "answers.sqlite")):
        replay = folder(f"replay-{jobs}-{file.suffix}")
        fgbench(*arguments(replay, "--replay", file, "--jobs", jobs))
        assert sent(replay) == []
        assert board_of(replay) == board_of(place)
    entry = json.loads(board_of(replay))["entries"][-1]
    assert entry["usage"]["requests"] > 0
    assert entry["usage"]["cost_usd"] == pytest.approx(entry["usage"]["requests"] * 0.002)


def test_replay_with_missing_answer_fails(whole, folder, fgbench, tmp_path):
    place, _ = whole
    exported = tmp_path / "answers.jsonl"
    fgbench("cache", "export", exported, "--store", place / "store")
    other = folder("other")
    answer = fgbench(*arguments(other, "--replay", exported, "--seed", "7"), code=1)
    assert "has no answer to" in answer.stderr
    assert "write " in answer.stderr
    assert sent(other) == []
    answer = fgbench(*arguments(other, "--replay", tmp_path / "nowhere"), code=2)
    assert "no such file" in answer.stderr


def test_imported_answers_are_not_requested_again(whole, folder, fgbench, tmp_path):
    place, total = whole
    exported = tmp_path / "answers.jsonl"
    fgbench("cache", "export", exported, "--store", place / "store")
    warm = folder("warm")
    for new in (total, 0):
        answer = fgbench("cache", "import", exported, "--store", warm / "store")
        assert f"{new} new of {total} answers" in answer.stdout
    fgbench(*arguments(warm))
    assert sent(warm) == []
    assert board_of(warm) == board_of(place)
    info = json.loads(fgbench("cache", "info", "--json", "--store", warm / "store").stdout)
    (model,) = info["models"]
    assert (model["answers"], model["refusals"], model["failures"]) == (total, 0, 0)
    assert model["model"] == {"engine": "probe", "model": "probe"}
    text = fgbench("cache", "info", "--store", warm / "store").stdout
    assert f"{total} answers" in text
    assert "no answers yet" in fgbench("cache", "info", "--store", tmp_path / "new").stdout
    assert not (tmp_path / "new").exists()


def test_transient_failure_is_retried_on_rerun(whole, folder, fgbench, tmp_path):
    place, total = whole
    later = folder("later")
    switch = tmp_path / "broken"
    switch.touch()
    answer = fgbench(*arguments(later, broken=switch), code=1)
    assert "HTTP 503" in answer.stderr
    assert "Rerun to try again" in answer.stderr
    (run,) = (later / "runs").iterdir()
    assert any(event["event"] == "cell_finished" for event in events(run))
    switch.unlink()
    (later / "log").unlink()
    fgbench(*arguments(later, broken=switch))
    assert len(sent(later)) == total
    assert board_of(later) == board_of(place)


def test_other_generator_can_relabel(whole, folder, fgbench):
    """The relabeler is prepared, asked, and identified by its content, not by its log path."""
    place, split = whole[0], folder("split")
    relabeler = f'"probe-chat:log={split / "labels"}"'
    fgbench(*arguments(split, relabeler=relabeler))
    labels = Path(split / "labels").read_text().splitlines()
    assert {line.split()[0] for line in labels} == {"label"}
    assert {line.split()[0] for line in sent(split)} == {"write"}
    assert sorted(labels + sent(split)) == sorted(sent(place))
    boards = [json.loads(board_of(each)) for each in (place, split)]
    for one, other in zip(boards[0]["entries"], boards[1]["entries"], strict=True):
        assert one["metrics"] == other["metrics"]
        if one["generator"] is not None:
            assert other["generator"]["params"]["relabeler"] == "probe-chat"
            assert other["generator"]["content"] is not None
            assert [one["usage"][name] for name in FIGURES] == [
                other["usage"][name] for name in FIGURES
            ]


@pytest.mark.parametrize(
    ("relabeler", "words"),
    [
        ("nobody", "unknown generator 'nobody'"),
        ("probe-chat:depth=3", "no parameter 'depth'"),
        ("probe-chat:relabeler=ngram", "it has a relabeler itself"),
        ("oracle", "needs"),
    ],
)
def test_relabeler_without_labeling_is_refused_while_planning(folder, fgbench, relabeler, words):
    place = folder("refused")
    answer = fgbench(*arguments(place, relabeler=relabeler), code=2)
    assert words in answer.stderr
    assert not (place / "runs").exists()
