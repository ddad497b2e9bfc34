"""Drift: differences between entries and their reproductions, with possible causes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fgbench.differences.rendering import WIDTH, plain, wrapped
from fgbench.leaderboard.ranking import half_width
from fgbench.numbers import signed

if TYPE_CHECKING:
    from fgbench.differences.compare import BoardComparison, Difference, EntryDifference
    from fgbench.differences.matching import Change

Size = Literal["rounding", "seed noise", "beyond noise"]

ROUNDING = 1e-6
"""Relative tolerance: for sums in another order, on another processor or library version."""

CAUSES = ("data", "model", "code", "metric", "package", "statistics", "seeds", "platform")
"""The kinds of causes (`Change.kind`), likeliest first."""


@dataclass(frozen=True)
class Drift:
    """An entry that was not reproduced exactly."""

    entry: EntryDifference

    @property
    def sizes(self) -> dict[str, Size]:
        """The size of each difference, by metric; identical metrics are left out."""
        return {
            difference.metric: _size(self.entry, difference)
            for difference in self.entry.metrics
            if difference.verdict != "identical"
        }

    @property
    def beyond_noise(self) -> bool:
        """Whether some number differs beyond noise, or cannot be compared."""
        return "beyond noise" in self.sizes.values() or bool(self.entry.not_compared)

    @property
    def causes(self) -> list[Change]:
        """The recorded changes, likeliest cause first; empty if nothing recorded changed."""
        return sorted(self.entry.changes, key=lambda change: CAUSES.index(change.kind))


def drifts(comparison: BoardComparison) -> list[Drift]:
    """Return the entries with a number that differs or could not be compared."""
    return [
        Drift(entry)
        for entry in comparison.entries
        if entry.verdict != "identical" or entry.not_compared
    ]


def as_text(comparison: BoardComparison) -> str:
    """Return a report: what was reproduced, what differs, by how much, and possible causes."""
    drifted = drifts(comparison)
    beyond = sum(drift.beyond_noise for drift in drifted)
    total = len(comparison.entries)
    lines = [
        f"Reproduced {total} entries: {total - len(drifted)} identical, {len(drifted) - beyond} "
        f"within noise, {beyond} beyond noise."
    ]
    for drift in drifted:
        lines += ["", *_paragraph(drift)]
    exact = [entry for entry in comparison.entries if entry.verdict == "identical"]
    changed = sorted({str(change) for entry in exact for change in entry.changes})
    if changed and not drifted:
        lines += ["", f"Changed without affecting results: {'; '.join(changed)}."]
    lines.append("")
    for old, new, reason in comparison.refused:
        lines.append(f"Not compared: {new.label} ({old.id} and {new.id}): {reason}.")
    lines += [f"Not reproduced: {entry.id}  {entry.label}" for entry in comparison.vanished]
    if comparison.appeared:
        lines.append(f"{len(comparison.appeared)} further entries are not on the board.")
    text = "\n".join(_rewrapped(plain(line)) for line in lines)
    return text.rstrip("\n") + "\n"


def _paragraph(drift: Drift) -> Iterator[str]:
    yield f"{drift.entry.new.id}  {drift.entry.new.label}"
    sizes = drift.sizes
    for difference in drift.entry.metrics:
        if difference.metric in sizes:
            width = _width(drift.entry, difference)
            reach = "" if width is None else f" (its 95 % interval is ±{width:.3g})"
            yield (
                f"  {difference.metric}: {difference.old:.6g} → {difference.new:.6g}, "
                f"{signed(difference.delta)}: "
                f"{sizes[difference.metric]}{reach}"
            )
    for metric, reason in drift.entry.not_compared.items():
        yield f"  {metric}: not compared: {reason}."
    if drift.causes:
        yield f"  possible causes: {'; '.join(map(str, drift.causes))}"
    else:
        yield (
            "  no recorded cause: a part is nondeterministic or depends on something provenance "
            "does not record"
        )


def _size(entry: EntryDifference, each: Difference) -> Size:
    if math.isclose(each.old, each.new, rel_tol=ROUNDING, abs_tol=ROUNDING):
        return "rounding"
    width = _width(entry, each)
    return "seed noise" if width is not None and abs(each.delta) <= width else "beyond noise"


def _width(entry: EntryDifference, each: Difference) -> float | None:
    """Return the half-width of the entry's interval; for published figures, the new one's."""
    width = half_width(entry.old.metrics[each.metric])
    return half_width(entry.new.metrics[each.metric]) if width is None else width


def _rewrapped(line: str) -> str:
    """Wrap a line; continuations of an indented one are indented further."""
    text = line.lstrip()
    indent = len(line) - len(text)
    return "\n".join(wrapped(text, WIDTH, indent, hanging=2 if indent else 0))
