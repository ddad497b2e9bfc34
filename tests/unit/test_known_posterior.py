"""known-posterior: its posterior is the one that generates it, for every text."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fgbench import ConfigurationError
from fgbench_plugins.datasets.help_desk_frames import FRAMES
from fgbench_plugins.datasets.help_desk_grammar import (
    NUANCE,
    UNIT,
    USED,
    HelpDeskGrammar,
    tokenize,
)
from fgbench_plugins.datasets.help_desk_phrases import SLOTS
from fgbench_plugins.datasets.known_posterior import KnownPosterior

CLASSES = [2, 3, 4]


@pytest.fixture(scope="module", params=CLASSES)
def grammar(request):
    return HelpDeskGrammar(request.param, 1.0)


def loader(**parameters):
    return KnownPosterior.create(parameters, name="known-posterior")


def test_posterior_equals_bayes_over_all_messages_with_two_phrases(grammar):
    """Enumerate P(phrases, y) of every pair of a symptom and a guess, with plain arithmetic."""
    rng = np.random.default_rng(0)

    def likelihood(slot, index, label):
        weights = [math.exp(UNIT * phrase.scores[label]) for phrase in grammar.phrases[slot]]
        return weights[index] / sum(weights)

    total = 0.0
    texts, expected = [], []
    for symptom in range(len(grammar.phrases["symptom"])):
        for guess in range(len(grammar.phrases["guess"])):
            joint = [
                likelihood("symptom", symptom, y) * likelihood("guess", guess, y) / grammar.classes
                for y in range(grammar.classes)
            ]
            total += sum(joint)
            evidence = [symptom, -1, -1, -1, guess, -1]
            assert list(USED)[4] == "guess"
            texts.append(grammar.write(evidence, rng))
            expected.append([value / sum(joint) for value in joint])
    assert total == pytest.approx(1)
    np.testing.assert_allclose(grammar.posterior(texts), expected, atol=1e-12)


def test_every_phrase_is_parsed_from_every_frame(grammar):
    rng = np.random.default_rng(1)
    for column, (slot, phrases) in enumerate(grammar.phrases.items()):
        for index in range(len(phrases)):
            for _ in range(2 * len(FRAMES[slot])):
                evidence = [0, -1, -1, -1, -1, -1]
                evidence[column] = index
                expected = {("symptom", evidence[0]), (slot, index)}
                assert grammar.parse(grammar.write(evidence, rng)) == expected


def test_messages_parse_back(grammar):
    rng = np.random.default_rng(2)
    evidence, _ = grammar.draw(2000, rng)
    for row in evidence.tolist():
        expected = {(slot, index) for slot, index in zip(USED, row, strict=True) if index >= 0}
        assert grammar.parse(grammar.write(row, rng)) == expected


def test_no_phrase_contains_another():
    phrases = [
        tokenize(line.split(maxsplit=1)[1])
        for lines in SLOTS.values()
        for line in lines.strip().splitlines()
    ]
    joined = [f" {' '.join(words)} " for words in phrases]
    for one in joined:
        assert sum(one in other for other in joined) == 1, one
    assert len(joined) > 200


def test_labels_occur_at_the_rate_of_the_posterior(grammar):
    """Of the messages with P(y=k|x) near q, a share of q has label k (within five errors)."""
    evidence, labels = grammar.draw(60_000, np.random.default_rng(3))
    posterior = grammar.evidence_posterior(evidence)
    for k in range(grammar.classes):
        bins = np.minimum((posterior[:, k] * 20).astype(int), 19)
        for b in range(20):
            chance = posterior[bins == b, k]
            if len(chance) > 100:
                error = math.sqrt((chance * (1 - chance)).sum())
                hits = (labels[bins == b] == k).sum()
                assert abs(hits - chance.sum()) < 5 * error


def test_phrases_are_drawn_with_their_likelihood(grammar):
    evidence, labels = grammar.draw(60_000, np.random.default_rng(4))
    for column, slot in enumerate(USED):
        used = evidence[:, column] >= 0
        assert used.mean() == pytest.approx(USED[slot], abs=0.02)
        for k in range(grammar.classes):
            drawn = evidence[used & (labels == k), column]
            share = np.bincount(drawn, minlength=len(grammar.phrases[slot])) / len(drawn)
            expected = np.exp(grammar.log_likelihoods[slot][:, k])
            assert np.abs(share - expected).max() < 0.02


def test_stored_posterior_matches_texts():
    data = loader(train=50, validation=50, test=50, classes=3)
    for split in data.load(None).splits.values():
        np.testing.assert_allclose(split.posterior, data.posterior(split.inputs), atol=1e-12)


def test_phrase_scores_follow_leaning():
    grammar = HelpDeskGrammar(2, 1.0)
    scores = {phrase.text: phrase.scores for phrase in grammar.phrases["symptom"]}
    assert scores["I can't get into the shared drive"] == pytest.approx((2, 1), abs=NUANCE)
    assert scores["it fails and I have no idea why"] == pytest.approx((0, 0), abs=NUANCE)
    assert "the screen stays black" not in scores  # hardware is not one of two classes


@given(st.text())
def test_any_text_has_a_posterior(text):
    grammar = HelpDeskGrammar(2, 1.0)
    posterior = grammar.posterior([text])
    assert posterior.shape == (1, 2)
    assert posterior.sum() == pytest.approx(1)


def test_texts_without_evidence_have_the_prior():
    texts = ["", "   ", "Guten Tag", "\ud800", "🦉" * 50, "my pass word", "!?"]
    np.testing.assert_allclose(loader(classes=4).posterior(texts), 0.25)


def test_evidence_ignores_case_spacing_and_repetition():
    data = loader()
    plain, *others = data.posterior(
        [
            "I can't get into the shared drive.",
            "well, I CAN’T  get\n into the Shared Drive",
            "I can't get into the shared drive; I can't get into the shared drive!",
        ]
    )
    assert plain[0] > 0.6
    for other in others:
        np.testing.assert_allclose(other, plain)
    np.testing.assert_allclose(data.posterior(["I can't get, into the shared drive"]), 0.5)
    np.testing.assert_allclose(data.posterior(["I can't get into the shared drives"]), 0.5)


def test_evidence_adds_up_in_texts_outside_the_grammar():
    data = loader()
    first, second = "my password is rejected", "everything works for others but not for me"
    odds = lambda text: np.diff(np.log(data.posterior([text]))[0])[0]  # noqa: E731
    assert odds(f"{first} {second}") == pytest.approx(odds(first) + odds(second))


@pytest.mark.parametrize(("classes", "tolerance"), [(2, 0.005), (3, 0.01), (4, 0.025)])
def test_samples_have_requested_posterior(classes, tolerance):
    data = loader(classes=classes)
    rng = np.random.default_rng(5)
    asked = 0.96 * rng.dirichlet(np.ones(classes), 150) + 0.04 / classes
    texts = data.sample(list(asked), rng)
    assert np.abs(data.posterior(texts) - asked).max() <= tolerance
    assert len(set(texts)) > 140


def test_unreachable_posterior_gets_nearest():
    data = loader()
    texts = data.sample([np.array([0.0, 1.0]), np.array([1.0, 0.0])], np.random.default_rng(0))
    posterior = data.posterior(texts)
    assert posterior[0, 1] > 0.99
    assert posterior[1, 0] > 0.99


def test_samples_depend_only_on_random_stream():
    asked = [np.array([0.3, 0.7])] * 5
    first = loader().sample(asked, np.random.default_rng(1))
    assert first == loader(draw=7).sample(asked, np.random.default_rng(1))
    assert first != loader().sample(asked, np.random.default_rng(2))


@pytest.mark.parametrize("asked", [[0.5, 0.6], [1.0], [-0.1, 1.1], [math.nan, 0.5]])
def test_invalid_probability_is_refused(asked):
    with pytest.raises(ConfigurationError, match="not a probability for each of 2 classes"):
        loader().sample([np.array(asked)], np.random.default_rng(0))


def test_load_is_reproducible_and_draw_changes_data():
    sizes = {"train": 40, "validation": 30, "test": 20}
    first, again, other = (
        loader(**sizes).load(None),
        loader(**sizes).load(None),
        loader(**sizes, draw=1).load(None),
    )
    first.validate()
    assert [len(first.splits[name]) for name in sizes] == [40, 30, 20]
    assert first.digest == again.digest != other.digest
    assert {"text", "binary", "posterior"} <= first.provides
    texts = [text for split in first.splits.values() for text in split.inputs]
    assert len(set(texts)) == len(texts)


def test_ambiguity_lowers_bayes_accuracy():
    accuracies = []
    for ambiguity in (0.5, 1.0, 2.0, 4.0):
        split = loader(ambiguity=ambiguity, train=3000).load(None).splits["train"]
        accuracies.append(split.posterior.max(axis=1).mean())
    assert accuracies == sorted(accuracies, reverse=True)
    assert 0.85 < accuracies[1] < 0.9


@pytest.mark.parametrize(
    "wrong", [{"classes": 1}, {"classes": 5}, {"ambiguity": 0}, {"train": 0}, {"clases": 3}]
)
def test_known_posterior_parameters_are_validated(wrong):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        loader(**wrong)
