"""Whole runs over an OpenAI-compatible server: faults, kills, and a key that must not leak."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import psutil
import pytest

from fgbench import Answers, ChatRequest, Message, Sampling
from fgbench.llm.answers import ANSWERS_FILE, AnswerStatus, AnswerStore
from fgbench_plugins.language_models.openai_endpoint import OpenAIChat
from support.llm_behavior import FINAL_FAULTS, HARMLESS_FAULTS, RETRIED_FAULTS
from support.llm_replies import content_key
from support.runs import ENTRY, comparable

CANARY = "sk-canary-7Qp2vX9wLm4tR8sZ-do-not-tell-anybody-this-is-long-enough-to-be-cut"
RUN = (
    "run", "--dataset", "known-posterior", "--limit", "60", "--arm", "baseline",
    "--arm", "synthesis+", "--seed", "0", "--calibrator", "none", "--metric", "ece",
    "--replicates", "50", "--json",
)  # fmt: skip
LOGGED = [
    sys.executable,
    "-c",
    "import logging; logging.basicConfig(level=logging.DEBUG, filename='debug.log');"
    "from fgbench.cli import main; main()",
]
"""The command line, with every library's log of everything."""


def arguments(server, place, *more, **parameters):
    parameters = {"model": "tiny", "base_url": server.url, "backoff": 0.05, **parameters}
    listed = ",".join(f"{name}={value}" for name, value in parameters.items())
    return [*RUN, "--generator", f"openai:{listed}", "--out", place / "runs",
            "--store", place / "store", *more]  # fmt: skip


def board_of(place):
    (run,) = (place / "runs").iterdir()
    board = json.loads(comparable(run / "leaderboard.json"))
    for entry in board["entries"]:
        del entry["id"], entry["artifacts"], entry["generator"]  # the server's port is in them
    return board


@pytest.fixture
def place(tmp_path):
    return tmp_path


class TestEveryFaultAtOnce:
    def test_every_request_is_answered_or_has_reason(self, llm_server, place):
        """Each fault meets a share of 400 requests; the store holds each request once."""
        faults = (*RETRIED_FAULTS, *HARMLESS_FAULTS, *FINAL_FAULTS)
        rates = {name: 1 / len(faults) if 0.05 * len(faults) > 1 else 0.05 for name in faults}
        server = llm_server(rates=rates, retry_after=0.1, slow=0.1, stall=5, latency=0.01)
        requests = [
            ChatRequest(
                messages=(Message("system", "Be brief."), Message("user", f"Q {number // 2}")),
                sampling=Sampling(temperature=0.7),
                draw=number % 2,
            )
            for number in range(400)
        ]
        model = OpenAIChat(
            "tiny", base_url=server.url, concurrency=32, timeout=2.5, backoff=0.05, retries=8
        )
        store = AnswerStore(place / ANSWERS_FILE)
        answers = list(Answers(store).ask(model, requests))
        reasons = Counter(answer.failure for answer in answers)
        assert len(answers) == 400
        assert all(answer.text is not None or not answer.transient for answer in answers)
        assert set(reasons) == {
            None, "prompt too long", "content filter", "refusal", "no text beside its reasoning",
            "no text within max_tokens",
            "HTTP 400: Something about this request is wrong.",
        }  # fmt: skip
        with store.reading() as connection:
            (stored,) = connection.execute("SELECT count(*) FROM answers").fetchone()
            (good,) = connection.execute(
                "SELECT count(*) FROM answers WHERE standing = ?", (AnswerStatus.ANSWERED,)
            ).fetchone()
        assert stored == 400 and good == reasons[None]
        assert set(server.stats()["faults"]) == set(faults)
        sent = sum(server.stats()["attempts"].values())
        assert sent == sum(answer.usage.requests for answer in answers)
        store.close()

    def test_run_with_faults_gives_same_board(self, llm_server, place, fgbench):
        rates = dict.fromkeys(RETRIED_FAULTS, 0.05)
        calm, rough = llm_server(), llm_server(rates=rates, retry_after=0.1, stall=4)
        for name, server in (("calm", calm), ("rough", rough)):
            (place / name).mkdir()
            fgbench(*arguments(server, place / name, timeout=2))
        told = [board_of(place / name) for name in ("calm", "rough")]
        for board in told:
            for entry in board["entries"]:
                entry.pop("usage")
                entry.pop("checksums")  # of usage and notes, among others
                (entry["synthetic"] or {}).pop("notes", None)  # "usage estimated", after a fault
        assert told[0] == told[1]
        assert sum(rough.stats()["faults"].values()) > 20


def test_missing_server_features_are_noted_everywhere(llm_server, place, fgbench):
    server = llm_server(refuse_format="400")
    command = [each for each in arguments(server, place, structured="true") if each != "--json"]
    told = fgbench(*command, "--table").stdout
    (run,) = (place / "runs").iterdir()
    synthetic = json.loads((run / "leaderboard.json").read_text())["entries"][-1]["synthetic"]
    replies = sum(server.stats()["answered"].values())
    assert replies <= synthetic["notes"]["no structured output"] < 2 * replies
    assert synthetic["accepted"] == synthetic["requested"]  # the prompt asks for JSON as well
    (samples,) = (run / "samples").iterdir()
    for line in samples.read_text().splitlines():
        assert json.loads(line)["notes"] == ["no structured output", "served: tiny (fp_test)"]
    assert "no structured output (" in (run / "report.html").read_text()
    assert "Note: " in told and "no structured output" in " ".join(told.split())


def test_change_of_served_model_shows_on_board_and_console(llm_server, place, fgbench):
    server = llm_server(served=(("tiny-2024-08-06", 40), ("model-b", 10_000)))
    command = [each for each in arguments(server, place) if each != "--json"]
    told = " ".join(fgbench(*command).stdout.split())
    assert "model-b (fp_test), not tiny (" in told
    assert "tiny-2024-08-06 (fp_test) (" in told
    (run,) = (place / "runs").iterdir()
    notes = json.loads((run / "leaderboard.json").read_text())["entries"][-1]["synthetic"]["notes"]
    assert notes["served: tiny-2024-08-06 (fp_test)"] >= 40
    assert "served: model-b (fp_test), not tiny" in notes
    assert "model-b (fp_test), not tiny" in (run / "report.html").read_text()
    (samples,) = (run / "samples").iterdir()
    assert "served: model-b (fp_test), not tiny" in samples.read_text()


@pytest.mark.parametrize(
    ("fault", "words"), [("odd-400", "Mesh gateway says no"), ("cut-thoughts", "thinking_tokens=")]
)
def test_generator_that_never_answers_is_a_failure(llm_server, place, fgbench, fault, words):
    """An arm without a synthetic text would look like a result."""
    server = llm_server(always=fault)
    answer = fgbench(*arguments(server, place), code=1)
    assert words in answer.stderr
    assert sum(server.stats()["attempts"].values()) < 60
    arms = [entry["arm"] for entry in board_of(place)["entries"]]
    assert "baseline" in arms and "synthesis+" not in arms


def test_thinking_model_with_restrictions_generates(llm_server, place, fgbench):
    server = llm_server(always="thoughts", refuse=("temperature", "max_tokens"))
    fgbench(*arguments(server, place, thinking_tokens=2000, concurrency=1))
    (entry,) = [entry for entry in board_of(place)["entries"] if entry["arm"] == "synthesis+"]
    assert entry["synthetic"]["accepted"] == entry["synthetic"]["requested"] > 0
    assert "no temperature: the model's default" in entry["synthetic"]["notes"]
    limits = {body["max_completion_tokens"] for body in server.stats()["requests"][2:]}
    assert limits == {2512, 2040}


def test_killed_run_resumes_with_unanswered_requests_only(llm_server, place, fgbench):
    whole, killed = llm_server(), llm_server(latency=0.05)
    for name in ("whole", "killed"):
        (place / name).mkdir()
    fgbench(*arguments(whole, place / "whole"))
    total = sum(whole.stats()["attempts"].values())
    command = [*ENTRY, *map(str, arguments(killed, place / "killed", concurrency=4))]
    answered = set()
    for turn in (1, 2):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while sum(killed.stats()["answered"].values()) < turn * total // 3:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        answered |= stored(place / "killed" / "store")
    before = killed.stats()["attempts"]
    fgbench(*arguments(killed, place / "killed", concurrency=4))
    attempts = killed.stats()["attempts"]
    # A kill loses 4 requests in flight and up to 5 answers that are not stored yet.
    lost = 2 * (4 + 5)
    assert len(answered) >= 2 * (total // 3) - lost
    assert all(attempts[key] == before[key] for key in answered)
    assert sum(attempts.values()) <= total + lost
    assert len(attempts) == total
    assert board_of(place / "killed") == board_of(place / "whole")


def stored(folder):
    """Return what a store holds answers to, as the server counts it."""
    store = AnswerStore(folder / ANSWERS_FILE)
    keys = set()
    for record in store.records():
        value = json.loads(record.request)
        request = ChatRequest(
            messages=(), sampling=Sampling(), seed=value["seed"], draw=value["draw"]
        )
        body = {"model": "tiny", "messages": value["messages"], "seed": request.sampling_seed}
        if record.answer.ok:
            keys.add(content_key(body))
    store.close()
    return keys


class TestKey:
    """The server repeats the key that it was sent everywhere; the run must not leak it."""

    @pytest.fixture
    def environment(self):
        return os.environ | {"CANARY_KEY": CANARY, "OPENAI_LOG": "debug"}

    def everything(self, place, *answers):
        """Return everything a run wrote or printed."""
        texts = [answer.stdout + answer.stderr for answer in answers]
        files = [path for path in place.rglob("*") if path.is_file()]
        return "\n".join(texts + [path.read_bytes().decode("latin-1") for path in files])

    def run(self, place, command, environment):
        """Run a command, and look at the argument lists of all processes meanwhile."""
        process = subprocess.Popen(
            [*LOGGED, *map(str, command)],
            cwd=place,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        lists = set()
        while True:
            for each in psutil.process_iter(["cmdline"]):
                lists |= set(each.info["cmdline"] or ())
            try:
                out, err = process.communicate(timeout=0.2)
                break
            except subprocess.TimeoutExpired:
                continue
        assert not any(CANARY[:20] in item for item in lists)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def test_key_is_not_leaked_by_successful_run(self, llm_server, place, environment):
        rates = {"500": 0.1, "400": 0.1, "429-after": 0.1, "content-filter": 0.1}
        server = llm_server(api_key=CANARY, echo_key=True, rates=rates)
        command = arguments(server, place, api_key_env="CANARY_KEY")
        answer = self.run(place, command, environment)
        assert answer.returncode == 0, answer.stderr
        assert server.stats()["statuses"]["400"] > 0
        log = (place / "debug.log").read_text()
        assert "httpcore2" in log and "openai" in log, "the libraries did log"
        everything = self.everything(place, answer)
        assert "[key]" in everything
        assert CANARY[:20] not in everything

    @pytest.mark.parametrize("fault", ["401", "quota", "500"])
    def test_key_is_not_leaked_by_failures(self, llm_server, place, environment, fault):
        server = llm_server(always=fault, echo_key=True)
        command = arguments(server, place, api_key_env="CANARY_KEY", retries=0)
        answer = self.run(place, [*command, "--debug"], environment)
        assert answer.returncode == 1
        everything = self.everything(place, answer)
        assert "Traceback" in everything, "where tracebacks are told, they are looked at"
        assert server.url in answer.stderr or "got no answer" in answer.stderr
        assert CANARY[:20] not in everything

    def test_wrong_key_ends_run_with_one_error(self, llm_server, place, fgbench, environment):
        server = llm_server(api_key="another", latency=0.02)
        answer = fgbench(
            *arguments(server, place, api_key_env="CANARY_KEY"), code=1, env=environment
        )
        assert "rejects the key in the environment variable CANARY_KEY" in answer.stderr
        assert "Traceback (most recent call last)" not in answer.stderr
        assert sum(server.stats()["attempts"].values()) <= 16

    def test_password_in_url_is_refused_and_not_printed(self, place, fgbench):
        answer = fgbench(
            "run", "--dataset", "known-posterior",
            "--generator", f"openai:model=m,base_url=http://me:{CANARY}@host/v1", code=2,
        )  # fmt: skip
        assert "user name or a password" in answer.stderr
        assert CANARY[:20] not in self.everything(place, answer)


def test_ctrl_c_ends_pending_requests_promptly(llm_server, place):
    server = llm_server(always="hang", stall=60)
    process = subprocess.Popen(
        [*ENTRY, *map(str, arguments(server, place))],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not server.stats()["attempts"]:
        assert process.poll() is None
        time.sleep(0.05)
    start = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert time.monotonic() - start < 8
    assert process.returncode == 130
    assert "Traceback" not in said and "Warning" not in said
