"""Parsing a reply takes time proportional to its length, whatever a model repeats."""

import time

import pytest

from fgbench_plugins.classifiers.llm_stated_number import json_statement, stated_number
from fgbench_plugins.language_models.labels import read_label
from fgbench_plugins.language_models.parsing import parse_texts

NAMES = ("no complaint", "complaint")
PIECES = [
    "{", "[{", "[[{", '{"a":', '{"a":{"text":', "[", "}", "{}", '{"', '{"text":"a"}', '{a:"b"},',
    '"', '""', '"a":', "\\", '\\"', '"\\x', "'", "“", "<think>", "</s>", "<|im_end|>", "```\n",
    "```json\n", "`", "*", "**", "_", "#", " ", "\n", "\t", " \n", "-\n", "- ", '- "', '- "A:{"\n',
    "1. ", "2.\n", '1. "\n', "1 ", "text ", "text 1 ", "a", "a:\n", "x: {\n", ":[", ': 5% ', "(5",
    "label: ", "the ", "confidence: 5 ", "sure\n", "I cannot ",
]  # fmt: skip
STARTS = ["", '{"texts": ["', "1. ", "- ", "```json\n", "label: "]
SIZE = 2_000
NOISE_SECONDS = 0.01


def as_texts(reply):
    return parse_texts(reply, n_requested=3, names=NAMES, source="a source", prompt=["a prompt"])


def as_label(reply):
    return read_label(reply, NAMES, options=("1", "2"), nearest=True)


def as_number(reply):
    return stated_number(reply, NAMES), json_statement(reply)


def seconds(parse, reply):
    def once():
        start = time.process_time()
        parse(reply)
        return time.process_time() - start

    return min(once() for _ in range(2))


@pytest.mark.parametrize("parse", [as_texts, as_label, as_number])
@pytest.mark.parametrize("start", STARTS)
def test_parsing_time_is_linear_in_length(parse, start):
    """Sixteen times the length takes less than 48 times as long; quadratic would be 256 times."""
    for piece in PIECES:
        long = seconds(parse, start + piece * (16 * SIZE // len(piece)))
        if long > NOISE_SECONDS * 4:
            short = seconds(parse, start + piece * (SIZE // len(piece)))
            assert long < 48 * max(short, NOISE_SECONDS / 4), f"{start!r} and many {piece!r}"


@pytest.mark.parametrize(
    "piece",
    ["{", "[{", '{"a":', '"', "\\", "<think>", "```\n", "```json\n", " ", "\n", "[", "</s>"],
)
def test_long_repetitive_reply_is_read_at_once(piece):
    """256 kB; quadratic parsing took ten seconds for "{"."""
    assert seconds(as_texts, piece * (256_000 // len(piece))) < 1.0


def test_json_like_text_in_a_bullet_is_text():
    found = as_texts('- "A:{"\n- "B: [{"\n- "C"')
    assert [item.text for item in found] == ["A:{", "B: [{", "C"]


def test_malformed_objects_keep_their_probabilities():
    reply = '{"texts": [{"text": "one", "complaint": 0.75, "no complaint": 0.25}, {"text": "tw'
    first, second = as_texts(reply)
    assert (first.text, first.claimed) == ("one", (0.25, 0.75))
    assert (second.text, second.rejection) == (None, "cut off")


def test_odd_numbers_state_no_probability():
    for number in ("1" + "0" * 400, "NaN", "-1", "true", "Infinity", '"x"'):
        (found,) = as_texts(f'[{{"text": "one", "complaint": {number}}}]')
        assert (found.text, found.claimed) == ("one", None)


@pytest.mark.parametrize("reply", ["[" * 100_000, '{"a":' * 100_000])
def test_nested_replies_contain_no_label_or_text(reply):
    assert all(found.text is None for found in as_texts(reply))
    assert as_label(reply).index is None


def test_long_white_space_is_shortened():
    (found,) = as_texts('1. "a' + " " * 500 + 'b"')
    assert found.text == "a" + " " * 64 + "b"
