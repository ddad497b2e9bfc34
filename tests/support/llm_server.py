"""An OpenAI-compatible HTTP server for tests: real sockets, answers by hash, faults by script.

    with LlmServer(latency=0.1) as server:          # in a thread of this process
        chat = OpenAIChat(model="tiny", base_url=server.url)
    with server_process(latency=0.1) as server:     # in a process of its own
        ...
    python -m support.llm_server --wait             # by hand, in tests/

It answers `/v1/chat/completions` and `/v1/models`; the same request has the same answer each time.
`Behavior` says how it differs from a good server; `server.stats()` what it has seen.
"""

import asyncio
import contextlib
import json
import os
import random
import re
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from dataclasses import asdict
from email.utils import formatdate
from pathlib import Path

from support.llm_behavior import Behavior
from support.llm_replies import WORDS, content_key, reply_text, token_choice


class _Reply(Exception):  # noqa: N818 - an answer that ends the work on a request
    def __init__(self, status, value, headers=()):
        self.status, self.value, self.headers = status, value, headers


def _refusal(status, message, kind="invalid_request_error", code=None, param=None, headers=()):
    error = {"message": message, "type": kind, "code": code, "param": param}
    return _Reply(status, {"error": error}, headers)


_NO_ANSWER = ("empty-choices", "null-content", "choice-error", "inner-error", "finish-error",
              "safety", "only-reasoning", "cut-thoughts")  # fmt: skip


class _Server:
    """Handles requests, independent of the transport."""

    def __init__(self, behavior):
        self.behavior = behavior
        self.script = list(behavior.script)
        self.replies = list(behavior.replies)
        self.served = [name for name, count in behavior.served for _ in range(count)]
        self.attempts = Counter()  # content → chat requests
        self.answered = Counter()  # content → choices in good answers
        self.faults = Counter()
        self.statuses = Counter()
        self.requests = []
        self.headers = []
        self.in_flight = self.most_in_flight = self.connections = 0

    def stats(self):
        """Return what was seen, as JSON values."""
        names = ("attempts", "answered", "faults", "statuses", "requests")
        seen = {name: getattr(self, name) for name in names}
        return seen | {"most_in_flight": self.most_in_flight, "connections": self.connections}

    def fault_of(self, key):
        """Return the fault of the next chat request, or None."""
        if self.script:
            return self.script.pop(0)
        if self.behavior.always:
            return self.behavior.always
        attempt = self.attempts[key]
        if self.behavior.rates and attempt < self.behavior.faulty_attempts:
            draw = random.Random(f"{key}|{attempt}").random()
            for name, rate in self.behavior.rates.items():
                draw -= rate
                if draw < 0:
                    return name
        return None

    def check(self, body, authorization):
        """Refuse a request that a compatible server would refuse too."""
        echo = f" (Authorization: {authorization})" if self.behavior.echo_key else ""
        wanted = self.behavior.api_key
        if wanted is not None and authorization != f"Bearer {wanted}":
            raise _refusal(401, f"Incorrect API key provided{echo}.", code="invalid_api_key")
        if body.get("model") not in self.behavior.models:
            raise _refusal(
                404,
                f"The model `{body.get('model')}` does not exist{echo}.",
                code="model_not_found",
            )
        for name in self.behavior.refuse:
            if name in body:
                raise _refusal(
                    400,
                    f"Unsupported parameter: '{name}' is not supported with this model{echo}.",
                    code="unsupported_parameter",
                    param=name,
                )
        unknown = [name for name in self.behavior.unknown if name in body]
        if unknown:
            raise _Reply(422, {"detail": f"Unexpected fields in the request: {unknown}{echo}"})
        has_system = any(message["role"] == "system" for message in body["messages"])
        if self.behavior.no_system and has_system:
            raise _refusal(400, self.behavior.no_system, "BadRequestError")
        most = self.behavior.most_logprobs
        if most and body.get("top_logprobs", 0) > most:
            message = f"Requested sample logprobs of {body['top_logprobs']}, which is greater than "
            raise _refusal(400, f"{message}max allowed: {most}", "BadRequestError")
        if self.behavior.refuse_n and body.get("n", 1) > 1:
            raise _refusal(400, "'n' : number must be at most 1", param="n")
        if self.behavior.refuse_format and "response_format" in body:
            if self.behavior.refuse_format == "mute":
                raise _Reply(500, "Internal Server Error")
            raise _refusal(
                int(self.behavior.refuse_format),
                f"response_format type json_schema is not supported{echo}",
            )
        length = sum(len(message["content"]) for message in body["messages"])
        if self.behavior.context and length > self.behavior.context:
            raise self.too_long(echo)

    @staticmethod
    def too_long(echo):
        """Return the refusal of a prompt that is too long, in OpenAI's words."""
        return _refusal(
            400,
            f"This model's maximum context length is 256 tokens{echo}.",
            code="context_length_exceeded",
            param="messages",
        )

    def refuse(self, fault, authorization):
        """Raise the answer of a fault that is a status."""
        echo = f" (Authorization: {authorization})" if self.behavior.echo_key else ""
        after = str(self.behavior.retry_after)
        match fault:
            case "429-after" | "503-after":
                raise _refusal(
                    int(fault[:3]),
                    f"Slow down{echo}.",
                    "requests",
                    headers=[("Retry-After", after)],
                )
            case "429-date":
                then = formatdate(time.time() + self.behavior.retry_after, usegmt=True)
                raise _refusal(429, "Slow down.", headers=[("Retry-After", then)])
            case "quota-words":
                details = [{"@type": "RetryInfo", "retryDelay": f"{after}s"}]
                error = {
                    "code": 429,
                    "message": "You exceeded your current quota, please check your plan and "
                    f"billing details. Please retry in {after}s.",
                    "status": "RESOURCE_EXHAUSTED",
                    "details": details,
                }
                raise _Reply(429, [{"error": error}])
            case "key-400":
                raise _refusal(400, f"API key not valid{echo}. Please pass a valid API key.")
            case "model-400":
                raise _refusal(400, "tiny is not a valid model ID", code=400)
            case "odd-400":
                raise _refusal(400, "Mesh gateway says no")
            case "403":
                raise _refusal(403, "Forbidden.", code=403)
            case "403-filter":
                raise _refusal(
                    403, 'Your input was flagged for "violence" by moderation.', code=403
                )
            case "403-html":
                raise _Reply(403, "<!DOCTYPE html><html><body>Just a moment...</body></html>")
            case "524-html":
                raise _Reply(524, "<!DOCTYPE html><html><body>A timeout occurred</body></html>")
            case "429-too-large":
                raise _refusal(
                    429,
                    "Request too large for tiny on tokens per min (TPM): Limit 300, Requested 400. "
                    "The input or output tokens must be reduced in order to run successfully.",
                    "tokens",
                    code="rate_limit_exceeded",
                )
            case "500-context":
                raise _refusal(
                    500, "the request exceeds the available context size", "server_error"
                )
            case "500-memory":
                raise _refusal(500, "model requires more system memory (9 GiB) than is available")
            case "quota":
                raise _refusal(
                    429,
                    f"You exceeded your current quota{echo}.",
                    "insufficient_quota",
                    code="insufficient_quota",
                )
            case "too-long":
                raise self.too_long(echo)
            case "content-filter":
                raise _refusal(
                    400, f"The prompt was filtered by our policy{echo}.", code="content_filter"
                )
            case "400":
                raise _refusal(400, f"Something about this request is wrong{echo}.")
            case "404-path":
                raise _Reply(404, {"detail": "Not Found"})
            case _ if fault.isdigit():
                raise _refusal(int(fault), f"Scripted fault {fault}{echo}.", "server_error")

    def completion(self, body, fault, authorization):
        """Return the body of a good answer, changed as `fault` says."""
        behavior = self.behavior
        if behavior.ignore_format:
            body = {name: value for name, value in body.items() if name != "response_format"}
        wanted = 1 if behavior.ignore_n else body.get("n") or 1
        if fault == "fewer-choices":
            wanted = max(1, wanted - 1)
        choices = [self.choice(body, index, fault, authorization) for index in range(wanted)]
        prompt = sum(len(message["content"].split()) for message in body["messages"])
        prompt = min(prompt, behavior.cut or prompt)
        completion = sum(len((item["message"]["content"] or "").split()) for item in choices)
        key = content_key(body)
        answer = {
            "id": "chatcmpl-1" if fault == "duplicate-id" else f"chatcmpl-{key}",
            "object": "chat.completion",
            "created": 1700000000,
            "model": self.served.pop(0) if self.served else body["model"],
            "system_fingerprint": "fp_test",
            "choices": [] if fault == "empty-choices" else choices,
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "total_tokens": prompt + completion,
            },
        }
        if fault == "inner-error":
            answer["error"] = {"code": 502, "message": "Upstream failed"}
        if fault == "no-usage":
            del answer["usage"]
        if fault not in _NO_ANSWER:
            self.answered[key] += wanted
        return answer

    def choice(self, body, index, fault, authorization):
        """Return one choice of an answer."""
        text = self.replies.pop(0) if self.replies else reply_text(body, index)
        if self.behavior.echo_key:
            text += f" {authorization}"
        message = {"role": "assistant", "content": text}
        finish = "stop"
        if fault == "null-content":
            message["content"] = None
        elif fault == "refusal":
            message |= {"content": None, "refusal": "I cannot help with that."}
        elif fault == "choice-error":
            error = {"code": 502, "message": "Provider disconnected"}
            return {"index": index, "message": message | {"content": ""}, "error": error}
        elif fault == "finish-error":
            message["content"], finish = text[: len(text) // 2], "error"
        elif fault == "safety":
            message["content"], finish = None, "SAFETY"
        elif fault in ("only-reasoning", "cut-thoughts"):
            message |= {"content": None, "reasoning_content": "Let me think"}
            finish = "stop" if fault == "only-reasoning" else "length"
        elif fault == "thoughts":
            message["content"] = f'The user wants "three" texts.\n</think>\n\n{text}'
        elif fault == "harmony":
            message["content"] = (
                "<|channel|>analysis<|message|>We need to answer.<|end|><|start|>assistant"
                f"<|channel|>final<|message|>{text}"
            )
        elif fault == "filtered":
            message["content"], finish = "", "content_filter"
        choice = {"index": index, "message": message, "finish_reason": finish}
        if body.get("logprobs") and not self.behavior.ignore_logprobs:
            rng = random.Random(text)
            others = [word for word in WORDS if word != text][: body.get("top_logprobs") or 0]
            pieces = re.findall(r"\s*\S+", text)
            choice["logprobs"] = {"content": [token_choice(piece, others, rng) for piece in pieces]}
        return choice


def _as_completion(body):
    """Return the body of a chat completion from a request to Anthropic's Messages API."""
    allowed = {"model", "max_tokens", "messages", "system", "temperature", "top_p",
               "stop_sequences", "thinking"}  # fmt: skip
    assert set(body) <= allowed, body
    assert all(message["role"] != "system" for message in body["messages"])
    system = [{"role": "system", "content": body.pop("system")}] if "system" in body else []
    return body | {"messages": [*system, *body["messages"]]}


def _as_message(status, value):
    """Return a reply of Anthropic's Messages API from a chat completion or an error."""
    if status != 200 or not isinstance(value, dict) or not value.get("choices"):
        error = value.get("error") if isinstance(value, dict) else None
        return {"type": "error", "error": error} if error else value
    (choice,) = value["choices"]
    reasons = {"stop": "end_turn", "length": "max_tokens"}
    return {
        "type": "message",
        "model": value["model"],
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "x"},
            {"type": "text", "text": choice["message"]["content"]},
        ],
        "stop_reason": reasons.get(choice["finish_reason"], choice["finish_reason"]),
        "usage": {
            "input_tokens": value["usage"]["prompt_tokens"] - 1,
            "cache_read_input_tokens": 1,
            "output_tokens": value["usage"]["completion_tokens"],
        },
    }


class _Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time."""

    def __init__(self, server):
        self.server = server
        self.buffer = b""
        self.task = None

    def connection_made(self, transport):
        self.transport = transport
        self.server.connections += 1

    def connection_lost(self, error):
        if self.task is not None:
            self.task.cancel()

    def data_received(self, data):
        self.buffer += data
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found or self.task is not None:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return
        self.buffer = rest[length:]
        if self.server.behavior.keep_requests:
            self.server.headers.append(headers)
        method, path, _ = first.split(" ", 2)
        self.task = asyncio.ensure_future(self.answer(method, path, headers, rest[:length]))
        self.task.add_done_callback(self.done)

    def done(self, task):
        self.task = None
        if not task.cancelled() and task.exception() is not None:
            raise task.exception()
        if self.buffer:
            self.data_received(b"")

    async def answer(self, method, path, headers, raw):
        key = headers.get("x-api-key")  # Anthropic's
        authorization = f"Bearer {key}" if key else headers.get("authorization")
        extra = ()
        try:
            status, value = await self.value(method, path, authorization, raw)
        except _Reply as reply:
            status, value, extra = reply.status, reply.value, reply.headers
        if value is None or self.transport.is_closing():
            return
        if path == "/v1/messages":
            value = _as_message(status, value)
        self.server.statuses[str(status)] += 1
        if self.server.behavior.echo_key and authorization:
            extra = [*extra, ("X-Seen", authorization)]
        self.send(status, value, extra)

    def send(self, status, value, headers=(), *, cut=0):
        kind = "application/json"
        if isinstance(value, bytes):
            payload = value
        elif isinstance(value, str):
            payload, kind = value.encode(), "text/html; charset=utf-8"
        else:
            payload = json.dumps(value).encode()
        lines = [f"HTTP/1.1 {status} Status", f"Content-Type: {kind}"]
        lines += [f"Content-Length: {len(payload)}", *(f"{name}: {text}" for name, text in headers)]
        head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        self.transport.write(head + (payload[:-cut] if cut else payload))

    async def value(self, method, path, authorization, raw):
        """Return status and value of an answer; a value of None where all is done by itself."""
        server = self.server
        if path == "/stats":
            return 200, server.stats()
        if path == "/v1/models":
            models = [{"id": name, "object": "model"} for name in server.behavior.models]
            return 200, {"object": "list", "data": models}
        is_anthropic = path == "/v1/messages"
        if method != "POST" or path not in ("/v1/chat/completions", "/v1/messages"):
            raise _Reply(404, {"detail": "Not Found"})
        body = json.loads(raw)
        if is_anthropic:
            body = _as_completion(body)
        key = content_key(body)
        fault = server.fault_of(key)
        server.attempts[key] += 1
        if server.behavior.keep_requests:
            server.requests.append(body)
        server.in_flight += 1
        server.most_in_flight = max(server.most_in_flight, server.in_flight)
        try:
            if server.behavior.latency:
                await asyncio.sleep(server.behavior.latency)
            server.check(body, authorization)
            if fault is None:
                return 200, server.completion(body, None, authorization)
            server.faults[fault] += 1
            return await self.misbehave(fault, body, authorization)
        finally:
            server.in_flight -= 1

    async def misbehave(self, fault, body, authorization):
        server = self.server
        server.refuse(fault, authorization)
        match fault:
            case "slow":
                await asyncio.sleep(server.behavior.slow)
            case "hang":
                await asyncio.sleep(server.behavior.stall)
                return 200, None
            case "close":
                self.transport.close()
                return 200, None
            case "bad-json":
                return 200, b'{"id": "chatcmpl-1", "choices": [{"index": 0, "message": nonsense'
            case "html":
                return 200, "<html><body>Bad gateway</body></html>"
            case "stall" | "reset" | "truncated":
                good = json.dumps(server.completion(body, None, authorization)).encode()
                server.answered[content_key(body)] -= body.get("n") or 1
                self.send(200, good, cut=len(good) // 2)
                if fault == "stall":
                    await asyncio.sleep(server.behavior.stall)
                elif fault == "reset":
                    await asyncio.sleep(0.005)
                    link = self.transport.get_extra_info("socket")
                    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.transport.abort()
                else:
                    self.transport.close()
                return 200, None
        return 200, server.completion(body, fault, authorization)


class LlmServer:
    """The server in a thread of this process; it stops with the `with` block, or with the tests."""

    def __init__(self, **behavior):
        self.behavior = Behavior(**behavior)
        self._server = _Server(self.behavior)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def start(self):
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def stop(self):
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(10)

    __enter__ = start

    def __exit__(self, *error):
        self.stop()

    async def _serve(self):
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        connections = []

        def connect():
            connections.append(_Connection(self._server))
            return connections[-1]

        server = await self._loop.create_server(connect, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._ready.set()
        await self._stopped.wait()
        server.close()
        for connection in connections:
            connection.transport.abort()
        await asyncio.sleep(0)

    @property
    def headers(self):
        """The headers of each request, in the order of arrival."""
        return self._server.headers

    def stats(self):
        """Return what was seen: `attempts` and `answered` by content, `faults`, `requests`, …"""
        return json.loads(json.dumps(self._server.stats()))


class server_process:  # noqa: N801 - used as a function
    """The server in a process of its own; it ends when its standard input does."""

    def __init__(self, **behavior):
        self.arguments = ["--behavior", json.dumps(asdict(Behavior(**behavior)))]

    def __enter__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "support.llm_server", *self.arguments],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.url = self.process.stdout.readline().strip()
        assert self.url, "the server did not start"
        return self

    def __exit__(self, *error):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()

    def stats(self):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self.url.removesuffix("/v1") + "/stats", timeout=30) as answer:
            return json.load(answer)


def main():
    """Serve until standard input ends."""
    import argparse

    parser = argparse.ArgumentParser()
    parser.add_argument("--behavior", default="{}")
    parser.add_argument("--wait", action="store_true", help="until killed")
    options = parser.parse_args()
    with LlmServer(**json.loads(options.behavior)) as server:
        print(server.url, flush=True)
        if options.wait:
            threading.Event().wait()
        os.read(0, 1)


if __name__ == "__main__":
    main()
