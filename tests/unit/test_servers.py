"""What real servers do to requests and replies: each kind on the scripted server."""

import time

import pytest

from fgbench import ChatRequest, ConfigurationError, Message, Sampling
from fgbench_plugins.language_models.anthropic_messages import AnthropicChat
from fgbench_plugins.language_models.openai_endpoint import OpenAIChat
from support.endpoint import Ledger, ask, chats, collect
from support.llm_replies import reply_text

MERGED = "system message merged into the first user message"


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def attempts(server):
    return sum(server.stats()["attempts"].values())


class TestErrors:
    def test_limit_worded_with_quota_is_waited_for(self, llm_server):
        server = llm_server(script=["quota-words"], retry_after=0.6)
        start = time.monotonic()
        answers = ask(server, chats(2), concurrency=1, backoff=30)
        assert all(answer.ok for answer in answers)
        assert 0.6 <= time.monotonic() - start < 10
        assert attempts(server) == 3

    @pytest.mark.parametrize(
        ("fault", "words"),
        [("key-400", "requires a key"), ("model-400", "has no model 'tiny'"),
         ("500-memory", "cannot load the model 'tiny'"), ("403", "requires a key")],
    )  # fmt: skip
    def test_stop_is_recognized_at_any_status(self, llm_server, fault, words):
        server = llm_server(always=fault)
        with pytest.raises(ConfigurationError, match=words):
            ask(server, chats(30), concurrency=2)
        assert attempts(server) <= 2

    def test_unknown_refusal_of_every_request_ends_early(self, llm_server):
        server = llm_server(always="odd-400", latency=0.01)
        with pytest.raises(ConfigurationError, match=r"first 20 requests all failed.*Mesh gateway"):
            ask(server, chats(200), concurrency=4)
        assert attempts(server) <= 20 + 2 * 4

    def test_unknown_refusals_after_an_answer_are_rejections(self, llm_server):
        server = llm_server(script=[None], always="odd-400")
        answers = ask(server, chats(40), concurrency=1)
        assert [answer.ok for answer in answers] == [True] + [False] * 39

    def test_refusals_of_prompts_do_not_end_early(self, llm_server):
        answers = ask(llm_server(always="too-long"), chats(60))
        assert {answer.failure for answer in answers} == {"prompt too long"}

    def test_filter_with_403_rejects_one_prompt(self, llm_server):
        answers = ask(llm_server(script=["403-filter"]), chats(10), concurrency=1)
        assert [answer.failure for answer in answers] == ["content filter"] + [None] * 9

    def test_403_after_an_answer_is_a_rejection(self, llm_server):
        answers = ask(llm_server(script=[None, "403"]), chats(3), concurrency=1)
        assert [answer.failure for answer in answers] == [None, "HTTP 403: Forbidden.", None]

    def test_proxy_that_refuses_is_named(self, llm_server, monkeypatch):
        monkeypatch.setattr(
            "fgbench_plugins.language_models.exchange.proxy_of", lambda endpoint: "http://p"
        )
        monkeypatch.setenv("HTTP_PROXY", "http://me:hush@127.0.0.1:1")
        with pytest.raises(ConfigurationError, match=r"A proxy \(HTTP_PROXY\)") as caught:
            ask(llm_server(always="403-html"), chats(3))
        assert "hush" not in str(caught.value)

    def test_requests_to_this_machine_go_through_no_proxy(self, llm_server, monkeypatch):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        (answer,) = ask(llm_server(), chats(1))
        assert answer.ok

    @pytest.mark.parametrize(
        ("name", "value"),
        [("ALL_PROXY", "socks5://127.0.0.1:1"), ("HTTPS_PROXY", "ftp://127.0.0.1"),
         ("SSL_CERT_FILE", "/nowhere/ca.pem"), ("SSLKEYLOGFILE", "/nowhere/keys")],
    )  # fmt: skip
    def test_unusable_environment_is_found_in_preflight(self, monkeypatch, name, value):
        monkeypatch.setenv(name, value)
        with pytest.raises(ConfigurationError, match=name):
            OpenAIChat("m", base_url="https://example.org/v1").check_client()


class TestReplies:
    @pytest.mark.parametrize("fault", ["choice-error", "inner-error", "finish-error"])
    def test_half_answers_are_asked_again(self, llm_server, fault):
        server = llm_server(script=[fault])
        (answer,) = ask(server, chats(1))
        (body, _) = server.stats()["requests"]
        assert answer.text == reply_text(body, 0)
        assert attempts(server) == 2

    @pytest.mark.parametrize("reason", ["abort", "error", "unknown_reason", "\x1b[31m" * 20])
    def test_only_known_finish_reasons_are_answers(self, reason):
        answer = read(finish_reason=reason)
        assert answer.transient and "\x1b" not in answer.reason

    @pytest.mark.parametrize(
        "reason",
        [None, "stop", "eos", "end_turn", "stop_sequence", "tool_calls", "STOP", "eos_token"],
    )
    def test_known_finish_reasons_are_answers(self, reason):
        assert read(finish_reason=reason).ok

    @pytest.mark.parametrize(
        "reason", ["content_filter", "content_filter: hate", "SAFETY", "PROHIBITED_CONTENT",
                   "sensitive", "RECITATION"]
    )  # fmt: skip
    def test_filters_are_recognized_by_prefix(self, reason):
        assert read(content=None, finish_reason=reason).failure == "content filter"

    @pytest.mark.parametrize("place", ["reasoning_content", "reasoning", "reasoning_details"])
    @pytest.mark.parametrize("content", [None, "", " \n"])
    def test_reply_without_text_beside_reasoning_is_final(self, place, content):
        fault = read(content=content, message={place: "Let me think"})
        assert (fault.reason, fault.transient) == ("no text beside its reasoning", False)

    def test_model_that_only_thinks_ends_the_run_early(self, llm_server):
        server = llm_server(always="cut-thoughts", latency=0.01)
        with pytest.raises(ConfigurationError, match="set thinking_tokens="):
            ask(server, chats(100), concurrency=2)
        assert attempts(server) <= 5 + 2 * 2

    def test_thoughts_without_end_are_cut_off(self):
        answer = read(content="<think>The text is about", finish_reason="length")
        assert answer.failure == "no text within max_tokens"

    def test_tokens_of_thoughts_that_only_the_total_has_are_counted(self):
        reply = reply_of(usage={"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 515})
        assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (10, 505)

    def test_cut_prompts_are_noted(self, llm_server):
        server = llm_server(cut=600)
        requests = [
            ChatRequest(messages=(Message("user", "word " * size),), sampling=Sampling())
            for size in (300, 580, 4000, 3000)
        ]
        answers = ask(server, requests, concurrency=1)
        noted = ["prompt may have been cut" in answer.notes for answer in answers]
        assert noted == [False, False, True, True]


class TestFields:
    @pytest.mark.parametrize(
        ("name", "sampling", "note"),
        [
            ("temperature", {"temperature": 0.3}, "no temperature: the model's default"),
            ("top_p", {"top_p": 0.9}, "no top_p: the model's default"),
            ("stop", {"stop": ("zzz",)}, "no stop: cut off afterwards"),
        ],
    )
    def test_refused_sampling_is_left_out_and_noted(self, llm_server, name, sampling, note):
        server = llm_server(refuse=(name,))
        answers = ask(server, chats(3, **sampling), concurrency=1)
        assert [answer.notes for answer in answers] == [(note,)] * 3
        assert attempts(server) == 4

    def test_reply_is_cut_at_a_stop_that_the_server_refuses(self, llm_server):
        server = llm_server(refuse=("stop",), replies=("<think>a 4. b</think>one 4. two",))
        (answer,) = ask(server, chats(1, stop=("4.",)))
        assert answer.text == "<think>a 4. b</think>one "

    @pytest.mark.parametrize(
        "message",
        ["System role not supported", "Conversation roles must alternate user/assistant/...",
         "Developer instruction is not enabled for models/gemma"],
    )  # fmt: skip
    def test_system_message_is_merged_if_the_model_has_no_such_role(self, llm_server, message):
        server = llm_server(no_system=message)
        answers = ask(server, chats(5), concurrency=1)
        assert [answer.notes for answer in answers] == [(MERGED,)] * 5
        sent = server.stats()["requests"][-1]["messages"]
        assert [item["role"] for item in sent] == ["user"]
        assert sent[0]["content"].startswith("Be brief.\n\nQuestion")
        assert attempts(server) == 6

    @pytest.mark.parametrize(("most", "got"), [(5, 5), (8, 8), (3, 3)])
    def test_fewer_logprobs_are_asked_for(self, llm_server, most, got):
        server = llm_server(most_logprobs=most)
        answers = ask(server, chats(3, top_logprobs=20), concurrency=1)
        assert all(len(answer.tokens[0].alternatives) == got for answer in answers)
        assert [answer.notes for answer in answers] == [(f"{got} log-probabilities",)] * 3
        assert attempts(server) == 4

    @pytest.mark.parametrize(
        "extra",
        [{"max_tokens": 3000}, {"max_completion_tokens": 3000}, {"options": {"num_predict": 3000}}],
    )
    def test_reservation_is_what_is_sent(self, llm_server, extra):
        reserved = []

        class Watching(Ledger):
            def reserve(self, prompt_tokens, completion_tokens):
                reserved.append(completion_tokens)
                return super().reserve(prompt_tokens, completion_tokens)

        ask(llm_server(), chats(2, draws=3, temperature=1.0, max_tokens=40), Watching(),
            extra_body=extra)  # fmt: skip
        assert reserved == [9000, 9000]

    @pytest.mark.parametrize("name", ["model", "messages", "n", "stream", "seed", "best_of"])
    def test_extra_body_must_not_change_what_is_counted(self, name):
        with pytest.raises(ConfigurationError, match=f"contains '{name}'"):
            OpenAIChat("m", base_url="http://host/v1", extra_body={name: 1})

    @pytest.mark.parametrize("limit", [-1, 0, None, "3000", 1.5, True])
    def test_limit_in_extra_body_must_be_a_number(self, limit):
        with pytest.raises(ConfigurationError, match="positive integer"):
            OpenAIChat("m", base_url="http://host/v1", extra_body={"options": {"n_predict": limit}})


class TestAnthropic:
    """Anthropic's Messages API, on a server that follows its documentation."""

    def test_request_and_reply(self, llm_server, monkeypatch):
        monkeypatch.setenv("MY_KEY", "hush")
        server = llm_server(api_key="hush")
        model = AnthropicChat("tiny", base_url=server.url, api_key_env="MY_KEY")
        (request,) = chats(1, temperature=0.5, max_tokens=50, stop=("\n\n",))
        (answer,) = collect(model, [request], Ledger())
        assert answer.ok and answer.finish_reason == "end_turn"
        assert (answer.usage.prompt_tokens, answer.notes) == (4, ("no seed",))
        (headers,) = server.headers
        assert headers["x-api-key"] == "hush" and headers["anthropic-version"] == "2023-06-01"
        assert "authorization" not in headers
        (body,) = server.stats()["requests"]
        assert body["messages"][0] == {"role": "system", "content": "Be brief."}
        assert body["stop_sequences"] == ["\n\n"]

    def test_errors_are_those_of_the_table(self, llm_server):
        server = llm_server(script=["529", "too-long", "401"])
        model = AnthropicChat("tiny", base_url=server.url, concurrency=1, backoff=0.01)
        with pytest.raises(ConfigurationError, match="requires a key"):
            collect(model, chats(3), Ledger())
        assert [answer.failure for answer in collect.answers.values()] == ["prompt too long"]

    def test_key_is_sent_only_to_anthropic(self, llm_server, monkeypatch):
        monkeypatch.setenv("ANTHROPIC_API_KEY", "hush")
        server = llm_server()
        collect(AnthropicChat("tiny", base_url=server.url), chats(1), Ledger())
        assert "hush" not in str(server.headers)
        AnthropicChat("claude").check_key()
        monkeypatch.delenv("ANTHROPIC_API_KEY")
        with pytest.raises(ConfigurationError, match="ANTHROPIC_API_KEY, which"):
            AnthropicChat("claude").check_key()


def reply_of(*, content="fine", finish_reason="stop", message=None, usage=None):
    """Return what is read from one response body."""
    from fgbench_plugins.language_models.completion_replies import read_reply
    from fgbench_plugins.language_models.faults import Fault

    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content} | (message or {}),
        "finish_reason": finish_reason,
    }
    body = {"model": "m", "choices": [choice], "usage": usage}
    sent = ("seed", "temperature", "max_tokens")
    request = ChatRequest(messages=(Message("user", "Question"),), sampling=Sampling())
    return read_reply(body, [request], sent, len, 10, lambda error: Fault("error"))


def read(**fields):
    return reply_of(**fields).items[0]
