"""OpenAIChat against servers that are broken or hostile: one request fails, nothing else."""

import contextlib
import errno
import gzip
import json
import os
import resource
import tracemalloc
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from fgbench import ChatRequest, ConfigurationError, Message, Sampling
from fgbench.llm.answers import AnswerStore
from fgbench.llm.budget import Ledger
from fgbench_plugins.language_models.api_key import REDACTED
from fgbench_plugins.language_models.openai_endpoint import OpenAIChat

DEEP = b"[" * 100_000
KEY = "sk-secret-0123456789"


@contextlib.contextmanager
def replying(body, *, status=200, **headers):
    """Serve the same bytes to every request; yield the URL and the bodies of the requests."""
    received = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:
                self.close_connection = True

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1", received
        finally:
            server.shutdown()
            thread.join()


def completion(text="fine", *, usage='{"prompt_tokens": 7, "completion_tokens": 3}', choice=""):
    """Return the bytes of a chat completion, with JSON texts where something may be odd."""
    message = json.dumps({"role": "assistant", "content": text})
    return (
        f'{{"model": "tiny", "choices": [{{"index": 0, "finish_reason": "stop"{choice}, '
        f'"message": {message}}}], "usage": {usage}}}'
    ).encode()


def ask(url, text="Question", *, retries=0, **options):
    """Return the answer as it is stored and read again, which must never raise."""
    sampling = Sampling(**options.pop("sampling", {}))
    request = ChatRequest(messages=(Message("user", text),), sampling=sampling)
    model = OpenAIChat("tiny", base_url=url, retries=retries, backoff=0.01, timeout=20, **options)
    found = []
    store = AnswerStore(None)
    ledger = Ledger(store, "run")

    def deliver(request, answer):
        key = bytes([len(found)]) * 32
        store.put(key, "{}", "{}", answer, also=ledger.write)
        found.append((answer, store.get([key])[key]))

    model.answer(iter([request]), ledger.account(None), deliver)
    ((answer, stored),) = found
    assert stored.text == answer.text
    return answer


NUMBERS = ["9007199254740993", "9223372036854775808", "4611686018427387904", "1" + "0" * 400, "-1",
           "NaN", "Infinity", "true", '"12"', "1.5", "1e300", "null", "[]", "{}"]  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("field", ["prompt_tokens", "completion_tokens"])
def test_odd_usage_is_estimated(field, number):
    usage = {"prompt_tokens": "7", "completion_tokens": "3"} | {field: number}
    body = completion(usage=f"{{{', '.join(f'{json.dumps(k)}: {v}' for k, v in usage.items())}}}")
    with replying(body) as (url, _):
        answer = ask(url)
    assert answer.text == "fine"
    assert answer.notes[-1] == "usage estimated"
    assert 0 < answer.usage.prompt_tokens < 100


@pytest.mark.parametrize("number", [*NUMBERS, "5", "-1e400", '"-0.5"'])
def test_odd_logprobs_do_not_lose_the_answer(number):
    alternatives = f'[{{"token": "A", "logprob": -0.5}}, {{"token": "B", "logprob": {number}}}]'
    choice = (
        f', "logprobs": {{"content": [{{"token": "A", "logprob": {number}, '
        f'"top_logprobs": {alternatives}}}]}}'
    )
    with replying(completion("A", choice=choice)) as (url, _):
        answer = ask(url, sampling={"top_logprobs": 2})
    assert answer.text == "A"
    (token,) = answer.tokens
    assert token.alternatives[0] == ("A", -0.5)
    for logprob in (token.logprob, *(value for _, value in token.alternatives)):
        assert isinstance(logprob, float)
        assert -9999 <= logprob <= 0


@pytest.mark.parametrize(
    "choice",
    [
        ', "logprobs": {"content": [5]}', ', "logprobs": {"content": [{"token": null}]}',
        ', "logprobs": {"content": [{"token": 1, "logprob": 0}]}', ', "logprobs": [1]',
        ', "logprobs": {"content": {"0": 1}}', ', "finish_reason": 10',
    ],
)  # fmt: skip
def test_odd_fields_are_ignored(choice):
    with replying(completion(choice=choice)) as (url, _):
        answer = ask(url, sampling={"top_logprobs": 2})
    assert (answer.text, answer.tokens) == ("fine", None)
    assert "no log-probabilities" in answer.notes


@pytest.mark.parametrize(
    ("body", "status", "failure"),
    [
        (DEEP, 200, "invalid JSON"),
        (completion(choice=f', "extra": {DEEP.decode()}'), 200, "invalid JSON"),
        (b'{"error": ' + DEEP, 200, "invalid JSON"),
        (b'{"error": ' + b"[" * 900 + b"]" * 900 + b"}", 500, "HTTP 500"),
        (DEEP, 500, "HTTP 500"),
        (b'{"error": ' + DEEP, 429, "HTTP 429"),
        (b"\xff\xfe\x00", 200, "invalid JSON"),
        (b'{"error": {"message": "x", "code": 1' + b"0" * 5000 + b"}}", 500, "HTTP 500"),
    ],
)
def test_broken_body_is_a_failure_of_its_request(monkeypatch, body, status, failure):
    monkeypatch.setenv("TEST_KEY", KEY)
    with replying(body, status=status) as (url, _):
        answer = ask(url, api_key_env="TEST_KEY")
    assert (answer.text, answer.failure, answer.transient) == (None, failure, True)


def test_nested_json_as_text_is_an_answer():
    with replying(completion(DEEP.decode())) as (url, _):
        answer = ask(url, sampling={"schema": {"type": "object"}})
    assert len(answer.text) == 100_000
    assert "no structured output" in answer.notes


@pytest.mark.parametrize("value", ["nan", "inf", "9" * 5000, "Fri, 31 Dec 9999 23:59:59 GMT", "x",
                                   "Mon, 01 Jan 0001 00:00:00 +2359", "-5", ", 99"])  # fmt: skip
def test_odd_retry_after_is_no_error(value):
    with replying(b"{}", status=429, Retry_After=value) as (url, _):
        assert ask(url).failure == "HTTP 429"


# Size


@pytest.mark.parametrize("encoding", ["", "gzip", "deflate", "identity"])
def test_reply_at_the_limit_is_read(encoding):
    body = completion("x" * 50_000)
    packed = {"gzip": gzip.compress, "deflate": zlib.compress}.get(encoding, bytes)(body)
    with replying(packed, Content_Encoding=encoding) as (url, _):
        assert ask(url, max_reply_bytes=len(body)).text == "x" * 50_000
        answer = ask(url, max_reply_bytes=len(body) - 1)
    assert answer.failure == "longer than max_reply_bytes"
    assert not answer.transient
    assert answer.usage.completion_tokens == 256, "billed: the model has run"


def test_raw_deflate_and_several_encodings_are_read():
    body = completion("fine")
    packer = zlib.compressobj(wbits=-15)
    raw = packer.compress(body) + packer.flush()
    for packed, encoding in [(raw, "deflate"), (gzip.compress(gzip.compress(body)), "gzip, gzip")]:
        with replying(packed, Content_Encoding=encoding) as (url, _):
            assert ask(url).text == "fine"


def test_decompression_bomb_is_not_unpacked():
    bomb = gzip.compress(bytes(500_000_000), 9)
    with replying(bomb, Content_Encoding="gzip") as (url, _):
        ask(url)  # imports
        tracemalloc.start()
        try:
            answer = ask(url)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert answer.failure == "longer than max_reply_bytes"
    assert peak < 40_000_000


@pytest.mark.parametrize("status", [401, 429, 500])
def test_large_error_body_is_bounded_too(status):
    with replying(b'{"error": {"message": "' + b"x" * 10_000_000 + b'"}}', status=status) as (
        url,
        _,
    ):
        assert ask(url).failure == "longer than max_reply_bytes"


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(b"no gzip", "gzip"), (gzip.compress(completion())[:-20], "gzip"), (b"\x78", "deflate")],
)
def test_broken_compression_is_a_failure(body, encoding):
    with replying(body, Content_Encoding=encoding) as (url, _):
        answer = ask(url)
    assert (answer.failure, answer.transient) == ("invalid compression", True)


def test_unknown_encoding_is_a_failure():
    with replying(b"\x28\xb5\x2f\xfd", Content_Encoding="zstd") as (url, _):
        assert ask(url).failure == "invalid JSON"


# Keys and marks


def test_key_is_redacted_from_every_field(monkeypatch):
    monkeypatch.setenv("TEST_KEY", KEY)
    tokens = [
        {"token": f"x{KEY}", "logprob": -1, "top_logprobs": [{"token": KEY, "logprob": -1}]},
    ]
    choice = f', "finish_reason": "{KEY}", "logprobs": {json.dumps({"content": tokens})}'
    body = completion(f"A {KEY}", choice=choice).replace(b'"tiny"', f'"{KEY}"'.encode())
    with replying(body) as (url, _):
        answer = ask(url, api_key_env="TEST_KEY", sampling={"top_logprobs": 1})
    assert KEY not in repr(answer)
    assert answer.text == f"A {REDACTED}"


@pytest.mark.parametrize(
    "tokens",
    [
        [{"token": "A", "logprob": 0, "top_logprobs": [{"token": f"k{KEY}", "logprob": -1}]}],
        [{"token": KEY[:9], "logprob": 0}, {"token": KEY[9:], "logprob": 0}],
    ],
    ids=["alternative", "split over two tokens"],
)
def test_key_is_redacted_from_tokens_alone(monkeypatch, tokens):
    monkeypatch.setenv("TEST_KEY", KEY)
    choice = f', "logprobs": {json.dumps({"content": tokens})}'
    with replying(completion("A", choice=choice)) as (url, _):
        answer = ask(url, api_key_env="TEST_KEY", sampling={"top_logprobs": 1})
    assert KEY not in repr(answer)
    assert KEY not in "".join(token.token for token in answer.tokens or ())


MARKS = ["<|im_start|>", "<|im_end|>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<s>", "</s>",
         "<|eot_id|>", "<|start_header_id|>", "<start_of_turn>", "<end_of_turn>", "<bos>", "<eos>",
         "<|endoftext|>", "<｜User｜>", "<think>", "</tool_call>", "[SYSTEM_PROMPT]"]  # fmt: skip


def test_template_marks_in_texts_are_escaped():
    with replying(completion()) as (url, received):
        for mark in MARKS:
            ask(url, f"a {mark}system {mark}")
        ask(url, "<|im_<|im_start|>start|>")
    contents = [body["messages"][0]["content"] for body in received]
    for mark, content in zip(MARKS, contents, strict=False):
        assert content == f"a {mark[0]} {mark[1:]}system {mark[0]} {mark[1:]}"
    assert "<|im_start|>" not in contents[-1]


@pytest.mark.parametrize("text", ["<b>bold</b>", "a < b > c", "[1] [A] [MASK]", "List<String>",
                                  "x <- y", "<html>", "|> pipe <|"])  # fmt: skip
def test_other_texts_are_sent_as_they_are(text):
    with replying(completion()) as (url, received):
        ask(url, text)
    assert received[0]["messages"][0]["content"] == text


def test_limit_of_open_files_is_named():
    """The event loop gets its three files, and the certificates get none."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with replying(completion()) as (url, _):
        ask(url)  # imports
        held = []
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
            with contextlib.suppress(OSError):
                while True:
                    held.append(os.dup(0))
            for _ in range(3):
                os.close(held.pop())
            with pytest.raises(ConfigurationError, match="limit of open files"):
                ask(url)
        finally:
            for number in held:
                os.close(number)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_connection_without_a_file_is_named(monkeypatch):
    async def fail(*args, **options):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with replying(completion()) as (url, _):
        monkeypatch.setattr("asyncio.BaseEventLoop.create_connection", fail)
        with pytest.raises(ConfigurationError, match="limit of open files"):
            ask(url)
