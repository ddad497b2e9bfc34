"""Generators by language model: the two stages over a model that answers by script."""

import json
import math

import numpy as np
import pytest

from fgbench import (
    Answers,
    ChatAnswer,
    ChatModel,
    ConfigurationError,
    GenerationRequest,
    GenerationTask,
    RelabelRequest,
    Split,
    TokenChoice,
    UnansweredError,
    Usage,
    seed_for,
)
from fgbench.testing import check_generator
from fgbench_plugins.datasets.known_posterior import KnownPosterior
from fgbench_plugins.generators.llm_generator import LanguageModelGenerator

NAMES = ("negative", "positive")


class Script(ChatModel):
    """Answers by a function of the request, and remembers what it was asked."""

    identity = {"engine": "script"}  # noqa: RUF012

    def __init__(self, reply):
        self.reply = reply
        self.asked = []

    def answer(self, requests, spending, deliver):
        for request in requests:
            self.asked.append(request)
            answer = self.reply(request)
            if isinstance(answer, str):
                answer = ChatAnswer(text=answer, usage=Usage(1, 100, 10))
            deliver(request, answer)


def write(request):
    """Write three texts that depend on messages and draw, label by the text."""
    user = request.messages[-1].content
    if "Which class" in user:
        return NAMES[seed_for(user) % 2]
    words = [seed_for(user, request.draw, at) % 10**6 for at in range(3)]
    return "Sure:\n" + "\n".join(f'{at}. "text {word}"' for at, word in enumerate(words, start=1))


class Scripted(LanguageModelGenerator):
    """The generator under test, with a script for a model."""

    def chat_model(self):
        return self.script

    script = Script(write)


def scripted(reply=write, **parameters):
    generator = Scripted(**parameters)
    generator.script = Script(reply)
    return generator


def task(names=NAMES, seed=0):
    return GenerationTask(
        dataset_name="reviews",
        task="a review",
        label_names=names,
        label_descriptions=("",) * len(names),
        training=Split(["a"] * len(names), np.arange(len(names))),
        examples=tuple((f"example of {name}",) for name in names),
        dataset=None,
        seed=seed,
    )


def request(source="It works.", **more):
    return GenerationRequest(
        **{
            "source": source,
            "label": 1,
            "bin": 3,
            "bin_probabilities": (0.25, 0.75),
            "asked_probabilities": (0.35, 0.65),
            "source_id": 0,
        }
        | more
    )


def prepared(reply=write, seed=0, names=NAMES, **parameters):
    generator = scripted(reply, **parameters)
    generator.prepare(task(names, seed))
    return generator


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    "parameters", [{}, {"samples": 2}, {"strategy": "promptmix"}, {"structured": True}]
)
def test_llm_generator_conforms(classes, parameters):
    loader = KnownPosterior(classes=classes, train=60, validation=40, test=20)

    def reply(asked):
        user = asked.messages[-1].content
        if "Which class" in user:
            return str(seed_for(user) % classes + 1)
        return write(asked)

    Scripted.script = Script(reply)
    check_generator(Scripted(**parameters), loader)


def test_result_has_texts_messages_and_usage():
    generator = prepared()
    (result,) = generator.generate([request()])
    assert [item.rejection for item in result.candidates] == [None] * 3
    assert all(item.raw.startswith("Sure:") for item in result.candidates)
    (chat,) = generator.script.asked
    assert result.messages == [message._asdict() for message in chat.messages]
    assert result.usage == Usage(1, 100, 10)
    assert (chat.sampling.temperature, chat.sampling.schema) == (0.1, None)


def test_requests_of_a_round_have_distinct_draws():
    generator = prepared(samples=3)
    requests = [request(draw=draw) for draw in (0, 1)] + [request("Other.")]
    results = generator.generate(requests)
    draws = [(chat.messages[-1].content.count("Other."), chat.draw) for chat in
             generator.script.asked]  # fmt: skip
    assert draws == [(0, draw) for draw in range(6)] + [(1, draw) for draw in range(3)]
    assert [len(result.candidates) for result in results] == [9, 9, 9]
    assert results[0].usage == Usage(3, 300, 30)
    texts = {item.input for result in results for item in result.candidates}
    assert len(texts) == 27


def test_promptmix_asks_per_source_despite_equal_prompts():
    generator = prepared(strategy="promptmix")
    generator.generate([request(source_id=at) for at in range(60)])
    assert len({chat.messages for chat in generator.script.asked}) < 60
    assert len(generator.script.asked) == 60


def test_claimed_probabilities_are_kept_with_candidate():
    reply = '1. "a b" (35% negative, 65% positive)\n2. "c d"'
    (result,) = prepared(lambda _: reply).generate([request()])
    assert [item.claimed_probabilities for item in result.candidates] == [
        pytest.approx((0.35, 0.65)),
        None,
    ]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (ChatAnswer(text=None, failure="prompt too long"), "prompt too long"),
        ("I cannot fulfill your request.", "refusal"),
        ("", "empty"),
        ('"It works!"', "repeats the source"),
        (ChatAnswer(text="1. half a te", finish_reason="length"), "cut off"),
    ],
)
def test_unusable_reply_is_rejected_with_reason(answer, reason):
    (result,) = prepared(lambda _: answer).generate([request()])
    assert [(item.input, item.rejection) for item in result.candidates] == [(None, reason)]


def test_transient_failure_ends_stage():
    answer = ChatAnswer(text=None, failure="timeout", transient=True)
    with pytest.raises(UnansweredError, match="timeout"):
        prepared(lambda _: answer).generate([request()])


def test_relabeling_uses_temperature_0():
    replies = {"good": "positive", "bad": "Negative.", "so so": "positive or negative"}

    def reply(asked):
        return replies[json.loads(asked.messages[-1].content.split("\n")[1])]

    generator = prepared(reply, temperature=1.0)
    found = generator.relabel([RelabelRequest(text, request()) for text in replies])
    assert [(item.label, item.rejection) for item in found] == [
        (1, None),
        (0, None),
        (None, "ambiguous label"),
    ]
    assert [item.raw for item in found] == list(replies.values())
    assert all(chat.sampling.temperature == 0 for chat in generator.script.asked)
    assert sum((item.usage for item in found), Usage()) == Usage(3, 300, 30)


def test_relabeling_reads_schema_json():
    generator = prepared(lambda _: '{"label": "positive"}', structured=True)
    (found,) = generator.relabel([RelabelRequest("good", request())])
    assert found.label == 1
    (chat,) = generator.script.asked
    assert chat.sampling.schema["properties"]["label"]["enum"] == list(NAMES)


def test_relabeling_reads_log_probabilities():
    token = TokenChoice("2", math.log(0.7), (("2", math.log(0.7)), ("1", math.log(0.2))))
    answers = [
        ChatAnswer(text="2", tokens=(token,)),
        ChatAnswer(text="2", tokens=None, notes=("no logprobs",)),
    ]
    generator = prepared(lambda _: answers.pop(0), relabel_by="logprobs")
    found = generator.relabel([RelabelRequest(text, request()) for text in ("good", "fine")])
    assert found[0].label == 1
    assert found[0].probabilities == pytest.approx((2 / 9, 7 / 9))
    assert (found[1].label, found[1].rejection) == (None, "no logprobs")
    assert generator.script.asked[0].sampling.top_logprobs == 20
    assert "1 for negative, 2 for positive" in generator.script.asked[0].messages[-1].content


def test_missing_logprobs_fail_after_one_request():
    generator = prepared(lambda _: "2", relabel_by="logprobs")
    with pytest.raises(ConfigurationError, match="returns no log-probabilities; set relabel_by"):
        generator.relabel([RelabelRequest(text, request()) for text in ("good", "fine")])
    assert len(generator.script.asked) == 1


def test_shared_answer_is_billed_once():
    generator = prepared()
    again = [RelabelRequest(text, request()) for text in ("good", "fine", "good")]
    found = [*generator.relabel(again), *generator.relabel(again)]
    assert len(generator.script.asked) == 2
    assert sum((item.usage for item in found), Usage()) == Usage(2, 200, 20)


def test_answer_notes_are_passed_on():
    note = "no structured output"
    generator = prepared(lambda _: ChatAnswer(text="1. a", notes=(note,)), samples=2)
    (written,) = generator.generate([request()])
    assert written.notes == (note, note)
    (labeled,) = generator.relabel([RelabelRequest("good", request())])
    assert labeled.notes == (note,)


def test_logprobs_relabeling_supports_26_classes():
    names = tuple(f"c{number}" for number in range(27))
    prepared(names=names[:26], relabel_by="logprobs")
    with pytest.raises(ConfigurationError, match="relabel_by=text"):
        prepared(names=names, relabel_by="logprobs")


def test_promptmix_accepts_nearest_class_name():
    for strategy, expected in (("promptmix", 1), ("fitg", None)):
        generator = prepared(lambda _: "positve", strategy=strategy)
        (found,) = generator.relabel([RelabelRequest("good", request())])
        assert found.label == expected


def test_expected_usage_sends_nothing_and_counts_both_stages():
    generator = scripted(samples=2)
    requests = [request(f"A text of some words, number {at}.") for at in range(500)]
    usage = generator.expected_usage(task(), requests)
    assert generator.script.asked == []
    assert usage.requests == 500 * 2 * (1 + 3)
    fewer = generator.expected_usage(task(), requests[:250])
    assert fewer.prompt_tokens == pytest.approx(usage.prompt_tokens / 2, rel=0.01)
    chat = prepared(samples=2)
    chat.generate(requests[:1])
    first = generator.script.count_tokens(chat.script.asked[0].messages)
    assert usage.prompt_tokens > 1000 * first
    assert scripted(relabeler="ngram").expected_usage(task(), requests).requests == 500
    labeling = generator.expected_relabeling(task(), [item.source for item in requests])
    assert labeling.requests == 500
    writing = scripted(samples=2, relabeler="other").expected_usage(task(), requests)
    both = labeling.prompt_tokens * generator.candidates_per_request + writing.prompt_tokens
    assert both == pytest.approx(usage.prompt_tokens, rel=0.001)
    assert generator.expected_usage(task(), []) == Usage()


def test_stored_answers_are_reused():
    answers = Answers.in_memory()
    for _ in range(2):
        generator = scripted()
        generator.answers = answers
        generator.prepare(task())
        generator.generate([request()])
        generator.close()
        generator.close()
    assert generator.script.asked == []  # the first one's answer was stored


def test_template_is_validated_and_part_of_identity(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[generation]\nuser = '{{ source }}: {{ asked_probabilites }}'\n")
    with pytest.raises(ConfigurationError, match=r"mine\.toml line 2.*'asked_probabilities'"):
        Scripted.create({"template": str(path)}, name="scripted")
    path.write_text("[generation]\nuser = '{{ source }}: {{ asked_probabilities }}'\n")
    generator = Scripted.create({"template": str(path)}, name="scripted")
    first = generator.content_digest()
    assert generator.published_parameters()["template"] == "mine.toml"
    generator.script = Script(write)
    generator.prepare(task())
    (result,) = generator.generate([request()])
    assert result.messages == [
        {"role": "user", "content": '"It works.": negative 35%, positive 65%'}
    ]
    path.write_text("[generation]\nuser = 'Now {{ source }}: {{ asked_probabilities }}'\n")
    assert Scripted(template=str(path)).content_digest() != first
    assert Scripted().content_digest() is None
