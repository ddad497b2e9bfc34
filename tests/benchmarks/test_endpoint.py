"""What the client of endpoints adds to the server's latency, and what faults cost it.

The server stands in a process of its own and answers each request after 100 ms. Ideal is the
number of requests × latency ÷ concurrency. The ratio to the ideal is stated and not asserted:
server and client share what cores there are, and the bare client loses as much.
"""

import asyncio
import time

import pytest

from fgbench import Answers, ChatRequest, Message, Sampling
from fgbench.llm.answers import ANSWERS_FILE, AnswerStore
from fgbench_plugins.language_models.openai_endpoint import OpenAIChat
from support.llm_behavior import RETRIED_FAULTS
from support.llm_server import server_process

REQUESTS = 2000
LATENCY = 0.1
CONCURRENCY = 64
IDEAL = REQUESTS * LATENCY / CONCURRENCY
TEXT = "A text of a few words that stands for a source and its examples. " * 12


class NoCaps:
    def reserve(self, prompt_tokens, completion_tokens):
        return None

    def settle(self, receipt, prompt_tokens, completion_tokens):
        pass


def chats(count):
    for number in range(count):
        message = Message("user", f"{number}: {TEXT}")
        yield ChatRequest(messages=(message,), sampling=Sampling(temperature=0.1, max_tokens=64))


def timed(work):
    """Return the wall time and the CPU time of this process that `work` takes, and its value."""
    wall, cpu = time.perf_counter(), time.process_time()
    value = work()
    return time.perf_counter() - wall, time.process_time() - cpu, value


def ask(url, count=REQUESTS, **options):
    answers = []
    model = OpenAIChat("tiny", base_url=url, concurrency=CONCURRENCY, **options)
    model.answer(chats(count), NoCaps(), lambda request, answer: answers.append(answer))
    return answers


def ask_and_store(url, folder):
    """Ask as a run does: each answer is stored as it comes, and read from the store."""
    folder.mkdir()
    store = AnswerStore(folder / ANSWERS_FILE)
    model = OpenAIChat("tiny", base_url=url, concurrency=CONCURRENCY)
    answers = list(Answers(store).ask(model, list(chats(REQUESTS))))
    store.close()
    return answers


def bare(url, count=REQUESTS):
    """What one would write without fgbench: `gather` over `AsyncOpenAI` with a semaphore."""
    from openai import AsyncOpenAI

    async def main():
        room = asyncio.Semaphore(CONCURRENCY)
        async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:

            async def one(chat):
                async with room:
                    answer = await client.chat.completions.create(
                        model="tiny",
                        messages=[message._asdict() for message in chat.messages],
                        temperature=0.1,
                        max_tokens=64,
                        seed=chat.sampling_seed,
                    )
                    return answer.choices[0].message.content

            return await asyncio.gather(*map(one, chats(count)))

    return asyncio.run(main())


@pytest.mark.slow
def test_wall_time_against_ideal_and_bare_client(benchmark, tmp_path):
    with server_process(latency=LATENCY, keep_requests=False) as server:
        ask(server.url, 200), bare(server.url, 200)  # imports, and code that is warm
        ours, theirs, stored = [], [], []
        for turn in range(3):
            ours.append(timed(lambda: ask(server.url)))
            theirs.append(timed(lambda: bare(server.url)))
            stored.append(timed(lambda: ask_and_store(server.url, tmp_path / f"{turn}")))  # noqa: B023
        benchmark.pedantic(ask, args=(server.url, 200), rounds=1)
    assert all(len(run[2]) == REQUESTS for run in (*ours, *stored))
    assert all(answer.ok for run in (*ours, *stored) for answer in run[2])
    (wall, cpu), (other, other_cpu), (whole, whole_cpu) = (
        min(runs)[:2] for runs in (ours, theirs, stored)
    )
    benchmark.extra_info |= {
        "to_ideal": wall / IDEAL, "to_bare": wall / other, "stored_to_ideal": whole / IDEAL,
        "wall_s": wall, "cpu_s": cpu, "bare_s": other, "bare_cpu_s": other_cpu,
        "stored_s": whole, "stored_cpu_s": whole_cpu, "ideal_s": IDEAL,
    }  # fmt: skip
    print({name: round(value, 3) for name, value in benchmark.extra_info.items()})
    assert wall <= 1.10 * other


@pytest.mark.slow
def test_wall_time_with_faults(benchmark):
    """5 % of the requests meet each fault, at their first attempt, all faults at once."""
    rates = dict.fromkeys(RETRIED_FAULTS, 0.05)
    options = {"timeout": 2.0, "backoff": 0.1}
    behavior = {"latency": LATENCY, "retry_after": 0.5, "stall": 4.0, "keep_requests": False}
    with server_process(**behavior) as good, server_process(rates=rates, **behavior) as bad:
        ask(good.url, 200)
        clean, _, _ = timed(lambda: ask(good.url, **options))
        faulty, cpu, answers = timed(lambda: ask(bad.url, **options))
        stats = bad.stats()
        benchmark.pedantic(ask, args=(good.url, 200), rounds=1)
    met = sum(stats["attempts"].values()) - REQUESTS
    assert len(answers) == REQUESTS and all(answer.ok for answer in answers)
    assert set(stats["faults"]) == set(RETRIED_FAULTS) and met > 0.8 * REQUESTS
    # What the faults impose: a slot for each further attempt, and until the timeout for each that
    # never ends; at the end, the wait of the last one.
    silent = stats["faults"]["hang"] + stats["faults"]["stall"]
    imposed = (met * LATENCY + silent * (options["timeout"] - LATENCY)) / CONCURRENCY + 0.5
    benchmark.extra_info |= {
        "clean_s": clean, "faulty_s": faulty, "imposed_s": imposed, "faults": met, "cpu_s": cpu,
        "beyond": (faulty - imposed) / clean,
    }  # fmt: skip
    print({name: round(value, 3) for name, value in benchmark.extra_info.items()})
    assert faulty - imposed <= 1.5 * clean
