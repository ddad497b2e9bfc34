"""Language models behind any endpoint that implements OpenAI's chat completions.

The official `openai` client provides connections and authentication. Retries, budgets and the
parsing of responses are implemented here, because each attempt counts toward the budget and
"compatible" servers differ from each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import SplitResult, urlsplit

from fgbench import ChatAnswer, ChatModel, ChatRequest, ConfigurationError, Price, Spending
from fgbench_plugins.language_models.api_key import Secret, check_variable, read_key
from fgbench_plugins.language_models.completions import Dialect
from fgbench_plugins.language_models.dispatch import Dispatcher, Job
from fgbench_plugins.language_models.event_loop import run_coroutine
from fgbench_plugins.language_models.exchange import Exchange, Target
from fgbench_plugins.language_models.faults import is_out_of_files, out_of_files_sentence

if TYPE_CHECKING:
    from openai import AsyncOpenAI

OPENAI_URL = "https://api.openai.com/v1"
OPENAI_KEY = "OPENAI_API_KEY"
MAX_REPLY_BYTES = 4_000_000
_CONNECT_SECONDS = 10.0
_MAX_CHOICES = 32
_POOL_SIZE = 8
"""Connections per pool."""


class OpenAIChat(ChatModel):
    """A model behind an OpenAI-compatible endpoint: OpenAI, vLLM, Ollama, llama.cpp, TGI, …

    At most `concurrency` requests are in flight. An attempt that takes longer than `timeout`
    seconds or fails with a transient error is repeated up to `retries` times. The wait is `backoff`
    seconds and doubles each time, up to a minute, with seeded jitter; or it is the server's
    Retry-After, up to two minutes. A reply of more than `max_reply_bytes` bytes, compressed or
    unpacked, is a permanent failure of its request.

    `structured="auto"` requests JSON by the schema of a request and continues without if the server
    does not support it; "on" raises in that case; "off" never requests it. `extra_body` is added to
    each request. `price` is None if unknown; the cost cannot be capped then.

    `api_key_env` names the environment variable that holds the key. None means OPENAI_API_KEY for
    OpenAI's own servers, and no key for all others, so that nobody else receives OpenAI's key.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str = OPENAI_URL,
        api_key_env: str | None = None,
        concurrency: int = 16,
        timeout: float = 300.0,
        retries: int = 6,
        backoff: float = 1.0,
        max_reply_bytes: int = MAX_REPLY_BYTES,
        structured: Literal["auto", "on", "off"] = "auto",
        price: Price | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> None:
        if api_key_env is not None:
            check_variable(api_key_env)
        self.model = model
        self.endpoint = normalized_url(base_url)
        self._openai = is_openai(self.endpoint)
        if self._openai:
            api_key_env = api_key_env or OPENAI_KEY
        self.price = price
        self._extra = dict(extra_body or {})
        self._target = Target(
            self.endpoint, model, api_key_env, timeout, self._extra, structured == "on"
        )
        self._concurrency = concurrency
        self._retries = retries
        self._backoff = backoff
        self._max_reply_bytes = max_reply_bytes
        self._dialect = Dialect("max_completion_tokens" if self._openai else "max_tokens")
        if structured == "off":
            self._dialect.lacks.add("response_format")

    @property
    def identity(self) -> Mapping[str, Any]:
        """Engine, endpoint and model; what a server runs under a model name is unknown."""
        identity = {
            "engine": "openai",
            "endpoint": self.endpoint,
            "model": self.model,
            "revision": None,
        }
        return identity | ({"extra_body": self._extra} if self._extra else {})

    def check_key(self) -> None:
        """Raise `ConfigurationError` unless the required key is set."""
        read_key(self._target.key_variable)

    def answer(
        self,
        requests: Iterator[ChatRequest],
        spending: Spending,
        deliver: Callable[[ChatRequest, ChatAnswer], None],
    ) -> None:
        """Answer each request; see `ChatModel.answer`.

        Consecutive requests that differ only in their draw are sent in one call, if the server
        supports that.
        """
        secret = read_key(self._target.key_variable)
        with secret.redacted_logs():
            try:
                run_coroutine(
                    lambda *calls: self._answer_all(secret, *calls),
                    _Jobs(requests, self._dialect).next,
                    spending.reserve,
                    spending.settle,
                    lambda request, answer: deliver(request, secret.redacted_answer(answer)),
                )
            except OSError as error:  # of the event loop, or of the certificates
                if not is_out_of_files(error):
                    raise
                raise ConfigurationError(out_of_files_sentence(self.endpoint)) from error

    async def _answer_all(
        self,
        secret: Secret,
        pull: Callable[[], Job | None],
        reserve: Callable[..., Any],
        settle: Callable[..., None],
        deliver: Callable[[ChatRequest, ChatAnswer], None],
    ) -> None:
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(client) for client in self._clients(secret)]
            exchange = Exchange(
                target=self._target,
                dialect=self._dialect,
                clients=clients,
                headers=self._headers(secret),
                secret=secret,
                count_tokens=self.count_tokens,
                reserve=reserve,
                settle=settle,
            )
            dispatcher = Dispatcher(
                pull=pull,
                attempt=exchange.attempt,
                deliver=deliver,
                concurrency=self._concurrency,
                retries=self._retries,
                backoff=self._backoff,
                give_up_after=max(20, 2 * self._concurrency),
            )
            await dispatcher.run()

    def _clients(self, secret: Secret) -> Iterator[AsyncOpenAI]:
        """Yield clients that together have one connection per slot.

        A connection pool searches all of its connections for each request, so several small pools
        are faster than a large one.
        """
        import httpx2
        from openai import AsyncOpenAI

        from fgbench_plugins.language_models.bounded_client import BoundedClient

        seconds = self._target.timeout
        timeout = httpx2.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS), pool=None)
        context = httpx2.create_ssl_context()
        count = -(-self._concurrency // _POOL_SIZE)
        for number in range(count):
            share = len(range(number, self._concurrency, count))
            limits = httpx2.Limits(max_connections=share, max_keepalive_connections=share)
            yield AsyncOpenAI(
                api_key=secret.value or "none",
                admin_api_key="",  # not from the environment
                base_url=self.endpoint,
                max_retries=0,  # attempts are counted here
                timeout=timeout,
                http_client=BoundedClient(
                    max_bytes=self._max_reply_bytes,
                    limits=limits,
                    timeout=timeout,
                    verify=context,
                    follow_redirects=False,
                ),
            )

    def _headers(self, secret: Secret) -> dict[str, Any]:
        """Return headers that omit what the client would otherwise send to any server."""
        from openai import Omit

        names = () if self._openai else ("OpenAI-Organization", "OpenAI-Project")
        return dict.fromkeys(names if secret.value else (*names, "Authorization"), Omit())


class _Jobs:
    """Pulls requests one by one and groups those that differ only in their draw."""

    def __init__(self, requests: Iterator[ChatRequest], dialect: Dialect) -> None:
        self._requests = requests
        self._dialect = dialect
        self._ahead = next(requests, None)
        self._number = 0

    def next(self) -> Job | None:
        if self._ahead is None:
            return None
        group = [self._ahead]
        limit = _MAX_CHOICES if self._ahead.sampling.temperature > 0 else 1
        self._ahead = next(self._requests, None)
        while (
            len(group) < limit
            and "n" not in self._dialect.lacks
            and self._ahead is not None
            and _same_but_draw(group[0], self._ahead)
        ):
            group.append(self._ahead)
            self._ahead = next(self._requests, None)
        self._number += 1
        return Job(tuple(group), self._number)


def _same_but_draw(first: ChatRequest, second: ChatRequest) -> bool:
    return (
        first.messages == second.messages
        and first.sampling == second.sampling
        and first.seed == second.seed
    )


def is_openai(endpoint: str) -> bool:
    """Return whether an endpoint is OpenAI's own, including its regional ones."""
    try:
        parts = urlsplit(endpoint.strip())
    except ValueError:
        return False
    return parts.scheme == "https" and f".{parts.hostname}".endswith(".api.openai.com")


def normalized_url(url: str) -> str:
    """Return the URL of an endpoint in the normalized form in which it is stored and published.

    Raises `ConfigurationError` if it is not an HTTP URL, or contains a password, a query or a
    fragment, which would be published with the results.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise ConfigurationError(
            "base_url is not a valid URL: use one like http://host:8000/v1."
        ) from None
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(
            "base_url contains a user name or a password, which would be published with the "
            "results: remove them, and put the key into the environment variable that api_key_env "
            "names."
        )
    if parts.query or parts.fragment:
        raise ConfigurationError(
            "base_url has a query or a fragment (? or #): use the plain URL, as in "
            "http://host:8000/v1."
        )
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(
            f"base_url={url!r} is not an HTTP URL: use one like http://host:8000/v1."
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default = {"http": 80, "https": 443}[parts.scheme.lower()]
    location = host if port in (None, default) else f"{host}:{port}"
    return SplitResult(parts.scheme.lower(), location, parts.path.rstrip("/"), "", "").geturl()
