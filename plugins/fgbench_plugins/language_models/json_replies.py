"""Extract texts from replies in JSON: an array, an object with one, or lines of objects.

The JSON may be truncated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from fgbench_plugins.language_models.replies import MAX_ITEMS, Item
from fgbench_plugins.language_models.stated_probabilities import claim_of_value

DECODER = json.JSONDecoder(strict=False)
"""Accepts line breaks in strings, which models often leave unescaped."""


def json_items(body: str, names: Sequence[str]) -> list[Item] | None:
    """Return the texts of a reply in JSON, possibly truncated; None if it is not JSON."""
    start = _json_start(body)
    if start is None:
        return None
    items = list(islice(_entries(body, start, names), MAX_ITEMS))
    return items if items or _is_complete(body, start) else None


def _json_start(body: str) -> int | None:
    """Return where JSON starts: at the beginning, in a code fence, or on its own line."""
    fence = re.search(
        r"^[ \t]*```(?:jsonl?|json5|python|js)?[ \t]*\n?\s*(?=[\[{\"])", body, re.M | re.I
    )
    if fence:
        return fence.end()
    at_start = re.match(r"\s*(?=[\[{])", body)
    if at_start and _looks_like_json(body, at_start.end()):
        return at_start.end()
    for match in re.finditer(r"(?:^|:)[ \t]*(?=[\[{])", body, re.M):
        before = body[: match.end()]
        if re.search(r"^\W{0,4}\d{1,2}[.):]", before, re.M):
            return None  # inside an entry of a list
        if _looks_like_json(body, match.end()):
            return match.end()
    return None


def _looks_like_json(body: str, at: int) -> bool:
    return re.match(r"[\[{]\s*(?:[\[{\"]|[\]}]\s*$)", body[at : at + 200]) is not None


def _is_complete(body: str, at: int) -> bool:
    """Return whether a complete JSON value starts at `at`."""
    try:
        DECODER.raw_decode(body, at)
    except (ValueError, RecursionError):
        return False
    return True


def _entries(body: str, at: int, names: Sequence[str]) -> Iterator[Item]:
    """Yield the texts of consecutive values from `at` on; a truncated text is `unfinished`."""
    end = len(body)
    while at < end:
        char = body[at]
        if char in " \t\n,":
            at += 1
            continue
        if char in '[{"':
            try:
                value, at = DECODER.raw_decode(body, at)
            except (ValueError, RecursionError):
                yield from _malformed(body, at, names)
                return
            yield from _texts_in(value, names)
            continue
        return


def _malformed(body: str, at: int, names: Sequence[str]) -> Iterator[Item]:
    """Yield the readable texts of JSON that is truncated or has extra commas."""
    # String values follow "[", "," or ":"; keys precede ":".
    in_list = False
    while at < len(body):
        char = body[at]
        if char == '"':
            try:
                value, after = DECODER.raw_decode(body, at)
            except ValueError:
                yield Item(body[at + 1 :], exact=True, unfinished=True)
                return
            rest = body[after:].lstrip()
            if rest.startswith(":"):
                in_list = in_list and not _is_text_key(value)
                key, at = value, after + (len(body[after:]) - len(rest)) + 1
                following = body[at:].lstrip()
                if following.startswith('"'):
                    at = len(body) - len(following)
                    try:
                        value, at = DECODER.raw_decode(body, at)
                    except ValueError:
                        yield Item(following[1:], exact=True, unfinished=True)
                        return
                    if _is_text_key(key):
                        yield Item(value, exact=True)
                continue
            yield Item(value, exact=True)
            at = after
            continue
        if char == "{":
            try:
                value, at = DECODER.raw_decode(body, at)
            except (ValueError, RecursionError):
                at += 1
            else:
                yield from _texts_in(value, names)
            continue
        if body.startswith("```", at):
            return
        at += 1


_TEXT_KEY = re.compile(
    r"(?:new[_ ]?|generated[_ ]?|the[_ ]?)?"
    r"(?:texts?|utterances?|sentences?|examples?|contents?|tweets?|messages?|titles?|reviews?"
    r"|inputs?|samples?|outputs?|results?|items?|data|responses?|queries|query|questions?"
    r"|statements?|values?)?[_ #-]?\d{0,2}",
    re.IGNORECASE,
)


def _is_text_key(key: Any) -> bool:
    return isinstance(key, str) and key != "" and _TEXT_KEY.fullmatch(key.strip()) is not None


def _texts_in(value: Any, names: Sequence[str], depth: int = 0) -> Iterator[Item]:
    """Yield the texts in a JSON value."""
    if depth > 6:
        return
    if isinstance(value, str):
        yield Item(value, exact=True)
    elif isinstance(value, list):
        for entry in value:
            yield from _texts_in(entry, names, depth + 1)
    elif isinstance(value, Mapping):
        claimed = _claim_in(value, names)
        keys = [key for key in value if _is_text_key(key)]
        if not keys:
            texts = [key for key, entry in value.items() if isinstance(entry, str)]
            keys = texts if len(texts) == 1 else [
                key for key, entry in value.items() if isinstance(entry, list)
            ][:1]  # fmt: skip
        for key in keys:
            for item in _texts_in(value[key], names, depth + 1):
                yield Item(item.text, exact=True, claimed=item.claimed or claimed)


def _claim_in(value: Mapping[str, Any], names: Sequence[str]) -> tuple[float, ...] | None:
    for candidate in (value, *value.values()):
        probabilities = claim_of_value(candidate, names)
        if probabilities is not None:
            return probabilities
    return None
