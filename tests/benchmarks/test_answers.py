"""What storing language models' answers costs: time of a warm ask, memory, room on the disk."""

import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from fgbench import Answers, ChatAnswer, Usage
from fgbench.digests import digest
from fgbench.llm.answers import AnswerStore
from fgbench.llm.budget import Caps, Ledger
from fgbench.llm.keys import request_keys
from support.chat import Echo, request

WORDS = [f"{a}{b}{c}" for a in "bdklmnprst" for b in "aeiou" for c in ("n", "rt", "ls", "")]


class Prompts(Sequence):
    """Requests of about 3 KB that share their beginning, each made when it is looked at."""

    def __init__(self, count, shared=2700):
        self.count = count
        self.prefix = self.text(random.Random(0), shared)

    def __len__(self):
        return self.count

    def __getitem__(self, number):
        if not 0 <= number < self.count:
            raise IndexError(number)
        rng = random.Random(number)
        return request(f"{self.prefix} {self.text(rng, 300)} {number}", temperature=0.1)

    @staticmethod
    def text(rng, size):
        return " ".join(rng.choice(WORDS) for _ in range(size // 4))


class Short(Prompts):
    def __getitem__(self, number):
        if number >= self.count:
            raise IndexError(number)
        return request(f"{number}")


class Quick(Echo):
    def answer(self, requests, spending, deliver):
        for item in requests:
            receipt = spending.reserve(800, item.sampling.max_tokens)
            spending.settle(receipt, 800, 40)
            said = f"reply {item.messages[-1].content[-40:]}"
            deliver(item, ChatAnswer(text=said, usage=Usage(1, 800, 40)))


@pytest.mark.slow
def test_ask_10000_stored_answers(benchmark, tmp_path):
    """No request, and under a second: keys of 3 KB prompts, and an answer read for each."""
    store = AnswerStore(tmp_path / "answers.sqlite")
    asked = list(Prompts(10_000))
    first = list(Answers(store).ask(Quick(), asked))
    model = Quick()
    found = benchmark.pedantic(
        lambda: list(Answers(store).ask(model, asked)), rounds=3, warmup_rounds=1
    )
    assert found == first
    assert model.calls == 0
    store.close()
    prompts = sum(len(item.messages[-1].content) for item in asked)
    benchmark.extra_info["bytes_per_answer"] = store.size() / len(asked)
    benchmark.extra_info["bytes_of_prompt"] = prompts / len(asked)
    assert benchmark.stats.stats.min < 1.0


@pytest.mark.slow
def test_answer_keys_are_faster_than_their_definition(benchmark):
    asked = list(Prompts(2_000))
    model = Echo()
    keys = benchmark.pedantic(lambda: request_keys(model.identity, asked), rounds=3)
    defined = b"".join(
        bytes.fromhex(digest({"model": model.identity, **item.to_value()})) for item in asked
    )
    assert keys == defined


@pytest.mark.slow
@pytest.mark.parametrize("caps", [Caps(), Caps(requests=10**9)], ids=["no caps", "caps"])
def test_store_an_answer(benchmark, tmp_path, caps):
    """From the model's answer to the disk, its place in the budget included."""
    turns = iter(range(100))
    asked = list(Prompts(2_000))

    def setup():
        store = AnswerStore(tmp_path / f"{next(turns)}.sqlite")
        return (Answers(store, ledger=Ledger(store, "run", caps)),), {}

    benchmark.pedantic(lambda answers: answers.ask(Quick(), asked), setup=setup, rounds=3)
    benchmark.extra_info["ms_per_answer"] = 1000 * benchmark.stats.stats.min / len(asked)


MEASURE = """
import sys
from pathlib import Path
sys.path += sys.argv[3:]
from test_answers import Quick, Short
from fgbench import Answers
from fgbench.llm.answers import AnswerStore
store, count = AnswerStore(Path(sys.argv[1])), int(sys.argv[2])
assert sum(1 for _ in Answers(store).ask(Quick(), Short(count))) == count
# Not getrusage: its peak has the parent's in it.
(peak,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(peak.split()[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read as Linux has it, in KiB")
def test_memory_does_not_grow_with_requests(tmp_path):
    """100,000 requests from a lazy sequence through the model to the store and back."""
    here = Path(__file__).parent
    peaks = {}
    for count in (10_000, 100_000):
        file = str(tmp_path / f"{count}.sqlite")
        command = [sys.executable, "-c", MEASURE, file, str(count), str(here), str(here.parent)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        peaks[count] = 1024 * int(answer.stdout)
    per_request = (peaks[100_000] - peaks[10_000]) / 90_000
    print(f"{per_request:.0f} bytes of memory a request")
    # A key has 32 bytes, and is copied once while they are gathered.
    assert per_request < 100
