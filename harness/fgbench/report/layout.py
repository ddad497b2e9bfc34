"""Lay text out in columns of a terminal, in the characters that its encoding has."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Literal

from fgbench.numbers import ascii_text

Align = Literal["<", ">"]


def width_of(text: str) -> int:
    """Return the number of columns that a text takes in a terminal."""
    from rich.cells import cell_len

    return cell_len(text)


def padded(text: str, width: int, align: Align = "<") -> str:
    """Return a text filled up with spaces to a width."""
    space = " " * max(0, width - width_of(text))
    return text + space if align == "<" else space + text


def cut(text: str, width: int) -> str:
    """Return a text of at most that width; what is cut is replaced by an ellipsis."""
    if width_of(text) <= width:
        return text
    while text and width_of(text) + 3 > width:  # as wide as it is in ASCII
        text = text[:-1]
    return text.rstrip() + "…"


def cut_alike(texts: Sequence[str], width: int) -> list[str]:
    """Return texts of at most that width, without their ends, or middles where ends differ."""
    short = [cut(text, width) for text in texts]
    if len(set(short)) == len(set(texts)):
        return short
    end = max(1, (width - 3) // 2)
    return [
        text if width_of(text) <= width else cut(text, width - end) + text[-end:] for text in texts
    ]


def aligned(rows: Sequence[Sequence[str]], aligns: Sequence[Align], gap: str = "  ") -> list[str]:
    """Return rows of cells as lines with aligned columns."""
    widths = [max(map(width_of, column)) for column in zip(*rows, strict=True)]
    return [
        gap.join(
            padded(cell, width, align)
            for cell, width, align in zip(row, widths, aligns, strict=True)
        ).rstrip()
        for row in rows
    ]


def wrapped(text: str, width: int, indent: str = "", hanging: str | None = None) -> list[str]:
    """Return a text as lines; numbers and intervals, which hold no plain space, do not break."""
    return textwrap.wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent if hanging is None else hanging,
        break_on_hyphens=False,
        break_long_words=False,
    )


def plain_spaces(text: str) -> str:
    """Return a text with plain spaces for those that do not break."""
    return text.replace("\N{NO-BREAK SPACE}", " ")


class Charset:
    """What an output can show: everything, or ASCII only."""

    def __init__(self, *, ascii_only: bool) -> None:
        self.ascii_only = ascii_only

    @classmethod
    def of(cls, encoding: str | None, *, ascii_only: bool = False) -> Charset:
        """Return the charset of an encoding; ASCII if it lacks one of the marks."""
        try:
            "─┊●■◆◇→−±·–…°".encode(encoding or "ascii")
        except (UnicodeEncodeError, LookupError):
            return cls(ascii_only=True)
        return cls(ascii_only=ascii_only)

    def text(self, text: str) -> str:
        """Return a text as the output can show it."""
        return ascii_text(plain_spaces(text)) if self.ascii_only else plain_spaces(text)
