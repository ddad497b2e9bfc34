"""oracle: inputs with the requested posterior, labeled by the true one."""

from __future__ import annotations

import numpy as np
import pytest

from fgbench import GenerationRequest, GenerationTask, RelabelRequest
from fgbench_plugins.datasets.known_posterior import KnownPosterior
from fgbench_plugins.generators.oracle import Oracle


def prepared(seed=0, classes=2, **parameters):
    loader = KnownPosterior.create(
        {"train": 20, "validation": 20, "test": 5, "classes": classes}, name="known-posterior"
    )
    data = loader.load(None)
    generator = Oracle.create(parameters, name="oracle")
    generator.prepare(
        GenerationTask(
            dataset_name=data.name,
            task=data.task,
            label_names=data.label_names,
            label_descriptions=data.label_descriptions,
            training=data.splits["train"],
            examples=((),) * classes,
            dataset=loader,
            seed=seed,
        )
    )
    return generator, loader


def ask(*probabilities, source_id=0, draw=0, label=0):
    return GenerationRequest(
        source="a message",
        label=label,
        bin=3,
        bin_probabilities=probabilities,
        asked_probabilities=probabilities,
        source_id=source_id,
        draw=draw,
    )


def texts(results):
    return [[candidate.input for candidate in result.candidates] for result in results]


def test_candidates_have_requested_posterior_and_claim_it():
    generator, loader = prepared(candidates=4)
    asked = np.linspace(0.05, 0.95, 19)
    results = generator.generate([ask(1 - q, q, source_id=i) for i, q in enumerate(asked)])
    for q, result in zip(asked, results, strict=True):
        assert len(result.candidates) == 4
        achieved = loader.posterior([candidate.input for candidate in result.candidates])
        assert np.abs(achieved[:, 1] - q).max() <= 0.005
        claims = [candidate.claimed_probabilities for candidate in result.candidates]
        np.testing.assert_allclose(claims, achieved)


def test_drawn_labels_follow_posterior():
    generator, _ = prepared(candidates=1)
    requests = [ask(0.3, 0.7, source_id=i, draw=d) for i in range(100) for d in range(10)]
    answers = generator.generate(requests)
    labels = generator.relabel(
        [
            RelabelRequest(answer.candidates[0].input, request)
            for answer, request in zip(answers, requests, strict=True)
        ]
    )
    share = np.mean([item.label for item in labels])
    assert share == pytest.approx(0.7, abs=5 * np.sqrt(0.21 / 1000))
    assert all(item.probabilities[1] == pytest.approx(0.7, abs=0.005) for item in labels)


def test_argmax_labels_are_certain():
    generator, _ = prepared(candidates=1, relabel_by="argmax")
    requests = [ask(0.4, 0.6, source_id=i) for i in range(50)]
    answers = generator.generate(requests)
    labels = generator.relabel(
        [
            RelabelRequest(answer.candidates[0].input, request)
            for answer, request in zip(answers, requests, strict=True)
        ]
    )
    assert {item.label for item in labels} == {1}


def test_candidates_depend_only_on_request_and_seed():
    requests = [ask(0.5, 0.5, source_id=i, draw=i % 2) for i in range(6)]
    first = texts(prepared()[0].generate(requests))
    assert first == texts(prepared()[0].generate(requests[::-1]))[::-1]
    assert first[2:3] == texts(prepared()[0].generate(requests[2:3]))
    assert first != texts(prepared(seed=1)[0].generate(requests))
    assert len({tuple(item) for item in first}) == 6
    assert texts(prepared()[0].generate([ask(0.5, 0.5, draw=5)])) != first[:1]


def test_wanted_label_does_not_affect_candidates():
    generator, _ = prepared()
    zero, one = ask(0.5, 0.5, label=0), ask(0.5, 0.5, label=1)
    assert texts(generator.generate([zero])) == texts(generator.generate([one]))
    text = "I can't get into the shared drive"
    labels = generator.relabel([RelabelRequest(text, zero), RelabelRequest(text, one)])
    assert labels[0] == labels[1]


def test_oracle_supports_multiclass():
    generator, loader = prepared(classes=4)
    (result,) = generator.generate([ask(0.1, 0.2, 0.3, 0.4)])
    achieved = loader.posterior([candidate.input for candidate in result.candidates])
    assert np.abs(achieved - [0.1, 0.2, 0.3, 0.4]).max() < 0.025


def test_no_requests_give_no_candidates():
    generator, _ = prepared()
    assert generator.generate([]) == generator.relabel([]) == []
