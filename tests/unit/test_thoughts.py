"""Thoughts in replies: every spelling and place, in every reader."""

import math

import pytest

from fgbench import ChatAnswer, TokenChoice
from fgbench_plugins.language_models.labels import label_of_tokens, read_label
from fgbench_plugins.language_models.parsing import is_refusal, parse_texts
from fgbench_plugins.language_models.thoughts import (
    answer_tokens,
    is_thinking,
    opens_thoughts,
    without_thoughts,
)

LIST = '1. "The first text."\n2. "The second </think> text."\n3. "The third text."'
THOUGHTS = 'Start from the printer "sentence".\nlabel: network\n1. "Not this one"'
MARKS = [
    ("<think>", "</think>"), ("<Think>", "</Think>"), ("<THINKING>", "</THINKING>"),
    ("<thought>", "</thought>"), ("<reasoning>", "</reasoning>"), ("<seed:think>", "</seed:think>"),
    ("<mm:think>", "</mm:think>"), ("[THINK]", "[/THINK]"), ("◁think▷", "◁/think▷"),
    ("<|START_THINKING|>", "<|END_THINKING|>"), ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|channel>thought\n", "<channel|>"), ("< think >", "< / think >"),
    ("<|channel|>analysis<|message|>",
     "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final <|constrain|>json<|message|>"),
]  # fmt: skip


def texts(reply, **options):
    return [item.text for item in parse_texts(reply, n_requested=3, **options)]


WANTED = ["The first text.", "The second </think> text.", "The third text."]


@pytest.mark.parametrize(("opening", "closing"), MARKS)
class TestEverySpelling:
    @pytest.mark.parametrize("before", ["", "\n", "**Reasoning**\n", "assistant\n"])
    def test_texts_come_after_the_thoughts(self, opening, closing, before):
        assert texts(f"{before}{opening}{THOUGHTS}{closing}\n\n{LIST}") == WANTED

    def test_opening_mark_in_the_prompt(self, opening, closing):
        assert texts(f"{THOUGHTS}\n{closing}\n{LIST}") == WANTED

    def test_several_thoughts(self, opening, closing):
        reply = f'{opening}a{closing} 1. "x" {opening}b{closing}{LIST}'
        assert texts(reply) == WANTED

    def test_label_comes_after_the_thoughts(self, opening, closing):
        reply = f"{THOUGHTS}{closing}\naccess"
        assert read_label(reply, ["network", "access"]).index == 1
        assert read_label(opening + reply, ["network", "access"]).index == 1

    def test_thoughts_without_end_are_cut_off(self, opening, closing):
        for reply in (f"{opening}{THOUGHTS}", f"{opening}a{closing}{opening}{THOUGHTS}"):
            assert [item.rejection for item in parse_texts(reply, n_requested=3)] == ["cut off"]
            assert read_label(reply, ["network", "access"]).index is None

    def test_refusal_is_read_from_the_answer(self, opening, closing):
        assert is_refusal(f"{opening}Here we go{closing}I cannot help with that.")
        assert not is_refusal(f"{opening}I cannot help with that.{closing}{LIST}")

    def test_log_probabilities_are_those_of_the_answer(self, opening, closing):
        tokens = [choice(piece) for piece in (opening, "A", " maybe", closing, "\n", "B")]
        label = label_of_tokens(answer_tokens("B", tokens), ("A", "B"))
        assert label.index == 1
        label = label_of_tokens(answer_tokens(f"{opening}A maybe{closing}\nB", tokens), ("A", "B"))
        assert label.index == 1


def choice(token):
    return TokenChoice(token, math.log(0.9), ((token, math.log(0.9)),))


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ('analysisThe user says "the printer". So positive.assistantfinalpositive', "positive"),
        ("analysisWe need JSON.assistantfinal json{}", "{}"),
        ("analysis of the market: it is positive", "analysis of the market: it is positive"),
        ("analysisWe need to think about it", ""),
        ("<think>a</think><answer>positive</answer>", "positive"),
        ("", ""),
        ("positive <think>or not</think>", ""),
    ],
)
def test_answer_of_a_reply(reply, answer):
    assert without_thoughts(reply) == answer


@pytest.mark.parametrize(
    "reply",
    [LIST, '{"texts": ["a <think> b", "a\n</think> b"]}', '["</think>"]', '1. "<think>"',
     "a < think about it > b", "[THINKER] x", "</thin> k", "List<String>"],
)  # fmt: skip
def test_marks_in_texts_are_texts(reply):
    assert without_thoughts(reply) == reply
    assert not is_thinking(reply)


def test_stray_quotation_mark_does_not_hide_the_end_of_thoughts():
    assert texts(f'<think>a 5" screen "</think>" or so</think>\n{LIST}') == WANTED
    assert texts(f'<think>a 5" screen</think> {LIST}') == WANTED


def test_text_with_a_mark_outside_of_a_string_is_rejected():
    (item,) = parse_texts("</think>\n1. a text <think", n_requested=1)
    assert item.text == "a text <think"
    items = parse_texts("1. one text\n2. two [/THINK text", n_requested=2)
    assert [item.rejection for item in items] == [None, None]


@pytest.mark.parametrize(
    ("prompt", "opened"),
    [("<|user|>hi<|assistant|><think>\n", True), ("<|assistant|><think>\n\n</think>\n\n", False),
     ("<|assistant|>", False), ("say <think> now<|assistant|>", False), ("[THINK]", True)],
)  # fmt: skip
def test_prompt_that_opens_thoughts(prompt, opened):
    assert opens_thoughts(prompt) is opened


def test_tokens_of_a_field_of_its_own_are_skipped():
    """Servers with a reasoning parser list the tokens of the thoughts, without marks."""
    tokens = [choice(piece) for piece in ("Let", " A", " be", ".", "B")]
    assert [item.token for item in answer_tokens("B", tokens)] == ["B"]
    assert answer_tokens("B", None) is None
    assert answer_tokens("<think>B", tokens) == ()
    answer = ChatAnswer(text="B", tokens=tuple(tokens))
    assert label_of_tokens(answer_tokens(answer.text, answer.tokens), ("A", "B")).index == 1
