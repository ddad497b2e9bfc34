"""OpenAIChat against a real HTTP server: answers, faults, budgets and missing features."""

import asyncio
import threading
import time

import pytest

from fgbench import (
    BudgetError,
    ConfigurationError,
    Price,
)
from fgbench_plugins.language_models.dispatch import MAX_WAIT
from fgbench_plugins.language_models.faults import status_fault
from fgbench_plugins.language_models.openai_endpoint import OpenAIChat, normalized_url
from support.endpoint import Ledger, ask, chats, collect
from support.llm_behavior import FINAL_FAULTS, RETRIED_FAULTS
from support.llm_replies import reply_text


@pytest.fixture(autouse=True)
def _no_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


class TestAnswers:
    def test_answer_has_text_usage_and_served_model(self, llm_server):
        server, ledger = llm_server(), Ledger()
        request = chats(1, temperature=0.5, top_p=0.9, max_tokens=50, stop=("\n\n",))[0]
        (answer,) = ask(server, [request], ledger)
        (body,) = server.stats()["requests"]
        assert answer.ok
        assert answer.text == reply_text(body, 0)
        assert answer.served_model == "tiny (fp_test)"
        assert answer.finish_reason == "stop"
        assert (answer.usage.requests, answer.usage.prompt_tokens) == (1, 4)
        assert answer.usage.completion_tokens == len(answer.text.split())
        assert answer.notes == ()
        assert ledger.tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
        assert body == {
            "model": "tiny",
            "messages": [message._asdict() for message in request.messages],
            "temperature": 0.5,
            "top_p": 0.9,
            "max_tokens": 50,
            "stop": ["\n\n"],
            "seed": request.sampling_seed,
        }

    def test_every_request_is_answered_once(self, llm_server):
        server = llm_server(latency=0.01)
        answers = ask(server, chats(200), concurrency=16)
        stats = server.stats()
        assert all(answer.ok for answer in answers)
        assert set(stats["attempts"].values()) == {1}
        assert len(stats["attempts"]) == 200
        assert stats["most_in_flight"] == 16
        assert stats["connections"] == 16

    def test_requests_are_pulled_only_when_slots_are_free(self, llm_server):
        server, pulled, most = llm_server(), 0, 0
        delivered = []

        def requests():
            nonlocal pulled, most
            for request in chats(100):
                pulled += 1
                most = max(most, pulled - len(delivered))
                yield request

        model = OpenAIChat("tiny", base_url=server.url, concurrency=4)
        model.answer(requests(), Ledger(), lambda request, answer: delivered.append(request))
        assert len(delivered) == 100
        assert most <= 4 + 4 + 4 + 2  # sent, laid out, and come back; one is looked at

    def test_logprobs_are_parsed(self, llm_server):
        (answer,) = ask(llm_server(), chats(1, top_logprobs=3))
        assert "".join(choice.token for choice in answer.tokens) == answer.text
        assert all(len(choice.alternatives) == 3 for choice in answer.tokens)
        assert all(choice.alternatives[0][1] == choice.logprob for choice in answer.tokens)

    def test_structured_output_sends_schema(self, llm_server):
        schema = {"type": "object", "properties": {"label": {"enum": ["a", "b"]}}}
        server = llm_server()
        (answer,) = ask(server, chats(1, schema=schema))
        assert answer.text in ('{"label": "a"}', '{"label": "b"}')
        assert answer.notes == ()
        told = server.stats()["requests"][0]["response_format"]["json_schema"]
        assert told == {"name": "answer", "schema": schema, "strict": True}

    def test_works_inside_running_event_loop(self, llm_server):
        """As in a notebook; what is called back is called in the caller's thread."""
        server, threads = llm_server(), set()

        async def cell():
            model = OpenAIChat("tiny", base_url=server.url)
            note = lambda *_: threads.add(threading.get_ident())  # noqa: E731
            model.answer(iter(chats(20)), Ledger(), note)
            return threading.get_ident()

        assert threads == set() and asyncio.run(cell()) in threads
        assert len(threads) == 1

    def test_caller_error_propagates_from_running_event_loop(self, llm_server):
        server = llm_server()

        async def cell():
            collect(OpenAIChat("tiny", base_url=server.url), chats(20), Ledger(most=3))

        with pytest.raises(BudgetError):
            asyncio.run(cell())


class TestDraws:
    def test_draws_of_one_chat_are_one_call(self, llm_server):
        server = llm_server()
        answers = ask(server, chats(3, draws=4, temperature=0.7))
        assert [body["n"] for body in server.stats()["requests"]] == [4, 4, 4]
        assert len({answer.text for answer in answers}) == 12
        assert sum(answer.usage.requests for answer in answers) == 3
        assert sum(answer.usage.prompt_tokens for answer in answers) == 3 * 4
        assert sum(answer.usage.completion_tokens for answer in answers) == sum(
            len(answer.text.split()) for answer in answers
        )

    def test_temperature_0_sends_one_call_per_draw(self, llm_server):
        server = llm_server()
        ask(server, chats(1, draws=3))
        assert all("n" not in body for body in server.stats()["requests"])

    def test_server_ignoring_n_is_detected(self, llm_server):
        server = llm_server(ignore_n=True)
        answers = ask(server, chats(3, draws=4, temperature=0.7), concurrency=1)
        bodies = server.stats()["requests"]
        assert all(answer.ok for answer in answers)
        assert sum("n" in body for body in bodies) == 1
        assert len(bodies) == 12
        assert answers[0].notes == ("n ignored",)
        assert len({answer.text for answer in answers}) == 12

    def test_server_refusing_n_is_detected(self, llm_server):
        server = llm_server(refuse_n=True)
        answers = ask(server, chats(2, draws=3, temperature=0.7), concurrency=1)
        assert all(answer.ok for answer in answers)
        assert sum("n" in body for body in server.stats()["requests"]) == 1


SCHEMA = {"type": "object", "properties": {"label": {"enum": ["a", "b"]}}}


class TestWhatServersLack:
    @pytest.mark.parametrize("status", ["400", "422", "500"])
    def test_refused_response_format_is_left_out(self, llm_server, status):
        server = llm_server(refuse_format=status)
        answers = ask(server, chats(5, schema=SCHEMA), concurrency=1)
        assert [answer.notes for answer in answers] == [("no structured output",)] * 5
        with_format = ["response_format" in body for body in server.stats()["requests"]]
        assert with_format == [True] + [False] * 5

    def test_silent_500_for_response_format_is_detected(self, llm_server):
        server = llm_server(refuse_format="mute")
        answers = ask(server, chats(3, schema=SCHEMA), concurrency=1)
        assert [answer.notes for answer in answers] == [("no structured output",)] * 3
        assert len(server.stats()["requests"]) <= 3 * 3

    def test_ignored_response_format_is_noted(self, llm_server):
        (answer,) = ask(llm_server(ignore_format=True), chats(1, schema=SCHEMA))
        assert answer.ok and answer.notes == ("no structured output",)

    def test_structured_on_fails_if_refused(self, llm_server):
        server = llm_server(refuse_format="400")
        with pytest.raises(ConfigurationError, match=r"structured=auto\.$"):
            ask(server, chats(5, schema=SCHEMA), structured="on")

    def test_structured_off_sends_no_schema(self, llm_server):
        server = llm_server()
        (answer,) = ask(server, chats(1, schema=SCHEMA), structured="off")
        assert answer.notes == ("no structured output",)
        assert "response_format" not in server.stats()["requests"][0]

    @pytest.mark.parametrize("ignored", [True, False])
    def test_missing_logprobs_are_noted(self, llm_server, ignored):
        server = llm_server(ignore_logprobs=ignored, refuse=() if ignored else ("logprobs",))
        (answer,) = ask(server, chats(1, top_logprobs=3))
        assert answer.ok and answer.tokens is None
        assert answer.notes == ("no log-probabilities",)

    @pytest.mark.parametrize("fields", [{"refuse": ("seed",)}, {"unknown": ("seed",)}])
    def test_a_refused_seed_is_left_out(self, llm_server, fields):
        server = llm_server(**fields)
        answers = ask(server, chats(3), concurrency=1)
        assert [answer.notes for answer in answers] == [("no seed",)] * 3
        assert ["seed" in body for body in server.stats()["requests"]] == [True] + [False] * 3

    def test_several_refused_fields_are_left_out(self, llm_server):
        server = llm_server(unknown=("seed", "logprobs", "response_format", "n"))
        answers = ask(
            server,
            chats(4, draws=2, temperature=1.0, top_logprobs=2, schema=SCHEMA),
            retries=0,
        )
        assert all(answer.ok for answer in answers)
        assert set(answers[0].notes) >= {"no seed", "no structured output", "no log-probabilities"}

    @pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
    def test_max_tokens_falls_back_to_other_name(self, llm_server, name):
        server = llm_server(refuse=(name,))
        answers = ask(server, chats(4, max_tokens=20), concurrency=1)
        assert all(answer.ok for answer in answers)
        bodies = server.stats()["requests"]
        assert len(bodies) == (5 if name == "max_tokens" else 4)
        assert all(
            body.get("max_tokens", body.get("max_completion_tokens")) == 20 for body in bodies
        )

    def test_missing_usage_is_estimated(self, llm_server):
        ledger = Ledger()
        (answer,) = ask(llm_server(script=["no-usage"]), chats(1), ledger)
        assert answer.notes == ("usage estimated",)
        assert answer.usage.prompt_tokens > 0 and answer.usage.completion_tokens > 0
        assert ledger.tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


class TestFaults:
    @pytest.mark.parametrize("fault", RETRIED_FAULTS)
    def test_transient_fault_is_retried(self, llm_server, fault):
        server, ledger = llm_server(script=[fault]), Ledger()
        (answer,) = ask(server, chats(1), ledger, timeout=1.0, concurrency=1)
        assert answer.ok
        assert answer.usage.requests == 2 == ledger.requests

    @pytest.mark.parametrize("fault", RETRIED_FAULTS)
    def test_persistent_fault_is_reported_after_retries(self, llm_server, fault):
        server = llm_server(always=fault, retry_after=0.05)
        (answer,) = ask(server, chats(1), timeout=0.5, retries=2)
        assert answer.text is None and answer.transient
        assert answer.usage.requests == 3
        assert sum(server.stats()["attempts"].values()) == 3
        reasons = {
            "hang": "timeout", "stall": "timeout", "reset": "connection lost",
            "close": "connection lost", "truncated": "connection lost",
            "bad-json": "invalid JSON", "html": "invalid JSON", "empty-choices": "no choices",
            "null-content": "no text", "quota-words": "HTTP 429", "choice-error": "HTTP 502",
            "inner-error": "HTTP 502", "finish-error": "finish reason error",
        }  # fmt: skip
        assert answer.failure == reasons.get(fault, f"HTTP {fault[:3]}")

    @pytest.mark.parametrize("fault", FINAL_FAULTS)
    def test_final_fault_is_reported_without_retry(self, llm_server, fault):
        server = llm_server(always=fault)
        (answer,) = ask(server, chats(1))
        assert not answer.ok and not answer.transient
        assert answer.usage.requests == 1
        reasons = {
            "too-long": "prompt too long", "content-filter": "content filter",
            "filtered": "content filter", "refusal": "refusal",
            "400": "HTTP 400: Something about this request is wrong.",
            "403-filter": "content filter", "429-too-large": "prompt too long",
            "500-context": "prompt too long", "safety": "content filter",
            "only-reasoning": "no text beside its reasoning",
            "cut-thoughts": "no text within max_tokens",
        }  # fmt: skip
        assert answer.failure == reasons[fault]
        assert (answer.text is None) == (fault not in ("refusal", "filtered"))

    def test_unreachable_server_is_reported(self, llm_server):
        server = llm_server()
        server.stop()
        (answer,) = ask(server, chats(1), retries=1)
        assert (answer.failure, answer.transient) == ("no connection", True)
        assert answer.usage.prompt_tokens == 0

    def test_harmless_faults_are_ignored(self, llm_server):
        server = llm_server(script=["slow", "duplicate-id", "duplicate-id", "duplicate-id"])
        answers = ask(server, chats(6))
        assert all(answer.ok for answer in answers)
        assert len({answer.text for answer in answers}) == 6

    @pytest.mark.parametrize(("fault", "least"), [("429-after", 0.4), ("429-date", 0.0)])
    def test_retry_after_is_respected(self, llm_server, fault, least):
        server = llm_server(script=[fault], retry_after=0.4 if fault == "429-after" else 2)
        start = time.monotonic()
        (answer,) = ask(server, chats(1), backoff=60.0)
        assert answer.ok
        assert least <= time.monotonic() - start < 4  # a date is in whole seconds

    def test_excessive_retry_after_is_capped(self):
        from fgbench_plugins.language_models.dispatch import Dispatcher, Job
        from fgbench_plugins.language_models.faults import Fault

        dispatcher = Dispatcher(None, None, None, 1, 1, 1.0, 1)
        job = Job(tuple(chats(1)), 1, failures=1)
        assert dispatcher._wait(job, Fault("", retry_after=1e9)) == MAX_WAIT
        assert dispatcher._wait(job, Fault("", retry_after=0.1)) == 0.1
        # One that says "soon" again and again is not asked again and again.
        later = Job(job.requests, 1, failures=5)
        assert dispatcher._wait(later, Fault("", retry_after=0.1)) >= 8.0
        waits = [dispatcher._wait(Job(job.requests, n, failures=3), Fault("")) for n in range(50)]
        assert all(2.0 <= wait <= 4.0 for wait in waits) and len(set(waits)) == 50
        assert waits[0] == dispatcher._wait(Job(job.requests, 0, failures=3), Fault(""))

    def test_waiting_request_frees_its_slot(self, llm_server):
        server = llm_server(script=["429-after"], retry_after=2)
        start, times = time.monotonic(), []
        model = OpenAIChat("tiny", base_url=server.url, concurrency=1)
        model.answer(iter(chats(20)), Ledger(), lambda *_: times.append(time.monotonic() - start))
        assert len(times) == 20
        assert times[18] < 2 <= times[19]

    def test_dead_endpoint_is_given_up(self, llm_server):
        server = llm_server(always="500")
        answers = ask(server, chats(300), retries=1)
        assert all(answer.transient for answer in answers)
        assert sum(server.stats()["attempts"].values()) < 100
        assert answers[-1].failure == "endpoint down, not sent"

    @pytest.mark.parametrize(
        ("options", "behavior", "words"),
        [
            ({}, {"api_key": "right"}, "requires a key"),
            ({"api_key_env": "MY_KEY"}, {"api_key": "right"}, "rejects the key .* MY_KEY"),
            ({"model": "absent"}, {}, "has no model 'absent': check model="),
            ({}, {"always": "404-path"}, "does not exist .*: check base_url="),
            ({}, {"always": "403"}, "requires a key .HTTP 403"),
            ({}, {"always": "quota"}, "has no credit left"),
        ],
    )
    def test_configuration_error_ends_all_requests(
        self, llm_server, monkeypatch, options, behavior, words
    ):
        monkeypatch.setenv("MY_KEY", "wrong")
        server = llm_server(latency=0.01, **behavior)
        with pytest.raises(ConfigurationError, match=words) as caught:
            ask(server, chats(500), concurrency=4, **options)
        assert "\n" not in str(caught.value)
        assert sum(server.stats()["attempts"].values()) <= 4

    def test_api_key_is_sent(self, llm_server, monkeypatch):
        monkeypatch.setenv("MY_KEY", "right")
        (answer,) = ask(llm_server(api_key="right"), chats(1), api_key_env="MY_KEY")
        assert answer.ok

    def test_openai_account_headers_are_not_sent_to_other_servers(self, llm_server, monkeypatch):
        monkeypatch.setenv("OPENAI_ORG_ID", "org-hush")
        monkeypatch.setenv("OPENAI_PROJECT_ID", "project-hush")
        monkeypatch.setenv("OPENAI_ADMIN_KEY", "admin-hush")
        server = llm_server()
        ask(server, chats(1))
        assert "hush" not in str(server.headers)
        assert "authorization" not in server.headers[0]

    def test_answers_before_authentication_error_are_delivered(self, llm_server):
        server = llm_server(script=[None] * 10 + ["401"])
        with pytest.raises(ConfigurationError):
            ask(server, chats(50), concurrency=1)
        assert len(collect.answers) == 10

    def test_error_in_deliver_propagates(self, llm_server):
        def deliver(request, answer):
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            OpenAIChat("tiny", base_url=llm_server().url).answer(iter(chats(10)), Ledger(), deliver)


class TestWordings:
    """What servers really say, as their sources and their answers have it."""

    SENT = ("response_format", "logprobs", "seed", "n", "max_tokens")

    @pytest.mark.parametrize(
        "message",
        [
            "This model's maximum context length is 256 tokens. However, your prompt contains at "
            "least 257 input tokens. (parameter=input_tokens, value=257)",  # vLLM 0.32
            "'max_tokens' or 'max_completion_tokens' is too large: 512. This model's maximum "
            "context length is 256 tokens and your request has 44 input tokens",  # vLLM 0.9
            "Requested tokens (600) exceed context window of 512",  # llama-cpp-python
            "the request exceeds the available context size (512 tokens), try increasing it",
            "Input validation error: `inputs` must have less than 1024 tokens. Given: 1100",  # TGI
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096",
            "prompt is too long: 210000 tokens > 200000 maximum",  # Anthropic
            "The input token count (40000) exceeds the maximum number of tokens allowed (32768).",
            "Please reduce the length of the messages or completion.",  # Groq
        ],
    )
    def test_too_long_prompt_wording_is_recognized(self, message):
        for body in ({"error": {"message": message}}, {"message": message}, {"error": message}):
            fault = status_fault(400, {}, body, self.SENT, "m")
            assert (fault.reason, fault.transient) == ("prompt too long", False)
            assert fault.rejected is fault.stop is None

    @pytest.mark.parametrize(
        ("status", "body", "field"),
        [
            (400, {"error": {"message": "Unsupported parameter: 'max_tokens' is not supported with "
             "this model. Use 'max_completion_tokens' instead.", "param": "max_tokens",
             "code": "unsupported_parameter"}}, "max_tokens"),  # OpenAI
            (422, {"detail": "Unexpected fields in the request: {'seed'}"}, "seed"),
            (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"],
             "msg": "Extra inputs are not permitted"}]}, "seed"),  # Mistral
            (500, {"error": {"message": "[{'type': 'literal_error', 'loc': ('body', "
             "'response_format', 'type'), 'msg': \"Input should be 'text'\", cannot"}},
             "response_format"),  # llama-cpp-python
            (400, {"error": {"message": "'n' : number must be at most 1"}}, "n"),  # Groq
            (400, {"error": {"message": "Invalid schema for response_format 'answer': In "
             "context=(), 'additionalProperties' is required", "param": "response_format"}},
             "response_format"),
            (400, {"error": {"message": "`logprobs` is not supported with it"}}, "logprobs"),
        ],
    )  # fmt: skip
    def test_refused_field_wording_is_recognized(self, status, body, field):
        assert status_fault(status, {}, body, self.SENT, "m").rejected == field

    @pytest.mark.parametrize(
        ("status", "body", "stop"),
        [
            (400, {"error": {"message": "max_tokens=3000 cannot be greater than max_model_len=256. "
             "Please request fewer output tokens.", "param": "max_tokens"}}, "parameter"),  # vLLM
            (400, {"error": {"message": "max_tokens is too large: 100000. This model supports at "
             "most 16384 completion tokens", "param": "max_tokens"}}, "parameter"),
            (400, {"error": {"message": "Unsupported value: 'temperature' does not "
             "support 0.1 with this model.", "param": "temperature", "code":
             "unsupported_value"}}, "parameter"),
            (402, {"error": {"message": "Insufficient Balance"}}, "account"),  # DeepSeek
            (429, {"error": {"message": "You exceeded your current quota", "type":
             "insufficient_quota"}}, "account"),
            (404, {"error": {"message": "model 'm' not found, try pulling it first"}}, "model"),
            (404, "404 page not found", "path"),
            (405, {"detail": "Method Not Allowed"}, "path"),
            (307, "", "path"),
        ],
    )  # fmt: skip
    def test_fatal_error_wording_is_recognized(self, status, body, stop):
        assert status_fault(status, {}, body, self.SENT, "m").stop == stop

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({"retry-after": "3"}, 3), ({"retry-after": "1.5"}, 1.5), ({"retry-after": "-1"}, 0),
            ({"retry-after": "soon"}, None), ({}, None), ({"retry-after-ms": "250"}, 0.25),
            ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0), ({"retry-after": "nan"}, 0),
        ],
    )  # fmt: skip
    def test_retry_after_header_formats(self, headers, seconds):
        assert status_fault(429, headers, "", (), "m").retry_after == seconds


class TestBudget:
    def test_budget_end_delivers_requests_in_flight(self, llm_server):
        server = llm_server(latency=0.05)
        with pytest.raises(BudgetError, match="cap of 10"):
            ask(server, chats(50), Ledger(most=10), concurrency=4)
        assert sum(server.stats()["attempts"].values()) == 10
        assert len(collect.answers) == 10

    def test_retries_count_toward_budget(self, llm_server):
        server = llm_server(always="500")
        with pytest.raises(BudgetError):
            ask(server, chats(1), Ledger(most=3))
        assert sum(server.stats()["attempts"].values()) == 3

    def test_timed_out_request_is_billed_in_full(self, llm_server):
        ledger = Ledger()
        (answer,) = ask(llm_server(script=["hang"]), chats(1, max_tokens=77), ledger, timeout=0.2)
        assert answer.usage.completion_tokens == 77 + len(answer.text.split())
        assert answer.notes == ("usage estimated",)
        assert ledger.tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


class TestConstruction:
    def test_model_identity(self):
        model = OpenAIChat("m", base_url="HTTP://Host:80/v1/", price=Price(1, 2))
        assert model.identity == {
            "engine": "openai",
            "endpoint": "http://host/v1",
            "model": "m",
            "revision": None,
        }

    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("http://me:hush@host/v1", "user name or a password"),
            ("https://hush@host/v1", "user name or a password"),
            ("http://host/v1?key=hush", "query"),
            ("ftp://host/v1", "not an HTTP URL"),
            ("localhost:8000/v1", "not an HTTP URL"),
            ("http://host:hush/v1", "not a valid URL"),
        ],
    )
    def test_invalid_base_url_is_refused(self, url, words):
        with pytest.raises(ConfigurationError, match=words) as caught:
            normalized_url(url)
        assert "hush" not in str(caught.value)

    def test_key_in_place_of_variable_name_is_refused(self):
        with pytest.raises(ConfigurationError, match="takes the name") as caught:
            OpenAIChat("m", api_key_env="sk-hush-hush")
        assert "hush" not in str(caught.value)

    def test_malformed_key_is_refused(self, llm_server, monkeypatch):
        monkeypatch.setenv("MY_KEY", "schlüssel hush")
        with pytest.raises(ConfigurationError, match="MY_KEY contains characters") as caught:
            ask(llm_server(), chats(1), api_key_env="MY_KEY")
        assert "hush" not in str(caught.value)

    @pytest.mark.parametrize("options", [{}, {"base_url": "https://eu.api.openai.com/v1"}])
    def test_openai_without_key_fails_before_sending(self, options):
        with pytest.raises(ConfigurationError, match="OPENAI_API_KEY, which"):
            OpenAIChat("m", **options).answer(iter(chats(1)), Ledger(), None)

    def test_unset_key_variable_is_an_error(self, llm_server, monkeypatch):
        monkeypatch.delenv("MY_KEY", raising=False)
        server = llm_server()
        with pytest.raises(ConfigurationError, match="MY_KEY, which"):
            ask(server, chats(1), api_key_env="MY_KEY")
        assert server.stats()["attempts"] == {}

    def test_openai_key_is_sent_only_to_openai(self, llm_server, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", "hush")
        server = llm_server()
        (answer,) = ask(server, chats(1))
        assert answer.ok
        assert not any("authorization" in headers for headers in server.headers)
        # What only looks like it is another server.
        monkeypatch.delenv("OPENAI_API_KEY")
        for url in ("http://api.openai.com/v1", "https://api.openai.com.example/v1"):
            OpenAIChat("m", base_url=url).check_key()  # wants none
