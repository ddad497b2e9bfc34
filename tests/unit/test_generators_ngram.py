"""ngram: candidates are near the source and the requested probability, and reproducible."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fgbench import GenerationRequest, GenerationTask, RelabelRequest, Split
from fgbench_plugins.datasets.known_posterior import KnownPosterior
from fgbench_plugins.generators.language_model import (
    MAX_CHARACTERS,
    Span,
    TrigramModel,
    detokenize,
    tokenize,
    uniforms,
)
from fgbench_plugins.generators.ngram import NgramGenerator


def task(training, n_classes=2, seed=0):
    names = tuple(f"class {label}" for label in range(n_classes))
    return GenerationTask(
        dataset_name="messages",
        task="a message",
        label_names=names,
        label_descriptions=names,
        training=training,
        examples=((),) * n_classes,
        dataset=None,
        seed=seed,
    )


def prepared(training, n_classes=2, seed=0, **parameters):
    generator = NgramGenerator.create(parameters, name="ngram")
    generator.prepare(task(training, n_classes, seed))
    return generator


def ask(source, *probabilities, source_id=0, draw=0, label=0):
    return GenerationRequest(
        source=source,
        label=label,
        bin=0,
        bin_probabilities=probabilities,
        asked_probabilities=probabilities,
        source_id=source_id,
        draw=draw,
    )


def texts(results):
    return [[candidate.input for candidate in result.candidates] for result in results]


@pytest.fixture(scope="module", params=[2, 3])
def messages(request):
    data = KnownPosterior.create(
        {"classes": request.param, "train": 300, "validation": 200, "test": 5}, name="k"
    ).load(None)
    generator = prepared(data.splits["train"], request.param)
    return generator, data, request.param


@given(st.text(alphabet="ab’' .,!?é日-\n\t", max_size=60))
def test_tokens_round_trip_up_to_white_space(text):
    assert detokenize(tokenize(text)) == " ".join(text.split())


def test_tokens_keep_case_spacing_and_apostrophes():
    assert tokenize("I can't, @Zoë: #fail!") == [
        " I", " can't", ",", " @", "Zoë", ":", " #", "fail", "!"
    ]  # fmt: skip
    assert len(tokenize("ab " * 100_000)) < MAX_CHARACTERS


def scripted(*numbers):
    """Return a uniform stream of these numbers."""
    return iter(numbers).__next__


def test_trigram_model_draws_what_followed_in_training():
    model = TrigramModel([tokenize("the cat sat"), tokenize("the cat ran")])
    uniform = uniforms(np.random.default_rng(0))
    drawn = [next(model.continuation(" the", " cat", uniform)) for _ in range(400)]
    assert drawn.count(" sat") + drawn.count(" ran") > 0.9 * 400


def test_backoff_follows_the_discounts():
    """Worked by hand, from "a b c", "a b d" and "b c".

    The history (a, b) occurred n = 2 times with t = 2 next tokens c and d: it is dropped with
    probability 0.5 · 2/2 = 0.5. (b) occurred n = 3 times with t = 2, c, d, c: 0.1 · 2/3 = 0.0667.
    Without history, all eight tokens are equally likely.
    """
    model = TrigramModel([[" a", " b", " c"], [" a", " b", " d"], [" b", " c"]])

    def draw(first, last, *numbers):
        return next(model.continuation(first, last, scripted(*numbers)))

    assert draw(" a", " b", 0.5, 0.49) == " c"
    assert draw(" a", " b", 0.5, 0.50) == " d"
    assert draw(" a", " b", 0.49, 0.0667, 0.4) == " d"
    assert draw(" a", " b", 0.49, 0.0667, 0.7) == " c"
    assert draw(" a", " b", 0.49, 0.0666, 0.99) == " c"  # the last of a b c a b d b c
    assert draw(" a", " b", 0.49, 0.0666, 0.13) == " b"
    assert draw(" x", " b", 0.0667, 0.4) == " d"  # an unknown pair goes by its last token
    assert draw(" x", " y", 0.63) == " d"  # unknown tokens go by nothing
    assert draw(" c", "\n", 0.5, 0.0) == "\n"


def test_resampled_span_joins_where_the_corpus_did():
    """Worked by hand: of "a b c d e", b is replaced; x is drawn, and "x c d" occurred."""
    model = TrigramModel([[" a", " x", " c", " d"]])
    tokens = [" a", " b", " c", " d", " e"]
    # (start, a) and (a) were followed by x alone: the first number keeps the history.
    assert Span(tokens, 1, 2).resample(model, scripted(0.9, 0.0)) == [" a", " x", *tokens[2:]]
    # After "b c" nothing of the corpus leads back: it continues to its end, far from the text's.
    far = [" a", " b", *[" q"] * 7]
    numbers = [0.9, 0.0] * 4
    assert Span(far, 1, 2).resample(model, scripted(*numbers)) is None
    # Near the end of the text, the end of the corpus is one.
    assert Span(far[:5], 1, 2).resample(model, scripted(*numbers)) == [" a", " x", " c", " d"]


def test_candidates_approach_requested_probability_and_vary(messages):
    generator, data, n_classes = messages
    rng = np.random.default_rng(0)
    asked = 0.8 * rng.dirichlet(np.ones(n_classes), 100) + 0.2 / n_classes
    sources = data.splits["validation"].inputs
    requests = [ask(sources[i], *row, source_id=i) for i, row in enumerate(asked.tolist())]
    results = generator.generate(requests)
    distances = [
        np.abs(np.array(result.candidates[0].claimed_probabilities) - row).max()
        for result, row in zip(results, asked, strict=True)
    ]
    assert np.mean(distances) < 0.08
    for request, group in zip(requests, texts(results), strict=True):
        assert len(group) == len(set(group)) == 3
        assert request.source not in group


def test_candidates_are_anchored_on_the_source(messages):
    generator, data, n_classes = messages
    uniform = (1 / n_classes,) * n_classes
    sources = data.splits["validation"].inputs[:60]
    results = generator.generate(
        [ask(text, *uniform, source_id=i) for i, text in enumerate(sources)]
    )

    def overlap(one, other):
        one, other = set(tokenize(one)), set(tokenize(other))
        return len(one & other) / len(one | other)

    own = np.mean([overlap(s, g[0]) for s, g in zip(sources, texts(results), strict=True)])
    shifted = [*sources[1:], sources[0]]
    others = np.mean([overlap(s, g[0]) for s, g in zip(shifted, texts(results), strict=True)])
    assert own > 2 * others


def test_claims_and_labels_match_reference_model(messages):
    generator, data, n_classes = messages
    request = ask(data.splits["validation"].inputs[0], *(1 / n_classes,) * n_classes)
    (result,) = generator.generate([request])
    labels = generator.relabel([RelabelRequest(item.input, request) for item in result.candidates])
    for item, candidate in zip(labels, result.candidates, strict=True):
        np.testing.assert_allclose(item.probabilities, candidate.claimed_probabilities, atol=1e-9)
        assert item.label == np.argmax(item.probabilities)


def test_candidates_depend_only_on_request_and_seed(messages):
    generator, data, n_classes = messages
    train = data.splits["train"]
    uniform = (1 / n_classes,) * n_classes
    requests = [ask(data.splits["validation"].inputs[i], *uniform, source_id=i) for i in range(5)]
    first = texts(generator.generate(requests))
    assert first == texts(generator.generate(requests[::-1]))[::-1]
    assert first[3:4] == texts(prepared(train, n_classes).generate(requests[3:4]))
    assert first != texts(prepared(train, n_classes, seed=1).generate(requests))
    again = ask(requests[0].source, *uniform, source_id=0, draw=1)
    assert texts(generator.generate([again])) != first[:1]
    other_label = ask(requests[0].source, *uniform, source_id=0, label=1)
    assert texts(generator.generate([other_label])) == first[:1]


@settings(max_examples=30, deadline=None)
@given(source=st.text(max_size=80))
def test_any_source_gets_an_answer(source):
    data = Split(["good day to you", "bad night to all", "good luck", "bad luck"], [0, 1, 0, 1])
    (result,) = prepared(data).generate([ask(source, 0.5, 0.5)])
    assert result.candidates
    for candidate in result.candidates:
        assert (candidate.input is None) == (candidate.rejection is not None)
        assert candidate.input != ""


@pytest.mark.parametrize(
    "source", ["", "   ", "good", "unseen", "?", "x" * 100_000, "日本 " * 50_000]
)
def test_unusual_sources_get_candidates(source):
    data = Split(["good day to you", "bad night to all", "good luck", "bad luck"], [0, 1, 0, 1])
    (result,) = prepared(data).generate([ask(source, 0.2, 0.8)])
    lengths = [len(item.input) for item in result.candidates if item.input is not None]
    assert lengths
    assert max(lengths) <= 2 * MAX_CHARACTERS


@pytest.mark.parametrize("labels", [[0, 0, 1, 1], [0, 0, 2, 2], [0, 1, 1, 1], [0, 0, 0, 1]])
def test_rare_and_missing_classes(labels):
    data = Split(["aa bb cc", "bb cc dd", "cc dd ee", "dd ee ff"], labels)
    generator = prepared(data, n_classes=3)
    request = ask("aa bb dd", 0.3, 0.3, 0.4)
    (result,) = generator.generate([request])
    usable = [item.input for item in result.candidates if item.input is not None]
    assert usable
    answers = generator.relabel([RelabelRequest(text, request) for text in usable])
    assert {answer.label for answer in answers} <= set(labels)


def test_training_texts_without_letters_are_accepted():
    generator = prepared(Split(["", "?!", "", "..."], [0, 0, 1, 1]))
    assert len(generator.generate([ask("?", 0.5, 0.5)])) == 1
