"""Numbers as text: one function for every number that fgbench shows, wherever it shows it.

Three decimals, no zero before the point, a true minus sign (U+2212). Differences have a sign,
unless they round to zero. `ascii_text` replaces what an output cannot encode.
"""

from __future__ import annotations

DECIMALS = 3
NOTHING = "–"
"""Shown where there is no number."""

_MINUS, _NO_BREAK = "−", "\N{NO-BREAK SPACE}"

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_WORDS = (
    *("no", "one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "ten", "eleven", "twelve"),
)

_ASCII = {
    "−": "-", "–": "-", "—": "-", "‒": "-", "·": "-", "─": "-", "…": "...", "→": "->", "±": "+/-",
    "●": "*", "■": "#", "◆": "=", "◇": "?", "┊": "|", "│": "|", "°": "~", "≈": "~", "×": "x",
    "≤": "<=", "≥": ">=", "✓": "+", "✗": "x", "“": '"', "”": '"', "‘": "'", "’": "'", "²": "2",
    "½": "1/2", "√": "sqrt", "δ": "delta", "Δ": "Delta", "α": "alpha", _NO_BREAK: " ",
}  # fmt: skip


def number(value: float | None, decimals: int = DECIMALS) -> str:
    """Return a number: ".186", "1.000", "−.004"; a dash for None."""
    if value is None:
        return NOTHING
    digits = _digits(value, decimals)
    return digits if value >= 0 or _is_zero(digits) else _MINUS + digits


def signed(value: float | None, decimals: int = DECIMALS) -> str:
    """Return a difference with its sign: "+.036", "−.036"; ".000" has none."""
    if value is None:
        return NOTHING
    digits = _digits(value, decimals)
    return digits if _is_zero(digits) else ("+" if value > 0 else _MINUS) + digits


def interval(
    ends: tuple[float, float] | None, *, differs: bool = False, decimals: int = DECIMALS
) -> str:
    """Return an interval, "[.117, .154]", of a difference with signs; a dash for None.

    The space in it does not break.
    """
    if ends is None:
        return NOTHING
    low, high = ((signed if differs else number)(end, decimals) for end in ends)
    return f"[{low},{_NO_BREAK}{high}]"


def margin_text(margin: float) -> str:
    """Return a margin as short as it is: ".01"."""
    return f"{margin:.6f}".rstrip("0").removeprefix("0") if margin < 1 else f"{margin:g}"


def count(value: int) -> str:
    """Return a count with commas: "1,415"."""
    return f"{value:,}"


def percent(share: float) -> str:
    """Return a share of 1 in whole percent: "30 %"."""
    return f"{100 * share:.0f}{_NO_BREAK}%"


def date(text: str) -> str:
    """Return the date of an ISO time as "21 Nov 2026"; any other text as it is."""
    from datetime import datetime

    try:
        found = datetime.fromisoformat(text[:10])
    except ValueError:
        return text
    return f"{found.day} {_MONTHS[found.month - 1]} {found.year}"


def in_words(value: int) -> str:
    """Return a number up to twelve as a word."""
    return _WORDS[value] if 0 <= value < len(_WORDS) else count(value)


def plural(value: int, noun: str, many: str | None = None) -> str:
    """Return a count with its noun: "1 seed", "1,000 test texts"."""
    return f"{count(value)} {noun if value == 1 else many or noun + 's'}"


def ascii_text(text: str) -> str:
    """Return a text in ASCII: signs by their usual substitutes, any other character as "?"."""
    if text.isascii():
        return text
    return "".join(char if char.isascii() else _ASCII.get(char, "?") for char in text)


def _digits(value: float, decimals: int) -> str:
    text = f"{abs(value):.{decimals}f}"
    return text[1:] if text.startswith("0.") else text


def _is_zero(digits: str) -> bool:
    return not digits.strip("0.")
