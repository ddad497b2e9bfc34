"""What a user waits for on `known-posterior`: its posteriors, and the texts of `ngram`.

Seconds are of the processor: of the clock where the machine does nothing else.
"""

import time

import pytest

from fgbench import GenerationRequest, GenerationTask
from fgbench_plugins.datasets.known_posterior import KnownPosterior
from fgbench_plugins.generators.ngram import NgramGenerator


def known_posterior(**parameters):
    return KnownPosterior.create(parameters, name="known-posterior")


def test_ten_thousand_posteriors_take_less_than_a_second():
    data = known_posterior(train=10_000)
    texts = data.load(None).splits["train"].inputs
    data.posterior(texts[:1])
    started = time.process_time()
    data.posterior(texts)
    assert time.process_time() - started < 1


@pytest.mark.parametrize("n_classes", [2, 3])
def test_two_hundred_requests_take_less_than_a_second(n_classes):
    splits = known_posterior(classes=n_classes, train=300, validation=200, test=5).load(None).splits
    names = tuple(f"class {label}" for label in range(n_classes))
    generator = NgramGenerator.create({}, name="ngram")
    generator.prepare(
        GenerationTask(
            dataset_name="messages",
            task="a message",
            label_names=names,
            label_descriptions=names,
            training=splits["train"],
            examples=((),) * n_classes,
            dataset=None,
            seed=0,
        )
    )
    uniform = (1 / n_classes,) * n_classes
    requests = [
        GenerationRequest(
            source=splits["validation"].inputs[number],
            label=0,
            bin=0,
            bin_probabilities=uniform,
            asked_probabilities=uniform,
            source_id=number,
            draw=0,
        )
        for number in range(200)
    ]
    generator.generate(requests[:5])
    started = time.process_time()
    generator.generate(requests)
    assert time.process_time() - started < 1
