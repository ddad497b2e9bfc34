"""The contract of a generator."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fgbench.loop.filling import as_input, generation_task
from fgbench.parts.generator import (
    Candidate,
    GenerationRequest,
    GenerationResult,
    GenerationTask,
    Generator,
    Relabeling,
    RelabelRequest,
)
from fgbench.testing.common import check_distribution, check_part, fail, global_state, near, twin
from fgbench.testing.datasets import load

if TYPE_CHECKING:
    from fgbench.cards import DataFolder
    from fgbench.data import Dataset
    from fgbench.parts.dataset import DatasetLoader

_SEED = 11
_TOLERANCE = 1e-6


def check_generator(
    generator: Generator,
    loader: DatasetLoader,
    folder: DataFolder | None = None,
    *,
    requests: int = 8,
) -> None:
    """Check that a generator's results depend on the request and the seed only.

    It is prepared for the data set of `loader`, which must provide what it needs, and gets requests
    for the first `requests` rows of the validation split. The checks: one result per request;
    inputs of the data set's form, or a rejection; valid probabilities and labels, all of it JSON;
    the same results from a second generator, in another order, and one request at a time;
    relabeling that does not depend on a candidate's intended label; an unchanged training split.
    Raises `PluginError`.
    """
    check_part(generator, Generator)
    dataset = load(loader, folder)
    missing = sorted(generator.needs - dataset.provides - loader.provides - {"gpu"})
    if missing:
        fail(generator, f"it needs {missing[0]!r}, which this data set does not provide: use a "
             "data set that does")  # fmt: skip
    asked = _requests(dataset, requests)
    before = dataset.digest
    task = generation_task(dataset, loader, seed=_SEED, examples_per_class=3)
    with global_state(1):
        results, labels = _answers(generator, twin(generator), task, asked)
    _check_results(generator, dataset, results)
    _check_relabelings(generator, dataset, labels)
    if replace(dataset).digest != before:
        fail(generator, "it changes the training split")

    with global_state(2):
        repeated = _answers(generator, twin(generator), task, asked)
    if not _same(repeated, (results, labels)):
        fail(
            generator,
            "a second one returns other results; draw from default_rng(seed_for(task.seed, …))",
        )
    reverse = _answers(generator, twin(generator), task, asked[::-1])
    if not _same((reverse[0][::-1], reverse[1][::-1]), (results, labels)):
        fail(generator, "its results depend on the order of the requests")
    _check_one_at_a_time(generator, task, asked, (results, labels))


Answers = tuple[list[GenerationResult], list[list[Relabeling]]]
"""The result of each request, and the relabelings of its usable candidates."""


def _requests(dataset: Dataset, count: int) -> list[GenerationRequest]:
    """Return two requests per source (`draw` 0 and 1), with probabilities from low to high."""
    split = dataset.splits["validation"]
    rows = range(min(count, len(split)))
    inputs = tuple(as_input(split.inputs, row) for row in rows)
    requests = []
    for row in rows:
        label = int(split.labels[row])
        top = 0.55 + 0.4 * row / len(rows)
        rest = (1 - top) / (dataset.n_classes - 1)
        favored = (label + row) % dataset.n_classes
        asked = tuple(top if k == favored else rest for k in range(dataset.n_classes))
        requests += [
            GenerationRequest(
                source=inputs[row],
                label=label,
                bin=row,
                bin_probabilities=(1 / dataset.n_classes,) * dataset.n_classes,
                asked_probabilities=asked,
                source_id=row,
                draw=draw,
                bin_inputs=inputs,
            )
            for draw in (0, 1)
        ]
    return requests


def _answers(
    generator: Generator,
    prepared: Generator,
    task: GenerationTask,
    asked: Sequence[GenerationRequest],
) -> Answers:
    """Prepare, generate, relabel and close, as the loop does."""
    try:
        prepared.prepare(task)
        results = list(prepared.generate(asked))
        if len(results) != len(asked):
            fail(generator, f"generate returned {len(results)} results for {len(asked)} requests")
        return results, _relabeled(generator, prepared, asked, results)
    finally:
        prepared.close()


def _relabeled(
    generator: Generator,
    prepared: Generator,
    asked: Sequence[GenerationRequest],
    results: Sequence[GenerationResult],
) -> list[list[Relabeling]]:
    usable = [_usable(result) for result in results]
    candidates_to_label = [
        RelabelRequest(item.input, request)
        for request, candidates in zip(asked, usable, strict=True)
        for item in candidates
        if item.input is not None
    ]
    if not candidates_to_label:
        fail(generator, f"none of its results for {len(asked)} requests has an input")
    answers = list(prepared.relabel(candidates_to_label))
    if len(answers) != len(candidates_to_label):
        fail(
            generator,
            f"relabel returned {len(answers)} answers for {len(candidates_to_label)} requests",
        )
    feed = iter(answers)
    return [[next(feed) for _ in candidates] for candidates in usable]


def _usable(result: GenerationResult) -> list[Candidate]:
    return [item for item in result.candidates if item.input is not None]


def _check_results(
    generator: Generator, dataset: Dataset, results: Sequence[GenerationResult]
) -> None:
    source = as_input(dataset.splits["train"].inputs, 0)
    for result in results:
        for candidate in result.candidates:
            if candidate.input is None:
                if not candidate.rejection:
                    fail(
                        generator,
                        "a candidate without an input must give the reason in `rejection`",
                    )
                continue
            if isinstance(source, str) != isinstance(candidate.input, str) or (
                not isinstance(source, str) and len(candidate.input) != len(source)
            ):
                fail(generator, f"a candidate is {candidate.input!r}, not an input like {source!r}")
            if candidate.claimed_probabilities is not None:
                claimed = candidate.claimed_probabilities
                check_distribution(generator, "claimed_probabilities", claimed, dataset.n_classes)
            values = [candidate.input, candidate.raw, candidate.claimed_probabilities]
            _check_json(generator, "a candidate", values)
        _check_json(generator, "the messages", [dict(message) for message in result.messages])


def _check_relabelings(
    generator: Generator, dataset: Dataset, labels: Sequence[Sequence[Relabeling]]
) -> None:
    for answer in (item for group in labels for item in group):
        _check_json(generator, "a relabeling", [answer.label, answer.probabilities, answer.raw])
        if answer.label is None:
            if not answer.rejection:
                fail(generator, "a relabeling without a label must give the reason in `rejection`")
        elif answer.label not in range(dataset.n_classes):
            fail(generator, f"relabel returned class {answer.label} of {dataset.n_classes} classes")
        if answer.probabilities is not None:
            check_distribution(
                generator, "relabel's probabilities", answer.probabilities, dataset.n_classes
            )


def _check_json(generator: Generator, what: str, value: Any) -> None:
    try:
        json.dumps(value)
    except (TypeError, ValueError) as error:
        fail(generator, f"{what} cannot be stored as JSON ({error}); use int(…) and float(…)")


def _check_one_at_a_time(
    generator: Generator,
    task: GenerationTask,
    asked: Sequence[GenerationRequest],
    expected: Answers,
) -> None:
    prepared = twin(generator)
    try:
        prepared.prepare(task)
        for request, result, labels in list(zip(asked, *expected, strict=True))[:4]:
            single = list(prepared.generate([request]))
            usable = [item.input for item in _usable(result) if item.input is not None]
            one_by_one = [prepared.relabel([RelabelRequest(item, request)])[0] for item in usable]
            if not _same((single, [one_by_one]), ([result], [list(labels)])):
                fail(
                    generator, "its result for a request depends on the other requests of the batch"
                )
            other = replace(request, label=(request.label + 1) % task.n_classes)
            blind = [prepared.relabel([RelabelRequest(item, other)])[0] for item in usable]
            if not _same_labels(blind, labels):
                fail(generator, "relabel uses the label that a candidate is meant to have")
    finally:
        prepared.close()


def _same(first: Answers, second: Answers) -> bool:
    return all(
        len(left.candidates) == len(right.candidates)
        and all(map(_same_candidate, left.candidates, right.candidates))
        for left, right in zip(first[0], second[0], strict=True)
    ) and all(map(_same_labels, first[1], second[1]))


def _same_candidate(first: Candidate, second: Candidate) -> bool:
    if isinstance(first.input, str) or first.input is None:
        same = first.input == second.input
    else:
        same = near(first.input, second.input, _TOLERANCE)
    return same and _near_or_none(first.claimed_probabilities, second.claimed_probabilities)


def _same_labels(first: Sequence[Relabeling], second: Sequence[Relabeling]) -> bool:
    return len(first) == len(second) and all(
        left.label == right.label and _near_or_none(left.probabilities, right.probabilities)
        for left, right in zip(first, second, strict=True)
    )


def _near_or_none(first: Any, second: Any) -> bool:
    if first is None or second is None:
        return first is second
    return near(first, second, _TOLERANCE)
