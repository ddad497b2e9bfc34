"""SHA-256 digests of canonical JSON, bytes and files, used as keys and for verification."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_CHUNK = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SCALARS = frozenset({str, bool, int, float, type(None)})


def canonical_json(value: Any, *, is_json: bool = False) -> str:
    """Return the canonical JSON text of `value`: sorted keys, no spaces, no NaN.

    Accepts JSON types only (a tuple counts as a list) and string keys only, so that the `str()` of
    an object never becomes part of a key; raises `TypeError` for others. `is_json` skips this check
    if the caller knows that the value is JSON. The text is not RFC 8785: the formats of numbers and
    the order of keys are those of Python.
    """
    if not is_json:
        _require_json(value)
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def digest(value: Any, *, is_json: bool = False) -> str:
    """Return the SHA-256 of the canonical JSON of `value`, as 64 hexadecimal digits."""
    return digest_bytes(canonical_json(value, is_json=is_json).encode("utf-8", "surrogatepass"))


def digest_bytes(content: bytes) -> str:
    """Return the SHA-256 of `content`, as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def digest_file(path: Path) -> str:
    """Return the SHA-256 of the file at `path`, read in chunks."""
    sha = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            sha.update(chunk)
    return sha.hexdigest()


def is_digest(value: Any) -> bool:
    """Return whether a value is a text of 64 lower-case hexadecimal digits, as digests are."""
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def seed_for(*parts: Any) -> int:
    """Derive a 63-bit seed from JSON values, so that random streams are independent.

    The same values give the same seed on every machine and in every process.
    """
    return int(digest(list(parts))[:16], 16) >> 1


def _require_json(value: Any) -> None:
    if value is None or isinstance(value, str | bool | int | float):
        return
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"a key of canonical JSON must be a string, not {key!r}")
        items: Iterable[Any] = value.values()
    elif isinstance(value, list | tuple):
        items = value
    else:
        raise TypeError(f"{type(value).__name__} is not a JSON type: {value!r}")
    for item in items:
        if type(item) not in _SCALARS:  # spares a call for most items
            _require_json(item)
