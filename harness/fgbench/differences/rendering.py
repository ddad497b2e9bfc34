"""A comparison of two boards as text, Markdown, CSV and JSON values."""

from __future__ import annotations

import csv
import io
import textwrap
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fgbench.coordinates import NAMED
from fgbench.numbers import number, signed
from fgbench.terminal import csv_cell

if TYPE_CHECKING:
    from fgbench.differences.compare import BoardComparison, Difference, EntryDifference, Verdict
    from fgbench.leaderboard.models import Entry, Leaderboard

SIGNS: dict[Verdict, str] = {
    "better": "✓ better",
    "worse": "✗ worse",
    "noise": "≈ noise",
    "identical": "= same",
    "unknown": "? no interval",
}
LEGEND = (
    "new − old, with its 95 % interval. ✓ better, ✗ worse: p < 0.05 after Holm over all entries "
    "compared in the metric; ≈ noise: not separable; = same: the same number. ~: from the two "
    "stored intervals as if they were independent, which is conservative; without ~: from a paired "
    "bootstrap of both predictions."
)
WIDTH = 80


def as_text(comparison: BoardComparison, *, everything: bool = False, width: int = WIDTH) -> str:
    """Return the comparison for a terminal of at least 80 columns.

    Unless `everything` is set, differences that are noise are counted but not shown.
    """
    lines = [
        f"old: {_board(comparison.old)}",
        f"new: {_board(comparison.new)}",
        *wrapped(summary(comparison), width),
    ]
    for entry in comparison.entries:
        shown = entry.metrics if everything else _shown(entry)
        if not shown and not entry.not_compared:
            continue
        lines += ["", *wrapped(f"{entry.new.id}  {plain(entry.new.label)}", width)]
        lines += [_line(difference) for difference in shown]
        for name, reason in entry.not_compared.items():
            lines += wrapped(f"{name}: not compared: {plain(reason)}.", width, indent=2)
        if entry.changes and (entry.verdict != "identical" or everything):
            listed = "; ".join(plain(str(change)) for change in entry.changes)
            lines += wrapped(f"changed: {listed}.", width, indent=2)
    lines += _lists(comparison, width)
    if comparison.entries:
        lines += ["", *wrapped(LEGEND, width, hanging=0)]
    return "\n".join(lines) + "\n"


def summary(comparison: BoardComparison) -> str:
    """Return a summary of the comparison in one sentence."""
    counts = Counter(entry.verdict for entry in comparison.entries)
    order = ("worse", "mixed", "better", "noise", "identical", "unknown", "not compared")
    names = {"noise": "only noise", "mixed": "better in some metrics and worse in others"}
    verdicts = ", ".join(
        f"{counts[name]} {names.get(name, name)}" for name in order if counts[name]
    )
    text = f"{len(comparison.entries)} entries compared" + (f": {verdicts}" if verdicts else "")
    text += f"; {len(comparison.appeared)} appeared, {len(comparison.vanished)} vanished"
    if comparison.refused:
        text += f", {len(comparison.refused)} skipped (different data)"
    return text + "."


def as_markdown(comparison: BoardComparison) -> str:
    """Return the comparison as Markdown: a table of all metrics of all entries, and notes."""
    lines = [
        f"**old**: {_markdown(_board(comparison.old))}  ",
        f"**new**: {_markdown(_board(comparison.new))}",
        "",
        summary(comparison),
        "",
        "| entry | metric | old | new | new − old | p (Holm) | |",
        "|---|---|--:|--:|--:|--:|---|",
    ]
    for entry in comparison.entries:
        for difference in entry.metrics:
            cells = [
                _markdown(entry.new.label),
                _markdown(difference.metric),
                number(difference.old),
                number(difference.new),
                _delta(difference),
                "" if difference.p_adjusted is None else f"{difference.p_adjusted:.2g}",
                SIGNS[difference.verdict],
            ]
            lines.append(f"| {' | '.join(cells)} |")
    lines += ["", *(f"- {_markdown(text)}" for text in _notes(comparison))]
    return "\n".join([*lines, "", LEGEND]) + "\n"


def as_csv(comparison: BoardComparison) -> str:
    """Return the comparison as CSV: one row per metric, then what appeared and vanished.

    A text that a spreadsheet would evaluate as a formula gets a leading apostrophe.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    numbers = ["metric", "old", "new", "delta", "ci95_low", "ci95_high", "p_value", "p_adjusted"]
    writer.writerow(["status", "id_old", "id_new", *NAMED, *numbers, "how", "verdict", "note"])
    for entry in comparison.entries:
        head = ["compared", entry.old.id, entry.new.id, *entry.new.labels().values()]
        for difference in entry.metrics:
            low, high = difference.ci95 or (None, None)
            values = [
                difference.old,
                difference.new,
                difference.delta,
                low,
                high,
                difference.p_value,
                difference.p_adjusted,
            ]
            texts = ["" if value is None else repr(value) for value in values]
            row = [
                "compared",
                entry.old.id,
                entry.new.id,
                *entry.new.labels().values(),
                difference.metric,
            ]
            writer.writerow([*map(csv_cell, row), *texts, difference.how, difference.verdict, ""])
        for metric, reason in entry.not_compared.items():
            row = [*head, metric]
            writer.writerow([*map(csv_cell, row), *[""] * 7, "", "not compared", csv_cell(reason)])
    for status, old, new, entry_, note in _others(comparison):
        row = [status, old, new, *entry_.labels().values()]
        writer.writerow([*map(csv_cell, row), *[""] * 10, csv_cell(note)])
    return stream.getvalue()


def as_value(comparison: BoardComparison) -> dict[str, Any]:
    """Return the comparison as JSON values."""
    return {
        "old": {"name": comparison.old.name, "created": comparison.old.created},
        "new": {"name": comparison.new.name, "created": comparison.new.created},
        "entries": [
            {
                "id_old": entry.old.id,
                "id_new": entry.new.id,
                "label": entry.new.label,
                "verdict": entry.verdict,
                "metrics": {
                    difference.metric: {
                        "old": difference.old,
                        "new": difference.new,
                        "delta": difference.delta,
                        "ci95": difference.ci95,
                        "p_value": difference.p_value,
                        "p_adjusted": difference.p_adjusted,
                        "how": difference.how,
                        "verdict": difference.verdict,
                    }
                    for difference in entry.metrics
                },
                "not_compared": entry.not_compared,
                "changes": [
                    {
                        "kind": change.kind,
                        "what": change.what,
                        "old": change.old,
                        "new": change.new,
                    }
                    for change in entry.changes
                ],
            }
            for entry in comparison.entries
        ],
        "appeared": [{"id": entry.id, "label": entry.label} for entry in comparison.appeared],
        "vanished": [{"id": entry.id, "label": entry.label} for entry in comparison.vanished],
        "refused": [
            {"id_old": old.id, "id_new": new.id, "label": new.label, "reason": reason}
            for old, new, reason in comparison.refused
        ],
        "summary": summary(comparison),
    }


def wrapped(text: str, width: int = WIDTH, indent: int = 0, hanging: int = 2) -> list[str]:
    """Return a text as lines of at most `width`; all but the first are indented `hanging` more."""
    return textwrap.wrap(
        text,
        width,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + hanging),
        break_on_hyphens=False,
    )


def plain(text: str) -> str:
    """Return a text as one line without control characters, for a terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _shown(entry: EntryDifference) -> list[Difference]:
    shown = ("better", "worse", "unknown")
    return [difference for difference in entry.metrics if difference.verdict in shown]


def _line(each: Difference) -> str:
    name = each.metric if len(each.metric) <= 24 else each.metric[:23] + "…"
    values = f"{number(each.old):>7} {number(each.new):>7}"
    return f"  {plain(name):<24}{values}  {_delta(each):<25} {SIGNS[each.verdict]}".rstrip()


def _delta(each: Difference) -> str:
    if each.how == "identical":
        return ""
    mark = "~" if each.how == "unpaired" else ""
    if each.ci95 is None:
        return signed(each.delta)
    return f"{signed(each.delta)} [{signed(each.ci95[0])}, {signed(each.ci95[1])}]{mark}"


def _lists(comparison: BoardComparison, width: int) -> Iterator[str]:
    for index, text in enumerate(_notes(comparison)):
        if index == 0:
            yield ""
        yield from wrapped(plain(text), width)


def _notes(comparison: BoardComparison) -> Iterator[str]:
    """Yield a sentence for each entry that is on one board only or has different data."""
    for old, new, reason in comparison.refused:
        yield f"Not compared: {new.label} ({old.id} and {new.id}): {reason}."
    for title, entries in (("Appeared", comparison.appeared), ("Vanished", comparison.vanished)):
        for entry in entries:
            yield f"{title}: {entry.id}  {entry.label}"


def _others(comparison: BoardComparison) -> Iterator[tuple[str, str, str, Entry, str]]:
    for old, new, reason in comparison.refused:
        yield "not compared", old.id, new.id, new, reason
    for entry in comparison.appeared:
        yield "appeared", "", entry.id, entry, ""
    for entry in comparison.vanished:
        yield "vanished", entry.id, "", entry, ""


def _board(board: Leaderboard) -> str:
    created = f", {board.created}" if board.created else ""
    return plain(f"{board.name}{created}, {len(board.entries)} entries")


def _markdown(text: str) -> str:
    """Return a text escaped for Markdown."""
    text = plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{char}" if char in "\\`*_{}[]()#|!~" else char for char in text)
