"""What generation will take, before any of it: for plans."""

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
    """Return about what one round takes that asks once for each source, by up to 20 of them.

    `relabeler` is the one that labels, if it is another than the `generator`. Where the targets are
    not known yet (None), every selection point counts as a source.
    """
    if sources is None:
        even = (1.0 / dataset.n_classes,) * dataset.n_classes
        sources = [Source(row, 0, even, even) for row in range(len(selection))]
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
        labelling = relabeler.expected_relabeling(task, [request.source for request in requests])
        usage += scaled(labelling, generator.candidates_per_request)
    return scaled(usage, len(sources) / len(requests))


def expected_classifying(classifier: Classifier, dataset: Dataset, *, seed: int) -> Usage:
    """Return about what it takes a classifier that is not trained to predict both held-out splits.

    That is none of the generation's: a language model that classifies is asked once for each text.
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
