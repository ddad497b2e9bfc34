"""Fine-tuning: `hf` beside the Hugging Face `Trainer`, in turns in one run, on real tweets.

MiniLM, batch 32, max length 512. Rates hold tokenisation and training, not the loading of the
pretrained weights. Accuracies are of the same test rows, three seeds a side.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from support.transformer_peers import (
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

pytestmark = [pytest.mark.slow, pytest.mark.benchmark(group="fine-tuning", timer=clock)]
TRAINING, TEST, PADDED, EPOCHS, SEEDS = 480, 400, 16, 3, (0, 1, 2)
TEXTS = 640
"""Without accuracy; what is compared with the trainer that pads to 512 are rates."""


def trainers(texts, labels, seed, epochs, padding, folder):
    """Return the CPU time of a training by the trainer, and the trainer with its tokenizer."""
    model, tokenizer = peer(seed)

    def call():
        rows = Rows(tokenizer, texts, labels)
        made = trainer(model, tokenizer, folder, padding, rows, seed=seed, epochs=epochs)
        made.train()
        return made, tokenizer

    return seconds(call)


def test_dynamic_padding(benchmark, tmp_path):
    texts, labels = tweets(0, TRAINING)
    held, truth = tweets(TRAINING, TRAINING + TEST)
    train(texts[:16], labels[:16], epochs=1)  # the first call loads the weights
    trainers(texts[:16], labels[:16], 0, 1, "longest", tmp_path)
    theirs, their_hits, our_hits, peaks = [], [], [], []
    seeds = iter(SEEDS)

    def first_the_trainer():
        seed = next(seeds)
        peaks.append(matmul_peak())
        took, (made, tokenizer) = trainers(texts, labels, seed, EPOCHS, "longest", tmp_path)
        theirs.append(took)
        logits = made.predict(Rows(tokenizer, held, truth)).predictions
        their_hits.append((logits.argmax(axis=1) == truth).mean())
        return (seed,), {}

    trained = {}

    def then_we(seed):
        trained[seed] = train(texts, labels, seed=seed, epochs=EPOCHS)

    def look(seed):
        logits = trained.pop(seed).predict(held, frozenset({"logits"})).logits
        our_hits.append((logits.argmax(axis=1) == truth).mean())

    benchmark.pedantic(then_we, setup=first_the_trainer, teardown=look, rounds=len(SEEDS))
    ours = benchmark.stats.stats.min
    seen = EPOCHS * TRAINING
    ratio = min(theirs) / ours
    share = 3 * EPOCHS * forward_operations(texts) / ours / max(peaks)
    spread = np.sqrt((np.var(our_hits, ddof=1) + np.var(their_hits, ddof=1)) / len(SEEDS))
    benchmark.extra_info.update(
        ratio=ratio,
        samples_per_second=seen / ours,
        trainer_samples_per_second=seen / min(theirs),
        matmul_peak_gflops=max(peaks) / 1e9,
        share_of_matmul_peak=share,
        accuracy=[float(value) for value in our_hits],
        trainer_accuracy=[float(value) for value in their_hits],
        standard_error_of_difference=float(spread),
    )
    print(benchmark.extra_info)
    assert ratio >= 1.15
    assert abs(np.mean(our_hits) - np.mean(their_hits)) <= 3 * spread + 0.01
    assert min(np.mean(our_hits), np.mean(their_hits)) > max(truth.mean(), 1 - truth.mean()) + 0.05


def test_padding_to_the_maximum_length(benchmark, tmp_path):
    texts, labels = tweets(0, TEXTS)
    train(texts[:PADDED], labels[:PADDED], epochs=1)
    theirs = []

    def first_the_trainer():
        took, _ = trainers(texts[:PADDED], labels[:PADDED], 0, 1, "max_length", tmp_path)
        theirs.append(took)

    benchmark.pedantic(lambda: train(texts, labels, epochs=1), setup=first_the_trainer, rounds=1)
    rate, their_rate = TEXTS / benchmark.stats.stats.min, PADDED / min(theirs)
    benchmark.extra_info.update(
        ratio=rate / their_rate, samples_per_second=rate, trainer_samples_per_second=their_rate
    )
    print(benchmark.extra_info)
    assert rate >= 2 * their_rate


MEMORY = """
import sys
from support.transformer_peers import Rows, peer, train, trainer, tweets
texts, labels = tweets(0, {count})
if sys.argv[1] == "ours":
    train(texts, labels, epochs=1)
else:
    model, tokenizer = peer()
    trainer(model, tokenizer, sys.argv[2], sys.argv[1], Rows(tokenizer, texts, labels)).train()
status = open("/proc/self/status").read()  # ru_maxrss would begin with the parent's
print("peak", status.partition("VmHWM:")[2].split()[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_peak_memory(tmp_path):
    peaks = {}
    for side in ("ours", "longest"):
        answer = subprocess.run(
            [sys.executable, "-c", MEMORY.format(count=TEXTS), side, str(tmp_path)],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=500,
        )
        assert answer.returncode == 0, answer.stderr
        peaks[side] = int(answer.stdout.rpartition("peak ")[2]) / 1024
    print(f"peak memory, MiB: {peaks['ours']:.0f}, the trainer's {peaks['longest']:.0f}")
    assert peaks["ours"] <= 1.1 * peaks["longest"]
