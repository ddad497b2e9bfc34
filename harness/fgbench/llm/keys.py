"""Keys of stored answers: digests of the model's identity and the request."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fgbench.digests import canonical_json, digest, digest_bytes

if TYPE_CHECKING:
    from fgbench.llm.chat import ChatRequest, Sampling

KEY_BYTES = 32


def request_keys(identity: Mapping[str, Any], requests: Sequence[ChatRequest]) -> bytes:
    """Return the concatenated keys of requests to one model, 32 bytes each."""
    hasher = RequestHasher(identity)
    keys = bytearray()
    for request in requests:
        keys += hasher.key_and_text(request)[0]
    return bytes(keys)


def is_key(key: bytes, model: str, request: str) -> bool:
    """Return whether `key` is the key of a stored request; `model` and `request` are JSON texts.

    Raises `ValueError`, `TypeError` or `RecursionError` if they are not those of a request.
    """
    before, found, after = request.partition(_AFTER_MESSAGES)
    if found:  # the canonical JSON of a request, where the model belongs
        whole = f'{before}],"model":{model},{found[2:]}{after}'
        if hashlib.sha256(whole.encode("utf-8", "surrogatepass")).digest() == key:
            return True
    value = {"model": json.loads(model), **json.loads(request)}
    return bytes.fromhex(digest(value, is_json=True)) == key


_AFTER_MESSAGES = '],"sampling":'


class RequestHasher:
    """Hashes requests to one model: the key is digest({"model": identity, **request.to_value()}).

    The canonical JSON is assembled from parts. Those of the model and of the sampling parameters
    are computed only once, because thousands of keys are computed in a row.
    """

    def __init__(self, identity: Mapping[str, Any]) -> None:
        self.model = canonical_json(dict(identity))
        self._sampling: tuple[Sampling | None, str] = (None, "")

    def key_and_text(self, request: ChatRequest) -> tuple[bytes, str]:
        """Return the key of a request, and the canonical JSON of the request without the model."""
        previous, sampling = self._sampling
        if request.sampling is not previous:
            sampling = canonical_json(vars(request.sampling))
            self._sampling = request.sampling, sampling
        messages = ",".join(
            f'{{"content":{_json(message.content)},"role":{_json(message.role)}}}'
            for message in request.messages
        )
        head = f'{{"draw":{int(request.draw)},"messages":[{messages}],'
        tail = f'"sampling":{sampling},"seed":{int(request.seed)}}}'
        whole = f'{head}"model":{self.model},{tail}'.encode("utf-8", "surrogatepass")
        return bytes.fromhex(digest_bytes(whole)), head + tail


_json = json.JSONEncoder(ensure_ascii=False).encode
