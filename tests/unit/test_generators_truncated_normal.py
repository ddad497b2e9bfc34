"""truncated-normal: FITG's toy, against scipy's distribution and the reference model."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest, truncnorm

from fgbench import GenerationRequest, GenerationTask, RelabelRequest, Split
from fgbench_plugins.generators.truncated_normal import TruncatedNormal, draw_left_truncated


def prepared(seed=0, n_features=1, **parameters):
    rng = np.random.default_rng(9)
    inputs = rng.uniform(-10, 10, (300, n_features))
    labels = (rng.random(300) < 1 / (1 + np.exp(1 - 2 * inputs[:, 0]))).astype(int)
    generator = TruncatedNormal.create(parameters, name="truncated-normal")
    generator.prepare(
        GenerationTask(
            dataset_name="toy",
            task="a number",
            label_names=("0", "1"),
            label_descriptions=("no", "yes"),
            training=Split(inputs, labels),
            examples=((), ()),
            dataset=None,
            seed=seed,
        )
    )
    return generator


def request(members, source_id=0, draw=0):
    return GenerationRequest(
        source=members[0] if members else (1.5,),
        label=1,
        bin=4,
        bin_probabilities=(0.5, 0.5),
        asked_probabilities=(0.4, 0.6),
        source_id=source_id,
        draw=draw,
        bin_inputs=tuple(members),
    )


MEMBERS = [(-0.4,), (0.1,), (0.3,), (0.9,), (1.6,)]


def test_draws_follow_left_truncated_normal():
    values = np.array(MEMBERS)
    drawn = draw_left_truncated(values, 5000, np.random.default_rng(0))[:, 0]
    mean, deviation = values.mean(), values.std()
    expected = truncnorm((values.min() - mean) / deviation, np.inf, loc=mean, scale=deviation)
    assert kstest(drawn, expected.cdf).pvalue > 0.001
    assert drawn.min() >= values.min()


def test_each_feature_has_its_own_distribution():
    members = np.array([[0.0, 100.0, 5.0], [1.0, 300.0, 5.0], [2.0, 200.0, 5.0]])
    drawn = draw_left_truncated(members, 2000, np.random.default_rng(0))
    assert drawn.shape == (2000, 3)
    assert (drawn >= members.min(axis=0)).all()
    assert drawn[:, 1].std() > 50 * drawn[:, 0].std()
    assert (drawn[:, 2] == 5.0).all()


@pytest.mark.parametrize("members", [[], [(1.5,)], [(1.5,), (1.5,)]])
def test_constant_bin_gives_its_value(members):
    (result,) = prepared().generate([request(members)])
    assert {candidate.input for candidate in result.candidates} == {(1.5,)}


def test_drawn_labels_follow_reference_model():
    generator = prepared(candidates=1)
    requests = [request(MEMBERS, source_id=i) for i in range(600)]
    answers = [answer.candidates[0] for answer in generator.generate(requests)]
    labels = generator.relabel(
        [RelabelRequest(item.input, asked) for item, asked in zip(answers, requests, strict=True)]
    )
    claimed = np.array([item.claimed_probabilities[1] for item in answers])
    np.testing.assert_allclose([item.probabilities[1] for item in labels], claimed)
    error = 5 * np.sqrt((claimed * (1 - claimed)).sum())
    assert abs(sum(item.label for item in labels) - claimed.sum()) < error


def test_candidates_depend_only_on_request_and_seed():
    requests = [request(MEMBERS, source_id=i) for i in range(4)]
    first = prepared().generate(requests)
    assert first == prepared().generate(requests[::-1])[::-1]
    assert first != prepared(seed=1).generate(requests)
    assert len({result.candidates[0].input for result in first}) == 4


def test_argmax_label_is_more_probable_class():
    generator = prepared(relabel_by="argmax")
    asked = request(MEMBERS)
    labels = generator.relabel([RelabelRequest((8.0,), asked), RelabelRequest((-8.0,), asked)])
    assert [item.label for item in labels] == [1, 0]
    assert generator.relabel([]) == []
