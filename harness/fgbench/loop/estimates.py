"""Estimates of what generation and classification by a language model cost, for plans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fgbench.digests import seed_for
from fgbench.loop.arms import training_set
from fgbench.loop.filling import as_input, generation_task
from fgbench.loop.targeting import Source
from fgbench.parts.generator import GenerationRequest
from fgbench.usage import Usage

if TYPE_CHECKING:
    from fgbench.data import Dataset, IntArray
    from fgbench.parts.classifier import Classifier
    from fgbench.parts.dataset import DatasetLoader
    from fgbench.parts.generator import Generator

SAMPLE = 20
"""Number of sources from which the usage of a round is estimated."""


def expected_usage(
    generator: Generator,
    relabeler: Generator | None,
    dataset: Dataset,
    loader: DatasetLoader,
    sources: Sequence[Source] | None,
    selection: IntArray,
    *,
    seed: int,
    examples_per_class: int,
) -> Usage:
    """Estimate the usage of one round, with one request per source, from up to `SAMPLE` sources.

    `relabeler` labels the candidates if the `generator` does not. If `sources` is None, they are
    not known yet: every selection row counts as one.
    """
    if sources is None:
        uniform = (1.0 / dataset.n_classes,) * dataset.n_classes
        sources = [Source(row, 0, uniform, uniform) for row in range(len(selection))]
    if not sources:
        return Usage()
    task = generation_task(dataset, loader, seed=seed, examples_per_class=examples_per_class)
    validation = dataset.splits["validation"]
    requests = []
    for position in range(0, len(sources), -(-len(sources) // SAMPLE)):
        source = sources[position]
        row = int(selection[source.row])
        requests.append(
            GenerationRequest(
                source=as_input(validation.inputs, row),
                label=int(validation.labels[row]),
                bin=source.bin,
                bin_probabilities=source.bin_probabilities,
                asked_probabilities=source.asked_probabilities,
                source_id=position,
            )
        )
    usage = generator.expected_usage(task, requests)
    if relabeler is not None:
        relabeling = relabeler.expected_relabeling(task, [request.source for request in requests])
        usage += scaled(relabeling, generator.candidates_per_request)
    return scaled(usage, len(sources) / len(requests))


def expected_classifying(classifier: Classifier, dataset: Dataset, *, seed: int) -> Usage:
    """Estimate the usage of a classifier that is not trained, on both held-out splits.

    A language model that classifies gets one request per text.
    """
    nothing: dict[str, list[int]] = {"validation": [], "duplicates": [], "synthetic": []}
    training = training_set(dataset, nothing)
    usage = Usage()
    for name in ("validation", "test"):
        inputs = dataset.splits[name].inputs
        usage += classifier.expected_usage(
            training, inputs, seed=seed_for("training", seed) % 2**32
        )
    return usage


def scaled(usage: Usage, factor: float) -> Usage:
    """Return a multiple of a usage, in whole requests and tokens."""
    return Usage(
        round(usage.requests * factor),
        round(usage.prompt_tokens * factor),
        round(usage.completion_tokens * factor),
        usage.cost_usd * factor,
    )
