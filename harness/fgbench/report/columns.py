"""A board as columns of plain JSON values: what the page's script sorts, filters and draws.

What statistics say (ranks, verdicts, noise floors, bands) is said here, by the functions that the
terminal's tables use. Left to the script are the order of means and their Pareto front.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fgbench.calibration.bounds import bounds_sentences
from fgbench.coordinates import PARTS
from fgbench.leaderboard.ranking import ranks
from fgbench.loop.arms import ARMS
from fgbench.report.notes import notes_of
from fgbench.report.reliability import DEFAULT_BINS, entry_diagrams
from fgbench.report.view import (
    Group,
    comparisons,
    default_metrics,
    has_deviation,
    is_chance,
    selection,
    verdict,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fgbench.calibration.statistics import Comparison
    from fgbench.leaderboard.models import Entry, Leaderboard, Provenance
    from fgbench.leaderboard.ranking import Rank
    from fgbench.report.reliability import EntryDiagrams

DIGITS = 4
"""Decimals of a number on the page, which shows three."""

_FIRST_METRICS = 4
_EFFORT = 6
"""Of compression: 9 takes eight times as long and saves 5 %."""

Column = list[Any]


def packed(value: Any) -> bytes:
    """Return a value as compressed JSON, the same bytes for the same value."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return gzip.compress(text.encode("utf-8"), _EFFORT, mtime=0)


def board_columns(
    board: Leaderboard, folder: Path, samples: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the board as columns, its entries in the order of their comparisons.

    Predictions are read from `folder`. `samples` has the place on the page of the synthetic
    samples of an entry, by its id.
    """
    groups = comparisons(board)
    entries = [entry for group in groups for entry in group.entries]
    place = {entry.id: index for index, entry in enumerate(entries)}
    return {
        "arms": [*ARMS, *sorted({entry.arm for entry in entries} - set(ARMS))],
        "shown": default_metrics(board, _FIRST_METRICS),
        "groups": [_group(group) for group in groups],
        "entries": _entries(groups, place, samples or {}),
        "metrics": _metrics(groups, entries),
        "diagrams": _diagrams(entry_diagrams(entries, folder), place),
    }


def _group(group: Group) -> dict[str, Any]:
    n = group.entries[0].dataset.n_test
    return {"title": group.title, "note": bounds_sentences(n, DEFAULT_BINS) if n else ""}


def _entries(
    groups: Sequence[Group], place: Mapping[str, int], samples: Mapping[str, str]
) -> dict[str, Any]:
    """Return what an entry is and cost, one column a field, in which equal texts stand once."""
    entries = [entry for group in groups for entry in group.entries]
    named = [
        {**group.names.all(entry), "telling": group.telling_settings(entry)}
        for group in groups
        for entry in group.entries
    ]
    texts: dict[str, Callable[[Entry], str | None]] = {
        "arm": lambda entry: entry.arm,
        "protocol": lambda entry: entry.protocol,
        "seeds": lambda entry: ", ".join(map(str, entry.seeds)),
        "parts": _parts,
        "selection": selection,
        "rejected": _rejected,
        "undefined": lambda entry: "; ".join(f"{k}: {v}" for k, v in entry.undefined.items()),
        "notes": lambda entry: "\n".join(notes_of(entry)),
        "source": _source,
        "provenance": lambda entry: provenance_text(entry.provenance),
        "samples": lambda entry: samples.get(entry.id),
    }
    values: dict[str, Callable[[Entry], Any]] = {
        "id": lambda entry: entry.id,
        "bins": lambda entry: entry.bins,
        "threshold": lambda entry: entry.threshold,
        "baseline": lambda entry: place.get(entry.baseline or ""),
        "real": lambda entry: place.get(entry.real or ""),
        "usd": lambda entry: _small(entry.usage.cost_usd),
        "tokens": lambda entry: entry.usage.prompt_tokens + entry.usage.completion_tokens,
        "requests": lambda entry: entry.usage.requests,
        "seconds": lambda entry: _small(entry.provenance.wall_seconds),
        "requested": lambda entry: entry.synthetic and entry.synthetic.requested,
        "accepted": lambda entry: entry.synthetic and entry.synthetic.accepted,
        "shortage": lambda entry: entry.synthetic and entry.synthetic.shortage,
        "near_test": lambda entry: entry.synthetic and entry.synthetic.near_duplicates_of_test,
    }
    return {
        "group": [index for index, group in enumerate(groups) for _ in group.entries],
        **{name: _coded([names[name] for names in named]) for name in (*PARTS, "telling")},
        **{name: _coded([of(entry) for entry in entries]) for name, of in texts.items()},
        **{name: [of(entry) for entry in entries] for name, of in values.items()},
    }


def _parts(entry: Entry) -> str:
    """Return all parts of an entry with all their parameters, a line each."""
    return "\n".join(part.label for part in entry.parts().values())


def _rejected(entry: Entry) -> str | None:
    if entry.synthetic is None:
        return None
    return "; ".join(f"{count:,} × {why}" for why, count in entry.synthetic.rejected_by.items())


def _source(entry: Entry) -> str | None:
    if entry.published is None:
        return None
    said = (entry.published.source, entry.published.place, entry.published.notes)
    return " · ".join(text for text in said if text)


def provenance_text(provenance: Provenance) -> str:
    """Return with what an entry was made, without what differs from one to the next."""
    if not provenance.fgbench:
        return ""
    parts = [f"fgbench {provenance.fgbench}", f"Python {provenance.python}", provenance.platform]
    if provenance.git_commit:
        dirty = " with uncommitted changes" if provenance.git_dirty else ""
        parts.append(f"commit {provenance.git_commit[:12]}{dirty}")
    if provenance.model_revision:
        parts.append(f"model revision {provenance.model_revision}")
    if provenance.started:
        parts.append(f"started {provenance.started}")
    return " · ".join(part for part in parts if part)


def _metrics(groups: Sequence[Group], entries: Sequence[Entry]) -> dict[str, dict[str, Any]]:
    present = sorted({name for entry in entries for name in entry.metrics})
    first = [name for name in ("accuracy",) if name in present]
    return {
        name: _metric(name, groups, entries)
        for name in [*first, *(name for name in present if name not in first)]
    }


def _metric(name: str, groups: Sequence[Group], entries: Sequence[Entry]) -> dict[str, Any]:
    """Return one metric's columns: values and intervals, ranks, and both differences."""
    ranked: dict[str, Rank] = {}
    for group in groups:
        ranked |= ranks(group.entries, name)
    for entry in entries:  # of a figure without an interval no rank can be said
        if name in entry.metrics and entry.metrics[name].ci95 is None:
            del ranked[entry.id]
    records = [entry.metrics.get(name) for entry in entries]
    found: dict[str, Column] = {
        "mean": [each and _rounded(each.mean) for each in records],
        "std": [
            _rounded(each.std) if each is not None and has_deviation(entry) else None
            for entry, each in zip(entries, records, strict=True)
        ],
        "low": [each and each.ci95 and _rounded(each.ci95[0]) for each in records],
        "high": [each and each.ci95 and _rounded(each.ci95[1]) for each in records],
        "floor": [each and _rounded(each.noise_floor) for each in records],
        "chance": [each and is_chance(each) for each in records],
        "best": [ranked[e.id].best if e.id in ranked else None for e in entries],
        "worst": [ranked[e.id].worst if e.id in ranked else None for e in entries],
    }
    better = any(name in entry.higher_is_better for entry in entries)
    return {
        "higher": better,
        **_without_empty(found),
        "versus": {
            "baseline": _differences([e.versus_baseline.get(name) for e in entries], better),
            "real": _differences([e.versus_real.get(name) for e in entries], better),
        },
    }


def _differences(records: Sequence[Comparison | None], better: bool) -> dict[str, Column]:
    return _without_empty(
        {
            "delta": [each and _rounded(each.delta) for each in records],
            "low": [each and each.ci95 and _rounded(each.ci95[0]) for each in records],
            "high": [each and each.ci95 and _rounded(each.ci95[1]) for each in records],
            "verdict": [each and verdict(each, better) for each in records],
        }
    )


def _diagrams(found: Iterable[EntryDiagrams], place: Mapping[str, int]) -> dict[str, Any]:
    """Return the diagrams as columns of their bins that hold something, and why others lack."""
    drawn = []
    problems: dict[str, list[int]] = {}
    for each in found:
        if each.problem:
            problems.setdefault(each.problem, []).append(place[each.entry.id])
        for bins, pooled in each.by_bins.items():
            diagram = pooled.diagram
            filled = np.flatnonzero(diagram.counts)
            drawn.append(
                {
                    "entry": place[each.entry.id],
                    "bins": bins,
                    "axis": each.axis,
                    "bin": filled.tolist(),
                    "count": diagram.counts[filled].tolist(),
                    "confidence": _list(diagram.mean_confidence[filled]),
                    "outcome": _list(diagram.mean_outcome[filled]),
                    "low": _list(pooled.low[filled]),
                    "high": _list(pooled.high[filled]),
                }
            )
    return {"drawn": drawn, "problems": problems}


def _coded(values: Sequence[str | None]) -> dict[str, Column]:
    """Return texts as the distinct ones and, for each entry, which of them it has."""
    distinct = {text: index for index, text in enumerate(dict.fromkeys(values))}
    return {"texts": list(distinct), "of": [distinct[text] for text in values]}


def _without_empty(columns: dict[str, Column]) -> dict[str, Column]:
    return {name: column for name, column in columns.items() if any(v is not None for v in column)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS) + 0.0


def _small(value: float | None) -> float | None:
    """Keep six digits of what may be fractions of a cent, or hours."""
    return None if value is None else float(f"{value:.6g}")


def _list(values: NDArray[np.float64]) -> list[float]:
    return [round(value, DIGITS) for value in values.tolist()]
