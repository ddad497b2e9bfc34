"""An HTTP client that reads response bodies up to a maximum size, compressed and unpacked."""

from __future__ import annotations

import zlib
from typing import Any

import httpx2
from openai import DefaultAsyncHttpxClient

from fgbench_plugins.language_models.faults import ReplyTooLongError

_ENCODINGS = ("gzip", "x-gzip", "deflate")
_ANY_HEADER = zlib.MAX_WBITS | 32  # gzip or zlib
_NO_HEADER = -zlib.MAX_WBITS  # what some servers send as deflate


class BoundedClient(DefaultAsyncHttpxClient):
    """A client for servers that are not trusted with this process's memory.

    It reads and unpacks bodies itself, because httpx unpacks whole chunks, a thousandfold in the
    worst case. Raises `httpx2.DecodingError` from a `ReplyTooLongError` or a `zlib.error`.
    """

    def __init__(self, *, max_bytes: int, **options: Any) -> None:
        super().__init__(**options, headers={"Accept-Encoding": "gzip, deflate"})
        self._max_bytes = max_bytes

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request and read the whole response."""
        response = await super().send(request, **options | {"stream": True})
        try:
            content = await self._content(response)
        except (ReplyTooLongError, zlib.error) as error:
            raise httpx2.DecodingError(str(error), request=request) from error
        finally:
            await response.aclose()
        headers = response.headers.copy()
        for name in ("Content-Encoding", "Content-Length", "Transfer-Encoding"):
            headers.pop(name, None)
        return httpx2.Response(
            response.status_code,
            headers=headers,
            content=content,
            request=response.request,
            extensions=response.extensions,
            history=response.history,
        )

    async def _content(self, response: httpx2.Response) -> bytes:
        content = bytearray()
        async for chunk in response.aiter_raw():
            content += chunk
            if len(content) > self._max_bytes:
                raise ReplyTooLongError
        body = bytes(content)
        for encoding in reversed(response.headers.get("Content-Encoding", "").lower().split(",")):
            if body and encoding.strip() in _ENCODINGS:
                body = _unpacked(body, self._max_bytes)
        return body


def _unpacked(body: bytes, max_bytes: int) -> bytes:
    try:
        unpacker = zlib.decompressobj(_ANY_HEADER)
        content = unpacker.decompress(body, max_bytes + 1)
    except zlib.error:
        unpacker = zlib.decompressobj(_NO_HEADER)
        content = unpacker.decompress(body, max_bytes + 1)
    if len(content) > max_bytes:
        raise ReplyTooLongError
    if not unpacker.eof:
        raise zlib.error("incomplete")
    return content
