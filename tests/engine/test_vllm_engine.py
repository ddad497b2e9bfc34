"""vLLM's offline engine in this process, on a tiny Llama with random weights."""

from __future__ import annotations

import json
import os

import psutil
import pytest

import fgbench
from fgbench import BudgetError, ConfigurationError
from fgbench_plugins.language_models.local_model import LocalModel
from fgbench_plugins.language_models.vllm_engine import VllmChat, VllmSettings
from support.tiny_llama import NoCaps, ask, chat

SYSTEM = "Write short and diverse texts, and label each of them. " * 6
LABELS = {
    "type": "object",
    "properties": {"label": {"enum": ["refund", "printer"]}},
    "required": ["label"],
    "additionalProperties": False,
}


def engine(folder, **settings):
    usual = {"dtype": "float32", "max_model_len": 512, "enforce_eager": True, "block_size": 32}
    return VllmChat(LocalModel(str(folder), "main"), VllmSettings(**(usual | settings)))


@pytest.fixture(scope="module")
def model(tiny):
    yield engine(tiny)
    fgbench.release_resident()


def mixed(count=12):
    return [
        chat(
            "printer " * (number % 5),
            system=SYSTEM,
            draw=number,
            temperature=(0.0, 0.1, 1.3)[number % 3],
            top_p=(1.0, 0.8)[number % 2],
            max_tokens=3 + number,
            schema=LABELS if number % 4 == 0 else None,
        )
        for number in range(count)
    ]


def test_answer_depends_only_on_its_request(model):
    requests = mixed()
    together = [answer.text for answer in ask(model, requests)]
    assert [answer.text for answer in ask(model, requests)] == together
    assert [answer.text for answer in ask(model, requests[::-1])][::-1] == together
    assert [ask(model, [request])[0].text for request in requests] == together
    assert len(set(together)) > len(together) / 2


def test_chunked_prompt_is_sampled_with_its_own_seed(model):
    # More tokens than go through the model in one step: prompts must not be chunked.
    requests = [
        chat(f"{n} " + "order " * 300, draw=n, temperature=1, max_tokens=4) for n in range(40)
    ]
    together = ask(model, requests)
    assert [ask(model, [request])[0].text for request in requests[-3:]] == [
        answer.text for answer in together[-3:]
    ]


def test_shared_prompt_prefix_is_computed_once(tiny):
    model = engine(tiny)
    ask(model, [chat(f"text {n}", system=SYSTEM, max_tokens=2) for n in range(20)])
    assert model.prompt_tokens > 0
    assert model.cached_tokens / model.prompt_tokens > 0.5


def test_schema_is_enforced(model):
    requests = [
        chat("which?", draw=n, temperature=1, max_tokens=40, schema=LABELS) for n in range(12)
    ]
    answers = ask(model, requests)
    labels = {json.loads(answer.text)["label"] for answer in answers}
    assert labels <= {"refund", "printer"}
    assert {answer.finish_reason for answer in answers} == {"stop"}
    assert all(not answer.notes for answer in answers)


def test_refused_schema_is_left_out_and_noted(model):
    bad = {"type": "object", "additionalProperties": "not a schema"}
    refused, held = ask(
        model, [chat("x", max_tokens=3, schema=bad), chat("x", max_tokens=40, schema=LABELS)]
    )
    assert refused.ok and refused.notes == ("no structured output",)
    assert json.loads(held.text) and not held.notes


def test_answers_and_logprobs_match_transformers(model, tiny):
    import torch
    import transformers

    by_hand = transformers.AutoModelForCausalLM.from_pretrained(tiny, dtype="float32").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny)
    request = chat("my printer", max_tokens=12, top_logprobs=5)
    (answer,) = ask(model, [request])
    ids = tokenizer.apply_chat_template(
        [message._asdict() for message in request.messages],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )["input_ids"]
    with torch.inference_mode():
        logprobs = by_hand(ids).logits[0, -1].log_softmax(dim=-1).topk(5).values
        said = by_hand.generate(ids, max_new_tokens=12, do_sample=False)[0, ids.shape[1] :]
    assert answer.text == tokenizer.decode(said, skip_special_tokens=True)
    assert answer.usage.prompt_tokens == ids.shape[1]
    alternatives = [logprob for _, logprob in answer.tokens[0].alternatives]
    assert alternatives == pytest.approx(logprobs.tolist(), abs=1e-3)


def test_too_long_prompt_fails_alone(model):
    long, short = ask(model, [chat("a b " * 400, max_tokens=4), chat("short", max_tokens=4)])
    assert (long.text, long.failure) == (None, "prompt too long")
    assert short.ok


def test_reserved_requests_are_answered_at_cap(model):
    spending = NoCaps(reservations=5)
    with pytest.raises(BudgetError) as caught:
        ask(model, [chat("x", draw=n, max_tokens=2) for n in range(9)], spending)
    assert [answer is not None for answer in caught.value.delivered] == [True] * 5 + [False] * 4
    assert spending.open == 0
    assert ask(model, [chat("x", max_tokens=2)])[0].ok


def test_seed_changes_answers(model, tiny):
    request = chat("x", temperature=1, max_tokens=10)
    (one,) = ask(model, [request])
    (other,) = ask(engine(tiny, seed=1), [request])
    assert one.text != other.text


def test_unloadable_model_is_one_error(tiny):
    fgbench.release_resident()
    with pytest.raises(
        ConfigurationError, match=r"^vllm cannot load 'tiny-llama' \(.*\); try changing .*\.$"
    ):
        ask(engine(tiny, quantization="no-such-method"), [chat("x")])


def test_unloading_frees_memory_and_restores_torch(tiny):
    """Training a classifier afterwards in the same process must work as before."""
    import torch

    from fgbench_plugins.losses.cross_entropy import CrossEntropy
    from support.tiny_bert import classifier, save_tiny, training_set

    fgbench.release_resident()
    process = psutil.Process()
    environment, set_threads = dict(os.environ), torch.set_num_threads
    random = torch.random.get_rng_state()
    ask(engine(tiny), [chat("x", max_tokens=2)])
    assert torch.equal(torch.random.get_rng_state(), random)
    loaded = process.memory_info().rss
    fgbench.release_resident()
    freed = loaded - process.memory_info().rss
    print(f"loaded {loaded / 2**20:.0f} MiB, freed {freed / 2**20:.0f} MiB")
    assert freed > 0.9 * 2**30  # the cache of keys and values alone has 1 GiB
    assert not torch.distributed.is_initialized()
    assert dict(os.environ) == environment and torch.set_num_threads is set_threads
    save_tiny(tiny.parent / "bert")
    part = classifier(tiny.parent / "bert")
    part.fit(training_set(), loss=CrossEntropy(), seed=0)
    assert part.predict(["rain good"], frozenset()).logits.shape == (1, 2)
    assert ask(engine(tiny), [chat("x", max_tokens=2)])[0].ok  # and it can be loaded again
