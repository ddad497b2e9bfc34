"""Reading a label from a reply: the class it names, never a default."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fgbench import TokenChoice
from fgbench_plugins.language_models.labels import (
    AMBIGUOUS,
    NO_LABEL,
    NO_LOGPROBS,
    REASONS,
    label_of_tokens,
    read_label,
    similarity,
)
from fgbench_plugins.language_models.parsing import EMPTY, REFUSAL

TWEETS = ("no complaint", "complaint")
REVIEWS = ("negative", "positive")
INTENTS = ("card_arrival", "card_arrival_delay", "card_delivery_estimate", "reverted_payment?")


def label(reply, names, **options):
    found = read_label(reply, names, **options)
    return found.index if found.rejection is None else found.rejection


@pytest.mark.parametrize(
    ("reply", "name"),
    [
        ("complaint", "complaint"),
        ("no complaint", "no complaint"),
        ("No Complaint.", "no complaint"),
        ("no_complaint", "no complaint"),
        ("NO-COMPLAINT", "no complaint"),
        ('"complaint"', "complaint"),
        ("**complaint**", "complaint"),
        ("`no complaint`", "no complaint"),
        (" \n complaint\n", "complaint"),
        ("complaint</s>", "complaint"),
        ("Label: complaint", "complaint"),
        ("The answer is: no complaint", "no complaint"),
        ("**Class:** complaint", "complaint"),
        ("The text belongs to the class complaint.", "complaint"),
        ("This text is a complaint, since the parcel is late.", "complaint"),
        ("There is no complaint in it.", "no complaint"),
        ("complaint\n\nIt is not a no complaint because …", "complaint"),
        ("Complaint. One might say no complaint, but the tone is harsh.", "complaint"),
        ('{"label": "no complaint"}', "no complaint"),
        ('```json\n{"label": "complaint"}\n```', "complaint"),
        ('Sure! {"class": "complaint", "reason": "no complaint would be calm"}', "complaint"),
        ('["complaint"]', "complaint"),
        ("<think>no complaint? no, …</think>complaint", "complaint"),
    ],
)
def test_label_named_in_reply(reply, name):
    assert label(reply, TWEETS) == TWEETS.index(name)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", EMPTY),
        (" \n ", EMPTY),
        ("<think>endless", EMPTY),
        ("neutral", NO_LABEL),
        ("I like it.", NO_LABEL),
        ("positive or negative", AMBIGUOUS),
        ("positive: 60%, negative: 40%", AMBIGUOUS),
        ("It could be positive. Or negative.", AMBIGUOUS),
        ("Label: positive\nLabel: negative", AMBIGUOUS),
        ("positive\nLabel: negative", AMBIGUOUS),
        ("not negative", AMBIGUOUS),
        ("It isn't positive", AMBIGUOUS),
        ("It's not really a positive review", AMBIGUOUS),
        ("neither negative nor positive", AMBIGUOUS),
        ("I cannot classify this text.", REFUSAL),
        ("I'm sorry, but I can't assist with that.", REFUSAL),
        ("2", NO_LABEL),
        ("A", NO_LABEL),
        ("0", NO_LABEL),
        ("true", NO_LABEL),
        ("{}", NO_LABEL),
        ('{"label": null}', NO_LABEL),
        ('{"label": " "}', NO_LABEL),
        ("```\n```", NO_LABEL),
        ('{"label": "neutral"}', NO_LABEL),
        ('{"label": ["positive", "negative"]}', NO_LABEL),
        ("positively", NO_LABEL),
    ],
)
def test_reply_without_unique_class_gives_none(reply, reason):
    assert label(reply, REVIEWS) == reason


def test_negated_class_is_ignored():
    assert label("It is positive rather than negative", REVIEWS) == 1
    assert label("positive, not negative", REVIEWS) == 1
    assert label("The review is not negative; it is clearly a very positive one", REVIEWS) == 1


def test_longest_matching_name_wins():
    assert label("card_arrival_delay", INTENTS) == 1
    assert label("The intent is card arrival delay", INTENTS) == 1
    assert label("card_arrival", INTENTS) == 0
    assert label("It is about card_arrival, I think", INTENTS) == 0
    assert label("card_arrival or card_arrival_delay", INTENTS) == AMBIGUOUS
    assert label("reverted_payment", INTENTS) == 3
    assert label("reverted_payment?", INTENTS) == 3


def test_numbers_are_labels_only_for_numbered_classes():
    options = ("1", "2")
    for reply in ("2", "2.", "(2)", " 2\n", "Class 2", "Answer: 2", "2. positive", '{"label": 2}'):
        assert label(reply, REVIEWS, options=options) == 1
    assert label("2. positive", REVIEWS) == 1  # named, whatever the number says
    assert label("2", REVIEWS) == NO_LABEL
    assert label("3", REVIEWS, options=options) == NO_LABEL
    assert label("1. positive", REVIEWS, options=options) == AMBIGUOUS
    assert label("There are 2 of them", REVIEWS, options=options) == NO_LABEL
    assert label("B", REVIEWS, options=("A", "B")) == 1
    assert label("b) positive", REVIEWS, options=("A", "B")) == 1


def test_numeric_class_names():
    assert label("5", ("1", "3", "5"), options=("A", "B", "C")) == 2
    assert label('{"label": 3}', ("1", "3", "5")) == 1


def test_class_description_is_a_valid_answer():
    good = "says something good, not something negative"
    descriptions = ("says something bad", good)
    assert label(f"{good.capitalize()}.", REVIEWS, descriptions=descriptions) == 1
    assert label(f"positive: {good}", REVIEWS, descriptions=descriptions) == 1


def test_nearest_name_above_threshold():
    assert label("postive", REVIEWS) == NO_LABEL
    assert label("postive", REVIEWS, nearest=True) == 1
    assert label("Label: negatve", REVIEWS, nearest=True) == 0
    assert label("neutral", REVIEWS, nearest=True) == NO_LABEL
    assert label("not negative", REVIEWS, nearest=True) == AMBIGUOUS
    assert label("ax", ("aa", "xx"), nearest=True) == NO_LABEL
    assert label("abcx", ("abca", "abcb"), nearest=True) == AMBIGUOUS


def test_edit_similarity_by_hand():
    assert similarity("kitten", "sitting") == pytest.approx(1 - 3 / 7)
    assert similarity("flaw", "lawn") == pytest.approx(1 - 2 / 4)
    assert similarity("same", "same") == 1
    assert similarity("", "") == 1
    assert similarity("", "a") == 0


@settings(deadline=None)
@given(st.text(max_size=80), st.booleans())
def test_any_reply_gives_class_or_reason(reply, nearest):
    found = read_label(reply, INTENTS, options=("1", "2", "3", "4"), nearest=nearest)
    assert (found.index is None) != (found.rejection is None)
    assert found.index is None or found.index in range(4)
    assert found.rejection is None or found.rejection in REASONS


@pytest.mark.parametrize("name", INTENTS)
@pytest.mark.parametrize(
    "form",
    ["{}", "{}.", '"{}"', "Label: {}", "**{}**", '{{"label": "{}"}}', "The class is {}."],
)
def test_every_name_is_parsed_in_every_format(name, form):
    assert label(form.format(name), INTENTS) == INTENTS.index(name)


def token(text, **alternatives):
    shares = {key.replace("_", " "): math.log(share) for key, share in alternatives.items()}
    return TokenChoice(text, shares.get(text, 0.0), tuple(shares.items()))


OPTIONS = ("A", "B", "C")


def test_probabilities_come_from_first_visible_token():
    space = TokenChoice("▁", -0.1, (("▁", -0.1), ("B", -3.0)))
    found = label_of_tokens([space, token("A", A=0.5, B=0.3, the=0.2)], OPTIONS)
    assert (found.index, found.rejection) == (0, None)
    assert found.probabilities == pytest.approx((0.625, 0.375, 0))


def test_option_spellings_are_summed():
    found = label_of_tokens([token("B", B=0.35, A=0.3, _A=0.3, Apple=0.05)], OPTIONS)
    assert found.index == 0
    assert found.probabilities == pytest.approx((0.6 / 0.95, 0.35 / 0.95, 0))


def test_logprobs_without_clear_label_are_rejected():
    assert label_of_tokens(None, OPTIONS).rejection == NO_LOGPROBS
    assert label_of_tokens([], OPTIONS).rejection == NO_LOGPROBS
    assert label_of_tokens([TokenChoice("A", -0.1)], OPTIONS).rejection == NO_LOGPROBS
    assert label_of_tokens([token("A", A=0.5, B=0.5)], OPTIONS).rejection == AMBIGUOUS
    assert label_of_tokens([token("The", The=0.9, A=0.1)], OPTIONS).rejection == NO_LABEL
