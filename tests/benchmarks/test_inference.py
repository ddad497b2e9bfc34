"""Inference: `hf` beside transformers' `Trainer.predict` and pipeline, in turns in one run.

All sides have the same weights, so that what they say is the same, and all tokenise.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from support.transformer_peers import (  # noqa: E402
    BATCH,
    MAX_LENGTH,
    Rows,
    clock,
    forward_operations,
    matmul_peak,
    peer,
    seconds,
    train,
    trainer,
    tweets,
)

pytestmark = [pytest.mark.slow, pytest.mark.benchmark(group="inference", timer=clock)]
TEXTS, PADDED, ROUNDS = 512, 16, 3


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Return our classifier, and transformers' with the same weights and its tokenizer."""
    from safetensors.torch import load_file

    folder = tmp_path_factory.mktemp("weights")
    ours = train(*tweets(0, 64), epochs=2)
    ours.save(folder)
    model, tokenizer = peer()
    names = {"encoder": "bert", "linear": "classifier"}
    weights = {
        f"{names[name.partition('.')[0]]}.{name.partition('.')[2]}": value
        for name, value in load_file(folder / "weights.safetensors").items()
    }
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected and all("position_ids" in name for name in missing)
    return ours, model.eval(), tokenizer


def with_trainer(texts, model, tokenizer, folder, padding):
    made = trainer(model, tokenizer, folder, padding)
    nothing = np.zeros(len(texts), dtype=np.int64)
    return made.predict(Rows(tokenizer, texts, nothing)).predictions


def with_pipeline(texts, model, tokenizer):
    from transformers import pipeline

    made = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")
    options = {"batch_size": BATCH, "truncation": True, "max_length": MAX_LENGTH}
    said = made(texts, top_k=None, function_to_apply="none", **options)
    scores = [{item["label"]: item["score"] for item in answer} for answer in said]
    return np.array([[answer["LABEL_0"], answer["LABEL_1"]] for answer in scores])


@pytest.mark.parametrize(
    ("side", "count", "least"),
    [("longest", TEXTS, 1.15), ("pipeline", TEXTS, 1.15), ("max_length", PADDED, 2)],
)
def test_inference(benchmark, both, tmp_path, side, count, least):
    ours, model, tokenizer = both
    texts, _ = tweets(1000, 1000 + TEXTS)
    theirs, peaks, said = [], [], []

    def first_the_peer():
        peaks.append(matmul_peak())
        if side == "pipeline":
            took, logits = seconds(lambda: with_pipeline(texts, model, tokenizer))
        else:
            took, logits = seconds(
                lambda: with_trainer(texts[:count], model, tokenizer, tmp_path, side)
            )
        theirs.append(took)
        said.append(logits)

    def then_we():
        return ours.predict(texts, frozenset({"logits"})).logits

    then_we()
    with torch.inference_mode():  # the pipeline does so too
        logits = benchmark.pedantic(then_we, setup=first_the_peer, rounds=ROUNDS)
    np.testing.assert_allclose(logits[:count], said[-1], atol=1e-4)
    took = benchmark.stats.stats.min
    rate, their_rate = TEXTS / took, count / min(theirs)
    benchmark.extra_info.update(
        ratio=rate / their_rate,
        samples_per_second=rate,
        peers_samples_per_second=their_rate,
        matmul_peak_gflops=max(peaks) / 1e9,
        share_of_matmul_peak=forward_operations(texts) / took / max(peaks),
    )
    print(benchmark.extra_info)
    assert rate >= least * their_rate
