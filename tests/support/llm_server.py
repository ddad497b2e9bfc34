"""An OpenAI-compatible HTTP server for tests: real sockets, answers by hash, faults by script.

    with LlmServer(latency=0.1) as server:          # in a thread of this process
        chat = OpenAIChat(model="tiny", base_url=server.url)
    with server_process(latency=0.1) as server:     # in a process of its own
        ...
    python tests/support/llm_server.py --port 8000          # by hand

It answers `/v1/chat/completions` and `/v1/models`; the same request has the same answer each time.
`Behaviour` says how it differs from a good server; `server.stats()` what it has seen.
"""

import asyncio
import contextlib
import hashlib
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
from dataclasses import asdict, dataclass, field
from email.utils import formatdate

_TALK = (
    "the printer stopped after lunch while my new laptop still shows a grey screen and nobody in "
    "support could tell when a spare part arrives but thanks for your patience with this odd case"
)
WORDS = _TALK.split()

RETRIED_FAULTS = (
    "429", "429-after", "408", "409", "500", "502", "503", "503-after", "504",
    "hang", "stall", "reset", "close", "truncated", "bad-json", "html", "empty-choices",
    "null-content",
)  # fmt: skip
"""Faults after which the same request is worth another try."""
HARMLESS_FAULTS = ("slow", "no-usage", "duplicate-id", "fewer-choices")
"""Faults that come with an answer."""
FINAL_FAULTS = ("too-long", "content-filter", "filtered", "refusal", "400")
"""Faults that the same request meets again."""


@dataclass
class Behaviour:
    """How the server answers; every field can be given to `LlmServer` as a keyword."""

    latency: float = 0.0
    """Seconds from a request to its answer."""
    script: list = field(default_factory=list)
    """Faults of the next chat requests, in order of arrival; None for a good answer."""
    always: str | None = None
    """The fault of every request behind the script's."""
    rates: dict = field(default_factory=dict)
    """Fault → share of the requests that meet it, decided by the hash of request and attempt."""
    faulty_attempts: int = 1
    """With `rates`, only the first so many attempts at a request can fail."""
    retry_after: float = 0.2
    """Seconds, for the faults that end in -after; whole seconds for 429-date."""
    stall: float = 30.0
    """Seconds for which `hang` and `stall` keep silent."""
    slow: float = 0.5
    """Seconds that `slow` adds."""
    ignore_n: bool = False
    refuse_n: bool = False
    ignore_logprobs: bool = False
    ignore_format: bool = False
    refuse_format: str = ""
    """400, 422 or 500: the status with which `response_format` is refused; "mute" for a 500 that
    does not say why."""
    refuse: tuple = ()
    """Fields of a request that are refused by name, as OpenAI does (400)."""
    unknown: tuple = ()
    """Fields of a request that are refused as unknown (422)."""
    api_key: str | None = None
    """The key that is asked for; None for a server that asks for none."""
    echo_key: bool = False
    """Whether the Authorization header is told in error messages, headers and answers."""
    models: tuple = ("tiny",)
    context: int = 0
    """Characters that a prompt may have; 0 for any number."""
    keep_requests: bool = True
    """Whether `stats` holds the bodies of requests."""


def content_key(body):
    """Return what a request asks, without how often: the digest of model, messages and seed."""
    value = [body.get("model"), body.get("messages"), body.get("seed")]
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def reply_text(body, choice):
    """Return an answer that is made from the hash of what is asked: a label, or a numbered list."""
    messages = body["messages"]
    rng = random.Random(f"{json.dumps(messages)}|{body.get('seed')}|{choice}")
    schema = (body.get("response_format") or {}).get("json_schema", {}).get("schema")
    if schema is not None:
        return json.dumps(_instance(schema, schema, rng))
    names = offered_labels(messages)
    if names:
        return rng.choice(names)
    told = told_answer(messages, rng)
    if told is not None:
        return told
    return "\n".join(f'{number}. "{_sentence(rng)}"' for number in range(1, 4))


def offered_labels(messages):
    """Return the labels between which a prompt lets choose; none where it asks for texts."""
    last = messages[-1]["content"]
    asked = re.search(r"Answer with the (name|number|letter) of the class.*", last)
    if asked is None:
        return []
    if asked[1] != "name":
        return re.findall(r"(\w+) for ", asked[0])
    named = re.findall(r'"((?:[^"\\]|\\.)+)"', asked[0])
    if not named and ":" in asked[0]:
        named = re.split(r", | or ", asked[0].partition(": ")[2].rstrip("."))
    # Of many classes, the names stand in the system message only, each on a line of its own.
    return named or re.findall(r"^(?:-|\w+\.) ([^:\n]+)", messages[0]["content"], re.MULTILINE)


def told_answer(messages, rng):
    """Return an answer in one of the forms that a prompt may ask for in words; None for lists."""
    last = messages[-1]["content"]
    if "Answer with a number from 0 to 100 and nothing else" in last:
        return str(rng.randint(0, 100))
    names = re.findall(r"^(?:-|\w+\.) ([^:\n]+)", messages[0]["content"], re.MULTILINE)
    sure = rng.randint(50, 100)
    if "Answer with JSON only" in last:
        if '"texts"' in last:
            return json.dumps({"texts": [_sentence(rng) for _ in range(3)]})
        return json.dumps({"label": rng.choice(names), "confidence": sure})
    if "Answer with two lines" in last:
        return f"class: {rng.choice(names)}\nconfidence: {sure}"
    if "name of the class alone on the first line" in last:
        return f"{rng.choice(names)}\nI would be surprised if this were wrong."
    return None


def _sentence(rng):
    return " ".join(rng.choices(WORDS, k=rng.randint(5, 12))).capitalize() + "."


def _instance(schema, root, rng):
    """Return a value that a JSON Schema allows, as far as tests need it."""
    if "$ref" in schema:
        node = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            node = node[part]
        return _instance(node, root, rng)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return rng.choice(schema["enum"])
    if "anyOf" in schema:
        return _instance(schema["anyOf"][0], root, rng)
    kind = schema.get("type", "string")
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: _instance(value, root, rng) for name, value in properties.items()}
    if kind == "array":
        length = schema.get("minItems", min(3, schema.get("maxItems", 3)))
        return [_instance(schema.get("items", {}), root, rng) for _ in range(length)]
    if kind in ("number", "integer"):
        low, high = schema.get("minimum", 0), schema.get("maximum", 100)
        return rng.randint(int(low), int(high)) if kind == "integer" else rng.uniform(low, high)
    if kind == "boolean":
        return rng.random() < 0.5
    return _sentence(rng)


class _Reply(Exception):  # noqa: N818 - an answer that ends the work on a request
    def __init__(self, status, value, headers=()):
        self.status, self.value, self.headers = status, value, headers


def _refusal(status, message, kind="invalid_request_error", code=None, param=None, headers=()):
    error = {"message": message, "type": kind, "code": code, "param": param}
    return _Reply(status, {"error": error}, headers)


class _Server:
    """The work on requests, whatever the transport."""

    def __init__(self, behaviour):
        self.behaviour = behaviour
        self.script = list(behaviour.script)
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
        told = {name: getattr(self, name) for name in names}
        return told | {"most_in_flight": self.most_in_flight, "connections": self.connections}

    def fault_of(self, key):
        """Return the fault of the next chat request, or None."""
        if self.script:
            return self.script.pop(0)
        if self.behaviour.always:
            return self.behaviour.always
        attempt = self.attempts[key]
        if self.behaviour.rates and attempt < self.behaviour.faulty_attempts:
            draw = random.Random(f"{key}|{attempt}").random()
            for name, rate in self.behaviour.rates.items():
                draw -= rate
                if draw < 0:
                    return name
        return None

    def check(self, body, authorization):
        """Raise the refusal of a request that a good server refuses too."""
        told = f" (Authorization: {authorization})" if self.behaviour.echo_key else ""
        wanted = self.behaviour.api_key
        if wanted is not None and authorization != f"Bearer {wanted}":
            raise _refusal(401, f"Incorrect API key provided{told}.", code="invalid_api_key")
        if body.get("model") not in self.behaviour.models:
            raise _refusal(
                404,
                f"The model `{body.get('model')}` does not exist{told}.",
                code="model_not_found",
            )
        for name in self.behaviour.refuse:
            if name in body:
                raise _refusal(
                    400,
                    f"Unsupported parameter: '{name}' is not supported with this model{told}.",
                    code="unsupported_parameter",
                    param=name,
                )
        unknown = [name for name in self.behaviour.unknown if name in body]
        if unknown:
            raise _Reply(422, {"detail": f"Unexpected fields in the request: {unknown}{told}"})
        if self.behaviour.refuse_n and body.get("n", 1) > 1:
            raise _refusal(400, "'n' : number must be at most 1", param="n")
        if self.behaviour.refuse_format and "response_format" in body:
            if self.behaviour.refuse_format == "mute":
                raise _Reply(500, "Internal Server Error")
            raise _refusal(
                int(self.behaviour.refuse_format),
                f"response_format type json_schema is not supported{told}",
            )
        length = sum(len(message["content"]) for message in body["messages"])
        if self.behaviour.context and length > self.behaviour.context:
            raise self.too_long(told)

    @staticmethod
    def too_long(told):
        """Return the refusal of a prompt that is too long, in OpenAI's words."""
        return _refusal(
            400,
            f"This model's maximum context length is 256 tokens{told}.",
            code="context_length_exceeded",
            param="messages",
        )

    def refuse(self, fault, authorization):
        """Raise the answer of a fault that is a status."""
        told = f" (Authorization: {authorization})" if self.behaviour.echo_key else ""
        after = str(self.behaviour.retry_after)
        match fault:
            case "429-after" | "503-after":
                raise _refusal(
                    int(fault[:3]),
                    f"Slow down{told}.",
                    "requests",
                    headers=[("Retry-After", after)],
                )
            case "429-date":
                then = formatdate(time.time() + self.behaviour.retry_after, usegmt=True)
                raise _refusal(429, "Slow down.", headers=[("Retry-After", then)])
            case "quota":
                raise _refusal(
                    429,
                    f"You exceeded your current quota{told}.",
                    "insufficient_quota",
                    code="insufficient_quota",
                )
            case "too-long":
                raise self.too_long(told)
            case "content-filter":
                raise _refusal(
                    400, f"The prompt was filtered by our policy{told}.", code="content_filter"
                )
            case "400":
                raise _refusal(400, f"Something about this request is wrong{told}.")
            case "404-path":
                raise _Reply(404, {"detail": "Not Found"})
            case _ if fault.isdigit():
                raise _refusal(int(fault), f"Scripted fault {fault}{told}.", "server_error")

    def completion(self, body, fault, authorization):
        """Return the body of a good answer, or of one that is good but for `fault`."""
        behaviour = self.behaviour
        if behaviour.ignore_format:
            body = {name: value for name, value in body.items() if name != "response_format"}
        wanted = 1 if behaviour.ignore_n else body.get("n") or 1
        if fault == "fewer-choices":
            wanted = max(1, wanted - 1)
        choices = [self.choice(body, index, fault, authorization) for index in range(wanted)]
        prompt = sum(len(message["content"].split()) for message in body["messages"])
        completion = sum(len((item["message"]["content"] or "").split()) for item in choices)
        key = content_key(body)
        answer = {
            "id": "chatcmpl-1" if fault == "duplicate-id" else f"chatcmpl-{key}",
            "object": "chat.completion",
            "created": 1700000000,
            "model": body["model"],
            "system_fingerprint": "fp_test",
            "choices": [] if fault == "empty-choices" else choices,
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "total_tokens": prompt + completion,
            },
        }
        if fault == "no-usage":
            del answer["usage"]
        if fault not in ("empty-choices", "null-content"):
            self.answered[key] += wanted
        return answer

    def choice(self, body, index, fault, authorization):
        """Return one choice of an answer."""
        text = reply_text(body, index)
        if self.behaviour.echo_key:
            text += f" {authorization}"
        message = {"role": "assistant", "content": text}
        finish = "stop"
        if fault == "null-content":
            message["content"] = None
        elif fault == "refusal":
            message |= {"content": None, "refusal": "I cannot help with that."}
        elif fault == "filtered":
            message["content"], finish = "", "content_filter"
        choice = {"index": index, "message": message, "finish_reason": finish}
        if body.get("logprobs") and not self.behaviour.ignore_logprobs:
            rng = random.Random(text)
            others = [word for word in WORDS if word != text][: body.get("top_logprobs") or 0]
            pieces = re.findall(r"\s*\S+", text)
            choice["logprobs"] = {
                "content": [_token_choice(piece, others, rng) for piece in pieces]
            }
        return choice


def _token_choice(token, others, rng):
    top = [token, *others][: max(1, len(others))]
    values = [-rng.uniform(0.05, 0.3), *(-rng.uniform(2, 6) for _ in others)]
    listed = [
        {"token": name, "logprob": value, "bytes": None}
        for name, value in zip(top, values, strict=False)
    ]
    return {"token": token, "logprob": values[0], "bytes": None, "top_logprobs": listed}


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
        if self.server.behaviour.keep_requests:
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
        authorization = headers.get("authorization")
        extra = ()
        try:
            status, value = await self.value(method, path, authorization, raw)
        except _Reply as reply:
            status, value, extra = reply.status, reply.value, reply.headers
        if value is None or self.transport.is_closing():
            return
        self.server.statuses[str(status)] += 1
        if self.server.behaviour.echo_key and authorization:
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
            models = [{"id": name, "object": "model"} for name in server.behaviour.models]
            return 200, {"object": "list", "data": models}
        if method != "POST" or path != "/v1/chat/completions":
            raise _Reply(404, {"detail": "Not Found"})
        body = json.loads(raw)
        key = content_key(body)
        fault = server.fault_of(key)
        server.attempts[key] += 1
        if server.behaviour.keep_requests:
            server.requests.append(body)
        server.in_flight += 1
        server.most_in_flight = max(server.most_in_flight, server.in_flight)
        try:
            if server.behaviour.latency:
                await asyncio.sleep(server.behaviour.latency)
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
                await asyncio.sleep(server.behaviour.slow)
            case "hang":
                await asyncio.sleep(server.behaviour.stall)
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
                    await asyncio.sleep(server.behaviour.stall)
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

    def __init__(self, **behaviour):
        self.behaviour = Behaviour(**behaviour)
        self._server = _Server(self.behaviour)
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

    def __init__(self, **behaviour):
        self.arguments = ["--behaviour", json.dumps(asdict(Behaviour(**behaviour)))]

    def __enter__(self):
        self.process = subprocess.Popen(
            [sys.executable, __file__, *self.arguments],
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
    parser.add_argument("--behaviour", default="{}")
    parser.add_argument("--wait", action="store_true", help="until killed")
    options = parser.parse_args()
    with LlmServer(**json.loads(options.behaviour)) as server:
        print(server.url, flush=True)
        if options.wait:
            threading.Event().wait()
        os.read(0, 1)


if __name__ == "__main__":
    main()
