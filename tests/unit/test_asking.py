"""Asking language models: no request is sent twice, and no answer is lost."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fgbench import Answers, ChatRequest, Message, PluginError, Sampling, UnansweredError
from fgbench.digests import digest
from fgbench.errors import ConfigurationError, StoreError
from fgbench.llm.answers import AnswerStore
from fgbench.llm.budget import Caps, Ledger
from fgbench.llm.keys import request_keys
from support.chat import Echo, failed, request, requests, said


@pytest.fixture
def store(tmp_path):
    store = AnswerStore(tmp_path / "answers.sqlite")
    yield store
    store.close()


def texts(answers):
    return [answer.text for answer in answers]


def test_answers_are_in_request_order_with_cost(store):
    model = Echo()
    asked = requests(5)
    found = list(Answers(store).ask(model, asked))
    assert texts(found) == [f"re: text {n}" for n in range(5)]
    assert found[0].usage.requests == 1
    assert found[0].usage.cost_usd == pytest.approx((10 * 1.0 + 5 * 2.0) / 1e6)
    assert list(Answers(store).ask(model, asked[::-1])) == found[::-1]
    assert model.calls == 1, "a model that has nothing to answer is left alone"


def test_equal_requests_are_sent_once(store):
    model = Echo()
    asked = [request("a"), request("b"), request("a"), request("a", draw=1)]
    found = list(Answers(store).ask(model, asked))
    assert model.sent == {"a": 2, "b": 1}, "draw 1 is an answer of its own"
    assert found[0] == found[2]


def test_stored_answer_equals_original(store):
    from fgbench import TokenChoice

    whole = said(
        'one\ntwo "3" \x00 é 漢 \u2028',
        served_model="m@fp",
        finish_reason="stop",
        tokens=(TokenChoice("A", -0.25, (("A", -0.25), ("B", -1.5))), TokenChoice("", -1.0)),
        notes=("no structured output",),
    )
    (found,) = Answers(store).ask(Echo({"x": [whole]}), [request("x", top_logprobs=2)])
    assert replace(found, usage=whole.usage) == whole


def test_unstorable_characters_are_replaced(store):
    from fgbench import TokenChoice

    odd = said("a\ud800b", tokens=(TokenChoice("\udc00", float("-inf")),))
    (found,) = Answers(store).ask(Echo({"\ud83d": [odd]}), [request("\ud83d")])
    assert found.text == "a\ufffdb"
    assert found.tokens[0].logprob == -9999.0


def test_refused_requests_are_sent_again_until_answered(store):
    model = Echo({"a": [said("I cannot"), said("I cannot"), said("fine")]})
    refused = str.startswith
    for expected in ("refusal", "refusal", None, None):
        (found,) = Answers(store).ask(
            model, [request("a")], is_refusal=lambda text: refused(text, "I cannot")
        )
        assert found.failure == expected
        assert found.text == ("fine" if expected is None else "I cannot")
    assert model.sent["a"] == 3


def test_final_failures_are_returned_and_asked_again_next_time(store):
    model = Echo({"a": [failed("prompt too long")]})
    (found,) = Answers(store).ask(model, [request("a")])
    assert (found.text, found.failure, found.ok) == (None, "prompt too long", False)
    (found,) = Answers(store).ask(model, [request("a")])
    assert found.ok


def test_transient_failures_end_ask_and_keep_answers(store):
    model = Echo({"text 1": [failed("timeout", transient=True)],
                  "text 3": [failed("HTTP 503", transient=True)]})  # fmt: skip
    with pytest.raises(UnansweredError) as caught:
        Answers(store).ask(model, requests(5))
    message = str(caught.value)
    assert "2 of 5" in message
    assert "timeout ×1" in message
    assert "HTTP 503 ×1" in message
    assert "rerun" in message
    assert texts(Answers(store).ask(model, requests(5))) == [f"re: text {n}" for n in range(5)]
    assert model.sent["text 0"] == 1
    assert model.sent["text 1"] == 2


def test_answers_delivered_before_engine_error_are_kept(store):
    class Broken(Echo):
        def reply(self, item):
            if item.messages[-1].content == "text 3":
                raise ConnectionResetError("gone")
            return super().reply(item)

    with pytest.raises(ConnectionResetError):
        Answers(store).ask(Broken(), requests(5))
    model = Echo()
    list(Answers(store).ask(model, requests(5)))
    assert sorted(model.sent) == ["text 3", "text 4"]


class TwiceModel(Echo):
    def answer(self, requests, spending, deliver):
        for item in requests:
            deliver(item, said("first"))
            deliver(item, said("second"))


class StrangeModel(Echo):
    def answer(self, requests, spending, deliver):
        next(requests)
        deliver(request("nobody asked"), said("x"))


class LazyModel(Echo):
    def answer(self, requests, spending, deliver):
        deliver(next(requests), said("first"))


class ForgetfulModel(Echo):
    def answer(self, requests, spending, deliver):
        for number, item in enumerate(requests):
            if number:
                deliver(item, said("x"))


class SilentModel(Echo):
    def answer(self, requests, spending, deliver):
        for item in requests:
            deliver(item, replace(said("x"), text=None))


class SwallowingModel(Echo):
    """Hides what `deliver` raises, as a callback in an event loop would."""

    def answer(self, requests, spending, deliver):
        for item in requests:
            for text in ("first", "second"):
                with contextlib.suppress(PluginError):
                    deliver(item, said(text))


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (TwiceModel, "twice"),
        (StrangeModel, "not requested"),
        (LazyModel, "left 2 requests"),
        (ForgetfulModel, "left 1 requests"),
        (SilentModel, "neither text nor failure"),
        (SwallowingModel, "twice"),
    ],
)
def test_model_contract_violation_is_named(store, broken, words):
    with pytest.raises(PluginError, match=words):
        Answers(store).ask(broken(), requests(3))


def test_first_stored_answer_wins(store):
    """Two readers at once: both send, one answer is stored, and both get that one."""
    barrier = threading.Barrier(2)

    class Meeting(Echo):
        def __init__(self, said):
            super().__init__()
            self.says = said

        def reply(self, item):
            barrier.wait(10)
            return said(self.says)

    def ask(text):
        own = AnswerStore(store.path)
        try:
            return texts(Answers(own).ask(Meeting(text), [request("a")]))
        finally:
            own.close()

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(ask, ["one", "two"])
    assert one == other
    assert one in (["one"], ["two"])


def test_answers_may_be_delivered_from_other_threads(store):
    class Threaded(Echo):
        def answer(self, requests, spending, deliver):
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda item: deliver(item, self.reply(item)), list(requests)))

    found = texts(Answers(store).ask(Threaded(), requests(200)))
    assert found == [f"re: text {n}" for n in range(200)]


def test_in_memory_store_writes_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = Echo()
    answers = Answers.in_memory()
    assert texts(answers.ask(model, requests(3))) == texts(answers.ask(model, requests(3)))
    assert sum(model.sent.values()) == 3
    assert list(tmp_path.iterdir()) == []


def test_replay_sends_nothing_and_reports_missing_answers(store):
    model = Echo({"b": [said("no")]})
    refuses = {"is_refusal": lambda text: text == "no"}
    known = [request("a"), request("b")]
    first = list(Answers(store).ask(model, known, **refuses))
    replay = Answers(store, replay="FILE")
    assert list(replay.ask(model, known, **refuses)) == first
    assert first[1].failure == "refusal"
    with pytest.raises(UnansweredError) as caught:
        replay.ask(model, [*known, request("a long question"), request("d")])
    for words in ("FILE", "2 of 4", "echo", "a long question"):
        assert words in str(caught.value)
    assert model.calls == 1


def test_replay_ignores_stored_transient_failures(store):
    model = Echo({"a": [failed("timeout", transient=True)]})
    with pytest.raises(UnansweredError):
        Answers(store).ask(model, [request("a")])
    with pytest.raises(UnansweredError, match="1 of 1"):
        Answers(store, replay="FILE").ask(model, [request("a")])


def test_cost_cap_requires_prices(store):
    model = Echo()
    model.price = None
    answers = Answers(store, ledger=Ledger(store, "r", Caps(cost_usd=1.0)))
    with pytest.raises(ConfigurationError, match="prices"):
        answers.ask(model, requests(1))
    (found,) = Answers(store).ask(model, requests(1))
    assert found.usage.cost_usd == 0.0


def test_full_disk_keeps_stored_answers(store):
    list(Answers(store).ask(Echo(), requests(3)))
    with store.reading() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
    many = [request(f"{n} " + "x" * 5000 + str(n * 7919)) for n in range(500)]
    huge = {item.messages[-1].content: [said("y" * 3000)] for item in many}
    model = Echo(huge)
    with pytest.raises(StoreError, match=r"answers\.sqlite cannot be used: .*full"):
        Answers(store).ask(model, many)
    sent = sum(model.sent.values())
    assert sent < len(many), "nothing is asked that cannot be stored"
    store.close()
    again = Echo()
    found = texts(Answers(store).ask(again, requests(3)))
    assert found == [f"re: text {n}" for n in range(3)]
    assert again.calls == 0
    assert sent - 1 <= len(store) - 3 <= sent


# Keys

messages = st.lists(
    st.builds(Message, st.sampled_from(["system", "user"]), st.text()), min_size=1, max_size=3
).map(tuple)
samplings = st.builds(
    Sampling,
    temperature=st.floats(0, 2),
    top_p=st.floats(0, 1),
    max_tokens=st.integers(1, 999),
    stop=st.lists(st.text(), max_size=2).map(tuple),
    schema=st.none() | st.dictionaries(st.text(), st.integers(), max_size=3),
    top_logprobs=st.integers(0, 20),
)
chat_requests = st.builds(
    ChatRequest, messages=messages, sampling=samplings, seed=st.integers(0, 9),
    draw=st.integers(0, 9),
)  # fmt: skip
identities = st.dictionaries(st.text(min_size=1), st.text() | st.integers(), max_size=3)


@given(identities, chat_requests)
def test_answer_key_is_digest_of_model_and_request(identity, asked):
    expected = digest({"model": identity, **asked.to_value()})
    assert request_keys(identity, [asked]).hex() == expected


@given(identities, st.lists(chat_requests, min_size=2, max_size=4))
def test_answer_key_does_not_depend_on_other_requests(identity, asked):
    keys = request_keys(identity, asked)
    alone = b"".join(request_keys(identity, [item]) for item in asked)
    assert keys == alone
    turned = dict(reversed(list(identity.items())))
    assert request_keys(turned, asked) == keys


@given(chat_requests, st.data())
def test_any_request_change_changes_answer_key(asked, data):
    """Any changed field of a request, of its sampling, or of the model's identity."""
    other = data.draw(
        st.sampled_from(
            [
                replace(asked, seed=asked.seed + 1),
                replace(asked, draw=asked.draw + 1),
                replace(asked, messages=(*asked.messages, Message("user", ""))),
                replace(asked, messages=(Message("x", asked.messages[0].content),
                                         *asked.messages[1:])),
                replace(asked, messages=(asked.messages[0]._replace(
                    content=asked.messages[0].content + " "), *asked.messages[1:])),
                *(replace(asked, sampling=replace(asked.sampling, **change)) for change in (
                    {"temperature": asked.sampling.temperature + 0.5},
                    {"top_p": asked.sampling.top_p / 2 + 0.7},
                    {"max_tokens": asked.sampling.max_tokens + 1},
                    {"stop": (*asked.sampling.stop, "x")},
                    {"schema": {**(asked.sampling.schema or {}), "new": True}},
                    {"top_logprobs": asked.sampling.top_logprobs + 1},
                )),
            ]
        )
    )  # fmt: skip
    identity = {"engine": "a", "model": "m"}
    assert request_keys(identity, [asked]) != request_keys(identity, [other])
    for changed in ({"engine": "a", "model": "n"}, {**identity, "revision": "1"}, {"model": "m"}):
        assert request_keys(identity, [asked]) != request_keys(changed, [asked])
