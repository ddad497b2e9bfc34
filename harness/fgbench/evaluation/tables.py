"""Tables of results as text (terminal, `print`) and as HTML (notebook, page)."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from textwrap import wrap

WIDTH = 80
_WIDE, _NARROW = "  ", " "


@dataclass(frozen=True)
class Table:
    """Rows of cells under a head, and notes below them; columns in `left` are not right-aligned."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    left: frozenset[int] = frozenset({0})

    def to_text(self) -> str:
        """Return the table as lines of at most 80 columns, unless a row needs more."""
        lines = [self.head, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.head))]
        fits = sum(widths) + len(_WIDE) * (len(widths) - 1) <= WIDTH
        gap = _WIDE if fits else _NARROW
        rule = "─" * (sum(widths) + len(gap) * (len(widths) - 1))
        head, *rows = (gap.join(self._aligned(line, widths)).rstrip() for line in lines)
        notes = [part for note in self.notes for part in wrap(note, WIDTH, break_on_hyphens=False)]
        blank = [""] if notes else []
        title = [part for line in self.title.splitlines() for part in wrap(line, WIDTH)]
        return "\n".join([*title, "", head, rule, *rows, *blank, *notes])

    def to_html(self) -> str:
        """Return the table as a plain HTML fragment, every text of it escaped."""
        head = "".join(self._cell("th", column, text) for column, text in enumerate(self.head))
        rows = "".join(
            "<tr>"
            + "".join(self._cell("td", column, text) for column, text in enumerate(row))
            + "</tr>"
            for row in self.rows
        )
        notes = "".join(f"<p><small>{escape(note)}</small></p>" for note in self.notes)
        title = "<br>".join(map(escape, self.title.splitlines()))
        return (
            f"<div><table><caption>{title}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{rows}</tbody></table>{notes}</div>"
        )

    def _aligned(self, line: tuple[str, ...], widths: list[int]) -> list[str]:
        return [
            text.ljust(width) if column in self.left else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ]

    def _cell(self, tag: str, column: int, text: str) -> str:
        kind = "" if column in self.left else ' class="n"'
        if tag == "td" and column == 0:
            tag, kind = "th", ' scope="row"'
        return f"<{tag}{kind}>{escape(text)}</{tag}>"
