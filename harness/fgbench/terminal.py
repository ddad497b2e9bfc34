"""Text that somebody else may have written, on its way to a terminal or a spreadsheet.

Terminals obey escape sequences and control characters, bidirectional controls reorder what is read,
and spreadsheets evaluate formulas.
"""

from __future__ import annotations

import re

_SEQUENCE = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]")
"""A control sequence: colors, styles, movements of the cursor."""
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and line feed, DEL, C1
    "\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # bidi, invisible
    "\ud800-\udfff\U000e0000-\U000e0fff]"  # halves of surrogate pairs, tags
)
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")
"""The first characters of texts that a spreadsheet may evaluate as formulas."""


def plain(text: str) -> str:
    """Return a text without escape sequences, control characters and bidirectional controls.

    Line feeds and tabs are left; sequences of colors and movements are removed, anything else is
    replaced by U+FFFD.
    """
    if text.isascii() and text.isprintable():
        return text
    return _CONTROL.sub(_REPLACEMENT, _SEQUENCE.sub("", text))


def plain_json(text: str) -> str:
    """Return a JSON text with all such characters in its strings escaped; its value is the same."""
    return _CONTROL.sub(_escape, text)


def csv_cell(text: str) -> str:
    """Return a text as a cell of CSV: an apostrophe comes before what may be a formula."""
    return f"'{text}" if text[:1] in _FORMULA or text.lstrip()[:1] in _FORMULA[:8] else text


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code > 0xFFFF:
        code -= 0x10000
        return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
    return f"\\u{code:04x}"
