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
    if at_start and _JSON.match(body, at_start.end()):
        return at_start.end()
    for match in _START_OR_ENTRY.finditer(body):
        if match["number"]:
            return None  # inside an entry of a list
        if match["start"] is not None:
            return match.end()
    return None


_JSON = re.compile(r"[\[{]\s*(?:[\[{\"]|[\]}]\s*\Z)")
_START_OR_ENTRY = re.compile(
    rf"(?P<start>(?:^|:)[ \t]*(?={_JSON.pattern}))"
    r"|(?P<number>^\W{0,4}\d{1,2}[.):])"
    r"|^[ \t]*[-*•][ \t][^\n]*",  # JSON in a bulleted text is part of the text
    re.MULTILINE,
)


def _is_complete(body: str, at: int) -> bool:
    """Return whether a complete JSON value starts at `at`."""
    try:
        DECODER.raw_decode(body, at)
    except (ValueError, RecursionError):
        return False
    return True


def _entries(body: str, at: int, names: Sequence[str]) -> Iterator[Item]:
    """Yield the texts of consecutive values from `at` on; a truncated text is `unfinished`."""
    for _ in range(_MAX_VALUES):
        at = _SEPARATORS.match(body, at).end()  # type: ignore[union-attr] - may be empty
        if body[at : at + 1] not in ("[", "{", '"'):
            return
        try:
            value, at = DECODER.raw_decode(body, at)
        except (ValueError, RecursionError):
            yield from _malformed(body, at, names)
            return
        yield from _texts_in(value, names)


def _malformed(body: str, at: int, names: Sequence[str]) -> Iterator[Item]:
    """Yield the readable texts of JSON that is truncated or has extra commas.

    String values follow "[", "," or ":"; keys precede ":". Objects are decoded whole as long as the
    characters that were read in vain are few, so that the time is linear.
    """
    patience = 8 * len(body)
    while True:
        pattern = _STRING_OBJECT_OR_FENCE if patience > 0 else _STRING_OR_FENCE
        match = pattern.search(body, at)
        if match is None:
            return
        at = match.start()
        if match[0] == "```":
            return
        if match[0] == "{":
            try:
                value, at = DECODER.raw_decode(body, at)
            except json.JSONDecodeError as error:
                end = len(body) if error.msg.startswith("Unterminated") else error.pos
                patience -= end - at + len(body) // 64
                at += 1
            except RecursionError:
                patience = 0
                at += 1
            else:
                yield from _texts_in(value, names)
            continue
        is_text = True
        try:
            value, after = DECODER.raw_decode(body, at)
            if colon := _COLON.match(body, after):
                is_text = _is_text_key(value)
                at = after = colon.end()
                if not body.startswith('"', at):
                    continue
                value, after = DECODER.raw_decode(body, at)
        except ValueError:
            yield Item(body[at + 1 :], exact=True, unfinished=True)
            return
        at = after
        if is_text:
            yield Item(value, exact=True)


_MAX_VALUES = 2000
"""Maximum number of values that are searched for texts."""
_SEPARATORS = re.compile(r"[ \t\n,]*")
_STRING_OBJECT_OR_FENCE = re.compile(r"[\"{]|```")
_STRING_OR_FENCE = re.compile(r"\"|```")
_COLON = re.compile(r"\s*:\s*")
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
        for entry in islice(value, _MAX_VALUES):
            yield from _texts_in(entry, names, depth + 1)
    elif isinstance(value, Mapping) and value:
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
