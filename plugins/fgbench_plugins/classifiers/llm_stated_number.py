"""Parse the confidence, a number from 0 to 100, that a reply states."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

NO_NUMBER = "no number"

_DIGITS = r"(?<![\w.,])(?P<number>-?\d{1,3}(?:[.,]\d{1,6})?)(?!\w|[.,]\d)"
_FORMS = (
    # "confidence: 85", "I am 85% sure", and if there is no other number, "85".
    re.compile(
        r"\b(?:confidence|certainty|probability|score|sureness)\b[^\w\n-]{0,6}"
        r"(?:(?:level|score|is|of|in|percent|%|about)\b[^\w\n-]{0,4}){0,3}"
        rf"{_DIGITS}\s*(?P<unit>%|％|percent\b|/\s*100\b|out of 100\b)?",
        re.IGNORECASE,
    ),
    re.compile(rf"{_DIGITS}\s*(?P<unit>%|％|percent\b|/\s*100\b|out of 100\b)", re.IGNORECASE),
    re.compile(rf"{_DIGITS}(?P<unit>)"),
)
_LABEL_KEY = re.compile(r"(?:label|class|category|answer|name)(?:[_ ]name)?", re.IGNORECASE)
_NUMBER_KEY = re.compile(r"confidence|certainty|probability|score", re.IGNORECASE)
_MASK = "\x00"


def stated_number(body: str, names: Sequence[str]) -> tuple[str, float | None]:
    """Return a reply without its number, and the number as a fraction, None without a number.

    Digits in class names do not count. A number of at most 1 with a decimal point and without a
    percent sign is taken as a fraction. Several different numbers, or one above 100, yield None.
    """
    masked = _without_names(body, names)
    for form in _FORMS:
        matches = list(form.finditer(masked))
        if not matches:
            continue
        shares = {_share(match["number"], bool(match["unit"])) for match in matches}
        starts = [0, *(match.end() for match in matches)]
        ends = [*(match.start() for match in matches), len(body)]
        rest = " ".join(body[start:end] for start, end in zip(starts, ends, strict=True))
        return rest, shares.pop() if len(shares) == 1 else None
    return body, None


def json_statement(body: str) -> tuple[str, float | None]:
    """Return the label and the number of a reply in JSON, otherwise the reply and None."""
    start = body.find("{")
    if start < 0:
        return body, None
    try:
        value, _ = json.JSONDecoder(strict=False).raw_decode(body, start)
    except (ValueError, RecursionError):
        return body, None
    label = _first_value(value, _LABEL_KEY)
    number = _first_value(value, _NUMBER_KEY)
    if label is None or number is None or isinstance(number, bool):
        return body, None
    if isinstance(number, str):
        return str(label), stated_number(number, ())[1]
    if not isinstance(number, int | float):
        return body, None
    return str(label), _share(repr(number), percent=False)


def _first_value(value: dict[str, Any], key: re.Pattern[str]) -> Any:
    return next((entry for name, entry in value.items() if key.fullmatch(name)), None)


def _share(digits: str, percent: bool) -> float | None:
    number = float(digits.replace(",", "."))
    if not 0 <= number <= 100:
        return None
    is_share = not percent and number <= 1 and not digits.lstrip("-").isdigit()
    return number if is_share else number / 100


def _without_names(body: str, names: Sequence[str]) -> str:
    """Return a text of the same length with class names masked."""
    patterns = [
        r"[\s_\-]+".join(map(re.escape, re.split(r"[\s_\-]+", name.strip())))
        for name in sorted(names, key=len, reverse=True)
        if re.search(r"\d", name)
    ]
    if not patterns:
        return body
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(patterns)})(?!\w)", re.IGNORECASE)
    return pattern.sub(lambda match: _MASK * len(match[0]), body)
