"""Drift: what came out otherwise when entries were made anew, and what it can come from."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fgbench.compare.rendering import WIDTH, plain
from fgbench.leaderboard.ranking import half_width
from fgbench.report.view import signed

if TYPE_CHECKING:
    from fgbench.compare.compare import BoardComparison, Difference, EntryDifference
    from fgbench.compare.matching import Change

Size = Literal["rounding", "seed noise", "beyond noise"]

ROUNDING = 1e-6
"""Relative: sums in another order, on another processor or in another version of a library."""

CAUSES = ("data", "model", "code", "metric", "package", "statistics", "seeds", "platform")
"""What a drift can come from, most telling first; by `Change.kind`."""


@dataclass(frozen=True)
class Drift:
    """An entry that did not come out as it was."""

    entry: EntryDifference

    @property
    def sizes(self) -> dict[str, Size]:
        """How far each metric is off that is not the same."""
        return {
            each.metric: _size(self.entry, each)
            for each in self.entry.metrics
            if each.verdict != "identical"
        }

    @property
    def beyond_noise(self) -> bool:
        """Whether some number is off by more than noise, or cannot be compared."""
        return "beyond noise" in self.sizes.values() or bool(self.entry.not_compared)

    @property
    def causes(self) -> list[Change]:
        """What was not as before, most telling first; where there is nothing, nothing is known."""
        return sorted(self.entry.changes, key=lambda change: CAUSES.index(change.kind))


def drifts(comparison: BoardComparison) -> list[Drift]:
    """Return the entries of which some number is not the same, or could not be compared."""
    return [
        Drift(each)
        for each in comparison.entries
        if each.verdict != "identical" or each.not_compared
    ]


def as_text(comparison: BoardComparison) -> str:
    """Return what was reproduced, what drifted how far, and what it can come from."""
    found = drifts(comparison)
    beyond = sum(drift.beyond_noise for drift in found)
    total = len(comparison.entries)
    lines = [
        f"Made anew: {total} entries. The same in every number: {total - len(found)}; within "
        f"noise: {len(found) - beyond}; beyond noise: {beyond}."
    ]
    for drift in found:
        lines += ["", *_paragraph(drift)]
    exact = [each for each in comparison.entries if each.verdict == "identical" and each.changes]
    if exact and not found:
        said = sorted({str(change) for each in exact for change in each.changes})
        lines += ["", f"Not as before, without any effect: {'; '.join(said)}."]
    lines.append("")
    for old, new, reason in comparison.refused:
        lines.append(f"Not compared: {new.label} ({old.id} and {new.id}): {reason}.")
    lines += [f"Not made again: {entry.id}  {entry.label}" for entry in comparison.vanished]
    if comparison.appeared:
        lines.append(f"Not on the board, made along with it: {len(comparison.appeared)} entries.")
    text = "\n".join(_wrapped(plain(line)) if line else "" for line in lines)
    return text.rstrip("\n") + "\n"


def _paragraph(drift: Drift) -> Iterator[str]:
    yield f"{drift.entry.new.id}  {drift.entry.new.label}"
    sizes = drift.sizes
    for each in drift.entry.metrics:
        if each.metric in sizes:
            width = _width(drift.entry, each)
            reach = "" if width is None else f" (its interval reaches ±{width:.3g})"
            yield (
                f"  {each.metric}: {each.old:.6g} → {each.new:.6g}, {signed(each.delta)}: "
                f"{sizes[each.metric]}{reach}"
            )
    for metric, reason in drift.entry.not_compared.items():
        yield f"  {metric}: not compared: {reason}."
    if drift.causes:
        yield f"  can come from: {'; '.join(map(str, drift.causes))}"
    else:
        yield (
            "  nothing that is recorded changed: a part is not deterministic, or depends on what "
            "provenance does not hold"
        )


def _size(entry: EntryDifference, each: Difference) -> Size:
    if math.isclose(each.old, each.new, rel_tol=ROUNDING, abs_tol=ROUNDING):
        return "rounding"
    width = _width(entry, each)
    return "seed noise" if width is not None and abs(each.delta) <= width else "beyond noise"


def _width(entry: EntryDifference, each: Difference) -> float | None:
    """Return how far the entry's own interval reaches; of published figures, that of the new."""
    width = half_width(entry.old.metrics[each.metric])
    return half_width(entry.new.metrics[each.metric]) if width is None else width


def _wrapped(line: str) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    hanging = f"{indent}  " if indent else ""
    return "\n".join(textwrap.wrap(line, WIDTH, subsequent_indent=hanging, break_on_hyphens=False))
