"""The number in a reply that says how sure it is: one, from 0 to 100, or none."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

NO_NUMBER = "no number"

_DIGITS = r"(?<![\w.,])(?P<number>-?\d{1,3}(?:[.,]\d{1,6})?)(?!\w|[.,]\d)"
_FORMS = (
    # "confidence: 85", "I am 85% sure", and, if nothing else is a number, "85".
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
    """Return a reply without its number, and the number as a share of 1; None if there is not one.

    Digits of class names do not count. A number with a decimal point that is at most 1 is a share
    already, unless a percent sign follows. Two different numbers, or one beyond 100, are none.
    """
    masked = _without_names(body, names)
    for form in _FORMS:
        matches = list(form.finditer(masked))
        if not matches:
            continue
        shares = {_share(match["number"], bool(match["unit"])) for match in matches}
        rest = body
        for match in reversed(matches):
            rest = f"{rest[: match.start()]} {rest[match.end() :]}"
        return rest, shares.pop() if len(shares) == 1 else None
    return body, None


def json_statement(body: str) -> tuple[str, float | None]:
    """Return the label and the number of a reply in JSON; the reply and None if it is not."""
    start = body.find("{")
    if start < 0:
        return body, None
    try:
        value, _ = json.JSONDecoder(strict=False).raw_decode(body, start)
    except (ValueError, RecursionError):
        return body, None
    label = _under(value, _LABEL_KEY)
    number = _under(value, _NUMBER_KEY)
    if label is None or number is None or isinstance(number, bool):
        return body, None
    if isinstance(number, str):
        return str(label), stated_number(number, ())[1]
    if not isinstance(number, int | float):
        return body, None
    return str(label), _share(repr(number), percent=False)


def _under(value: dict[str, Any], key: re.Pattern[str]) -> Any:
    return next((entry for name, entry in value.items() if key.fullmatch(name)), None)


def _share(digits: str, percent: bool) -> float | None:
    number = float(digits.replace(",", "."))
    if not 0 <= number <= 100:
        return None
    is_share = not percent and number <= 1 and not digits.lstrip("-").isdigit()
    return number if is_share else number / 100


def _without_names(body: str, names: Sequence[str]) -> str:
    """Return the text with class names blotted out, of the same length."""
    spelled = [
        r"[\s_\-]+".join(map(re.escape, re.split(r"[\s_\-]+", name.strip())))
        for name in sorted(names, key=len, reverse=True)
        if re.search(r"\d", name)
    ]
    if not spelled:
        return body
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(spelled)})(?!\w)", re.IGNORECASE)
    return pattern.sub(lambda match: _MASK * len(match[0]), body)
