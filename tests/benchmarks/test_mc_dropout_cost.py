"""What stochastic passes cost: ten beside one beside none, in turns in one run."""

from statistics import fmean

import pytest

torch = pytest.importorskip("torch")
from support.transformer_peers import classifier, clock, peer, seconds, train, tweets  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.benchmark(group="MC dropout", timer=clock)]
TEXTS, ROUNDS = 64, 5
PLAIN, STOCHASTIC = frozenset({"logits"}), frozenset({"logits", "stochastic_logits"})


def test_ten_mc_dropout_passes_cost(benchmark, tmp_path):
    train(*tweets(0, 64), epochs=1).save(tmp_path)
    one, ten = classifier(passes=1), classifier(passes=10)
    one.load(tmp_path)
    ten.load(tmp_path)
    texts, _ = tweets(1000, 1000 + TEXTS)
    plain_took, one_took = [], []

    def first_the_others():
        plain_took.append(seconds(lambda: one.predict(texts, PLAIN))[0])
        one_took.append(seconds(lambda: one.predict(texts, STOCHASTIC))[0])

    ten.predict(texts, PLAIN)  # the first call is slower
    benchmark.pedantic(
        lambda: ten.predict(texts, STOCHASTIC), setup=first_the_others, rounds=ROUNDS
    )
    plain, single, all_ten = fmean(plain_took), fmean(one_took), benchmark.stats.stats.mean
    benchmark.extra_info.update(
        plain_seconds=plain,
        ten_passes_over_plain=(all_ten - plain) / plain,
        one_pass_over_plain=(single - plain) / plain,
        ten_passes_over_one=(all_ten - plain) / (single - plain),
        sharable=sharable(texts),
    )
    print(benchmark.extra_info)
    assert all_ten <= 10 * single  # both with the plain pass, which logits need
    assert all_ten - plain <= 10 * 1.1 * (single - plain)  # without it; a tenth for the clock


def sharable(texts):
    """Return which share of a pass lies before the first dropout: the sum of the embeddings.

    Taken without dropout, so that it errs upwards.
    """
    model, tokenizer = peer()
    encoder = model.bert.eval()
    texts = sorted(texts, key=len)
    batches = [
        tokenizer(texts[at : at + 32], padding=True, return_tensors="pt")["input_ids"]
        for at in range(0, len(texts), 32)
    ]
    with torch.inference_mode():
        return fastest(encoder.embeddings, batches) / fastest(encoder, batches)


def fastest(module, batches):
    return min(seconds(lambda: [module(input_ids=ids) for ids in batches])[0] for _ in range(5))
