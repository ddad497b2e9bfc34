"""The generation loop: retries, fill-ins, shortage, filters, lineage (METHODS §2)."""

from collections import Counter
from functools import cache

import numpy as np
import pytest

from fgbench import Candidate, DatasetLoader, GenerationResult, Generator, Relabeling, Usage
from fgbench.data import Dataset, Split
from fgbench.errors import PluginError
from fgbench.loop.filling import GenerationSettings, few_shot_examples, synthesize
from fgbench.loop.leakage import (
    DuplicateIndex,
    ShingleOrder,
    SplitIndices,
    jaccard,
    normalize,
)
from fgbench.loop.targeting import Source, TargetBin, Targets


class Loader(DatasetLoader):
    def load(self, folder):
        return dataset()


def dataset(*, numeric=False):
    def split(tag, n):
        texts = [f"{tag} message number {i} about topic {i * 7}" for i in range(n)]
        numbers = np.arange(n) + 0.1 * len(tag)
        return Split(numbers if numeric else texts, np.arange(n) % 2)

    splits = {
        "train": split("training", 20),
        "validation": split("validation", 8),
        "test": split("held out", 20),
    }
    return Dataset("toy", ("no", "yes"), splits)


def source(row, bin_number):
    return Source(row, bin_number, (0.3, 0.7), (0.2, 0.8))


TARGETS = Targets(
    "targeted",
    (TargetBin(3, 2, 0.7, 0.1, (0, 1)), TargetBin(5, 1, 0.7, 0.1, (2,))),
    (source(0, 3), source(1, 3), source(2, 5)),
)
ROWS = np.array([1, 3, 5, 7])  # selection rows in the validation split: labels 1, 1, 1, 1


class Scripted(Generator):
    """Says `text(request, n-th candidate)`, and labels by `label(text)`."""

    text = staticmethod(
        lambda request, turn: f"new {request.source_id} {request.draw} {turn} " + "x" * turn
    )
    label = staticmethod(lambda text: 1)
    candidates = 1

    def prepare(self, task):
        self.task, self.requests, self.closed = task, [], 0

    def generate(self, requests):
        self.requests += requests
        return [
            GenerationResult(
                [Candidate(self.text(request, turn)) for turn in range(self.candidates)],
                messages=[{"role": "user", "content": str(request.source)}],
                usage=Usage(requests=1, prompt_tokens=10),
            )
            for request in requests
        ]

    def relabel(self, requests):
        return [
            Relabeling(self.label(request.input), usage=Usage(requests=1)) for request in requests
        ]

    def close(self):
        self.closed += 1


def run(
    generator, *, retries=2, drop="test", targets=TARGETS, numeric=False, rows=ROWS, by_class=False
):
    settings = GenerationSettings(
        seed=0,
        examples_per_class=3,
        retries=retries,
        drop_near_duplicates=drop,
        by_class=by_class,
    )
    return synthesize(generator, dataset(numeric=numeric), Loader(), targets, rows, settings)


def scripted(**attributes):
    generator = Scripted()
    for name, value in attributes.items():
        setattr(generator, name, value)
    return generator


def test_each_source_gets_one_accepted_text_with_lineage():
    generator = scripted()
    outcome = run(generator)
    assert outcome.summary()["accepted"] == outcome.summary()["requested"] == 3
    assert outcome.summary()["shortage"] == 0
    assert [sample.source.index for sample in outcome.accepted] == [1, 3, 5]
    first = outcome.accepted[0]
    assert first.source.input == "validation message number 1 about topic 7"
    assert first.messages == ({"role": "user", "content": first.source.input},)
    assert first.asked_probabilities == (0.2, 0.8)
    assert (first.bin, first.draw, first.verdict) == (3, 0, "accepted")
    assert outcome.usage == Usage(requests=6, prompt_tokens=30)
    assert generator.closed == 1


def test_texts_with_other_label_than_source_are_rejected():
    generator = scripted(label=lambda text: 0 if text.split()[2] == "0" else 1)  # first draws fail
    outcome = run(generator)
    assert len(outcome.accepted) == 3
    assert {sample.draw for sample in outcome.accepted} == {1}
    assert outcome.rejected_by == {"other label": 3}


def test_shortage_is_filled_from_same_bin_and_recorded():
    # Source 0 (bin 3) and source 2 (alone in bin 5) never give a good text; source 1 always does.
    generator = scripted(label=lambda text: int(text.split()[1] == "1"))
    outcome = run(generator)
    assert Counter(sample.source.index for sample in outcome.accepted) == {3: 2}
    assert outcome.summary()["shortage"] == 1
    draws = Counter(request.source_id for request in generator.requests)
    assert draws == {0: 3, 1: 2, 2: 3}, "nobody is left in bin 5 who could fill in"
    keys = [(request.source_id, request.draw) for request in generator.requests]
    assert len(set(keys)) == len(keys), "no request is asked twice"


def test_surplus_candidates_are_kept_apart_from_rejections():
    outcome = run(scripted(candidates=3))
    assert Counter(sample.verdict for sample in outcome.samples) == {"accepted": 3, "surplus": 6}
    assert outcome.rejected_by == {}


@pytest.mark.parametrize(
    ("text", "drop", "reason"),
    [
        ("   ", "test", "empty"),
        ("Held out: message number 3, about topic 21!", "test", "near duplicate of test"),
        ("held out message number 3 about the topic 21", "test", "near duplicate of test"),
        ("training message number 3 about topic 21", "all", "near duplicate of training"),
        ("always the same", "test", "repeats a synthetic one"),
    ],
)
def test_rejected_texts_are_counted_by_reason(text, drop, reason):
    outcome = run(scripted(text=lambda request, turn: text), drop=drop, retries=0)
    assert outcome.rejected_by[reason] >= 2
    assert len(outcome.accepted) == (1 if reason == "repeats a synthetic one" else 0)


def test_numeric_inputs_may_repeat_except_test_rows():
    outcome = run(scripted(text=lambda request, turn: (2.5,)), numeric=True)
    assert len(outcome.accepted) == 3
    outcome = run(scripted(text=lambda request, turn: (2.8,)), numeric=True)
    assert dataset(numeric=True).splits["test"].inputs[2] == 2.8
    assert outcome.accepted == []
    assert outcome.rejected_by == {"near duplicate of test": 9}


@pytest.mark.parametrize(
    ("made", "numeric"),
    [((1.0,), False), (7, False), ("2.5", True), ((1.0, 2.0), True), ((float("nan"),), True)],
)
def test_input_of_wrong_kind_is_refused(made, numeric):
    generator = scripted(text=lambda request, turn: made)
    with pytest.raises(PluginError, match=r"Scripted: generate returned .*, but inputs of this"):
        run(generator, numeric=numeric)


def test_near_duplicates_that_are_not_dropped_are_counted():
    generator = scripted(
        text=lambda request, turn: (
            f"held out message number {request.source_id} about topic {request.source_id * 7}"
        )
    )
    outcome = run(generator, drop="none")
    assert outcome.near_duplicates_of_test == len(outcome.accepted) == 3
    assert outcome.near_duplicates_of_training == 0
    generator = scripted(
        text=lambda request, turn: (
            f"training message number {request.source_id} about topic {request.source_id * 7}"
        )
    )
    assert run(generator).near_duplicates_of_training == 3


def test_unusable_answer_is_rejected():
    class Mute(Scripted):
        def relabel(self, requests):
            return [Relabeling(None, rejection="unparsable") for _ in requests]

    outcome = run(Mute(), retries=0)
    assert outcome.accepted == []
    assert outcome.rejected_by == {"unparsable": 3}
    assert outcome.summary()["shortage"] == 3


def test_generator_contract_violation_is_named():
    class Short(Scripted):
        def generate(self, requests):
            return super().generate(requests)[:-1]

    generator = Short()
    with pytest.raises(PluginError, match="Short: generate returned 2 results for 3 requests"):
        run(generator)
    assert generator.closed == 1


def test_generator_sees_only_training_texts_and_sources():
    generator = scripted()
    run(generator)
    seen = [*generator.task.training.inputs, *(request.source for request in generator.requests)]
    seen += [text for request in generator.requests for text in request.bin_inputs]
    seen += [text for examples in generator.task.examples for text in examples]
    validation = dataset().splits["validation"].inputs
    assert not set(seen) & set(dataset().splits["test"].inputs)
    assert not set(seen) & {validation[row] for row in (0, 2, 4, 6)}, "the calibration half"


def test_no_targets_send_no_requests():
    outcome = run(Scripted(), targets=Targets("targeted", (), ()))
    assert outcome.summary()["requested"] == 0
    assert outcome.samples == ()


def test_few_shot_examples_come_from_the_training_split_by_seed():
    training = dataset().splits["train"]
    examples = few_shot_examples(training, 2, 3, seed=1)
    for label, texts in enumerate(examples):
        assert len(set(texts)) == 3
        for text in texts:
            assert training.labels[list(training.inputs).index(text)] == label
    assert examples == few_shot_examples(training, 2, 3, seed=1)
    assert examples != few_shot_examples(training, 2, 3, seed=2)


@cache
def shingles(text):
    text = normalize(text)
    return frozenset(text[i : i + 5] for i in range(max(1, len(text) - 4)))


def brute_force(index_texts, candidate):
    own = shingles(candidate)
    return any(len(own & shingles(text)) / len(own | shingles(text)) >= 0.8 for text in index_texts)


@pytest.mark.parametrize("shared_order", [False, True])
def test_near_duplicates_match_brute_force(shared_order):
    rng = np.random.default_rng(0)
    words = ["alpha", "beta", "gamma", "delta", "card", "bank", "late", "refund", "my", "the"]
    texts = [" ".join(rng.choice(words, rng.integers(1, 12))) for _ in range(200)]
    order = ShingleOrder([*texts, "the corpus may have more texts"]) if shared_order else None
    index = DuplicateIndex(texts, order)
    found = 0
    for text in texts:
        tokens = text.split()
        for position in range(len(tokens)):
            edited = tokens.copy()
            edited[position] = str(rng.choice([*words, ""]))
            candidate = " ".join(edited)
            assert index.is_duplicate(candidate) == brute_force(texts, candidate)
            found += index.is_duplicate(candidate)
    assert 100 < found < 1400


def test_jaccard_index():
    assert jaccard({1, 2, 3}, {2, 3, 4}) == pytest.approx(2 / 4)
    assert jaccard({1}, {2}) == 0
    assert jaccard(set(), {2}) == 0


def test_split_indices_are_built_once_per_data_set():
    data = dataset()
    indices = data.derived(SplitIndices.of)
    assert data.derived(SplitIndices.of) is indices
    assert dataset().derived(SplitIndices.of) is not indices
    first = "held out message number 0 about topic 0"
    last = "held out message number 19 about topic 133"
    limited = data.limited(1).derived(SplitIndices.of).test
    assert [limited.is_duplicate(text) for text in (first, last)] == [True, False]
    assert [indices.test.is_duplicate(text) for text in (first, last)] == [True, True]


def test_equal_numbers_are_duplicates():
    index = DuplicateIndex(np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert index.is_duplicate((3.0, 4.0))
    assert not index.is_duplicate((3.0, 4.1))


def test_calibration_rows_are_guarded_like_test_rows():
    calibration_row = dataset().splits["validation"].inputs[2]  # not among ROWS
    outcome = run(scripted(text=lambda request, turn: calibration_row), retries=0)
    assert outcome.rejected_by == {"near duplicate of calibration": 3}


def test_generator_sees_all_inputs_of_bin():
    targets = Targets("random", (TargetBin(3, 3, 0.7, 0.1, (0, 1, 3)),), (source(1, 3),))
    generator = scripted()
    run(generator, targets=targets)
    validation = dataset().splits["validation"].inputs
    assert generator.requests[0].bin_inputs == tuple(validation[row] for row in (1, 3, 7))


def test_matched_designs_fill_in_by_class_first_in_the_bin_then_anywhere():
    # Selection rows 0 … 4 are of the classes 0, 1, 1, 1, 0. Rows 1 and 4 get no text.
    targets = Targets(
        "no-shift",
        (TargetBin(3, 3, 0.7, 0.1, (0, 1, 2)), TargetBin(5, 2, 0.7, 0.1, (3, 4))),
        tuple(source(row, number) for row, number in ((0, 3), (1, 3), (2, 3), (3, 5), (4, 5))),
    )
    rows = np.array([0, 1, 3, 5, 6])

    def text(request, turn):
        if request.source_id in (1, 4):
            return None
        return f"{request.label} {request.source_id} {request.draw} of {turn}"

    generator = scripted(text=text, label=lambda text: int(text[0]))
    outcome = run(generator, targets=targets, rows=rows, by_class=True)
    assert Counter(sample.source.label for sample in outcome.accepted) == {0: 2, 1: 3}
    filled = Counter(sample.source.index for sample in outcome.accepted)
    assert filled == {0: 2, 3: 2, 5: 1}, "row 1 by its bin, row 4 by another bin of its class"
    by_bin = run(generator, targets=targets, rows=rows)
    assert Counter(sample.source.label for sample in by_bin.accepted)[1] > 3


def test_source_that_is_requested_twice_has_different_draws():
    targets = Targets("no-shift", TARGETS.bins, (source(0, 3), source(0, 3), source(1, 3)))
    generator = scripted()
    outcome = run(generator, targets=targets)
    requested = [(request.source_id, request.draw) for request in generator.requests]
    assert requested == [(0, 0), (1, 1), (2, 0)]
    assert len(outcome.accepted) == 3
