"""A board as columns of plain JSON values, which the page's scripts sort, filter and draw.

Statistics (ranks, words, noise floors, bands) are computed here, by the functions behind the
terminal's tables, and numbers are formatted here. The scripts compute only the order of values and
their Pareto front.
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
from fgbench.leaderboard.contrasts import CONTROLS
from fgbench.leaderboard.ranking import ranks
from fgbench.loop.arms import ARMS
from fgbench.numbers import count, interval, number, signed
from fgbench.report.additions import additions_text
from fgbench.report.notes import notes_of
from fgbench.report.reliability import DEFAULT_BINS, entry_diagrams
from fgbench.report.view import (
    CHANCE,
    MARKS,
    Group,
    comparisons,
    default_metrics,
    metric_text,
    selection,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fgbench.calibration.pooling import PooledDiagram
    from fgbench.leaderboard.models import ContrastRecord, Entry, Leaderboard, Provenance
    from fgbench.leaderboard.ranking import Rank
    from fgbench.report.reliability import EntryDiagrams

DIGITS = 4
"""Decimals of a number that is drawn."""

_RAW_DIGITS = 6
"""Significant digits of a number that is sorted by; what is shown comes as text."""

_FIRST_METRICS = 4
_COMPRESSION = 6
"""Level of gzip: 9 takes eight times as long and saves 5 %."""

Column = list[Any]


def packed(value: Any) -> bytes:
    """Return a value as compressed JSON; equal values give equal bytes."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return gzip.compress(text.encode("utf-8"), _COMPRESSION, mtime=0)


def board_columns(
    board: Leaderboard, folder: Path, samples: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the board as columns, with the entries in the order of their comparisons.

    Predictions are read from `folder`. `samples` maps an entry's id to the page's anchor of the
    synthetic samples that it was trained on.
    """
    groups = comparisons(board)
    entries = [entry for group in groups for entry in group.entries]
    position = {entry.id: index for index, entry in enumerate(entries)}
    return {
        "arms": [*ARMS, *sorted({entry.arm for entry in entries} - set(ARMS))],
        "shown": default_metrics(board, _FIRST_METRICS),
        "marks": MARKS,
        "groups": [_group(group) for group in groups],
        "entries": _entries(groups, position, samples or {}),
        "metrics": _metrics(groups, entries),
        "diagrams": _diagrams(entry_diagrams(entries, folder), position),
    }


def _group(group: Group) -> dict[str, Any]:
    n = group.entries[0].dataset.n_test
    return {"title": group.title, "note": bounds_sentences(n, DEFAULT_BINS) if n else ""}


def _entries(
    groups: Sequence[Group], position: Mapping[str, int], samples: Mapping[str, str]
) -> dict[str, Any]:
    """Return identity and cost of the entries, one column per field."""
    entries = [entry for group in groups for entry in group.entries]
    short_names = [
        {**group.names.all(entry), "settings": group.distinguishing_settings(entry)}
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
        "added": lambda entry: additions_text(entry).sentence,
        "undefined": lambda entry: "; ".join(f"{k}: {v}" for k, v in entry.undefined.items()),
        "notes": lambda entry: "\n".join(notes_of(entry)),
        "source": _source,
        "provenance": lambda entry: provenance_text(entry.provenance),
        "samples": lambda entry: samples.get(entry.id),
    }
    values: dict[str, Callable[[Entry], Any]] = {
        "id": lambda entry: entry.id,
        "bins": lambda entry: entry.bins,
        "dose": lambda entry: entry.dose,
        "threshold": lambda entry: entry.threshold,
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
        **{name: _coded([names[name] for names in short_names]) for name in (*PARTS, "settings")},
        **{name: _coded([of(entry) for entry in entries]) for name, of in texts.items()},
        **{name: [of(entry) for entry in entries] for name, of in values.items()},
        "controls": {
            control: [_place(entry, control, position) for entry in entries]
            for control in controls_of(entries)
        },
    }


def _place(entry: Entry, control: str, position: Mapping[str, int]) -> int | None:
    against = entry.contrasts.get(control)
    return None if against is None else position.get(against.entry)


def _parts(entry: Entry) -> str:
    """Return all parts of an entry with all their parameters, one per line."""
    return "\n".join(part.label for part in entry.parts().values())


def _rejected(entry: Entry) -> str | None:
    if entry.synthetic is None:
        return None
    return "; ".join(f"{count:,} × {why}" for why, count in entry.synthetic.rejected_by.items())


def _source(entry: Entry) -> str | None:
    if entry.published is None:
        return None
    texts = (entry.published.source, entry.published.place, entry.published.notes)
    return " · ".join(text for text in texts if text)


def provenance_text(provenance: Provenance) -> str:
    """Return the environment of an entry as text, without what differs between entries."""
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
    """Return one metric's columns: values, intervals, ranks and differences, raw and as text.

    The page shows the texts, and sorts and draws by the raw values.
    """
    ranked: dict[str, Rank] = {}
    for group in groups:
        ranked |= ranks(group.entries, name)
    for entry in entries:  # a value without an interval has no rank
        if name in entry.metrics and entry.metrics[name].ci95 is None and not entry.ranks:
            del ranked[entry.id]
    records = [entry.metrics.get(name) for entry in entries]
    texts = [
        None if record is None else metric_text(record, entry)
        for entry, record in zip(entries, records, strict=True)
    ]
    columns: dict[str, Column] = {
        "value": [record and _raw(record.estimate) for record in records],
        "low": [record and record.ci95 and _raw(record.ci95[0]) for record in records],
        "high": [record and record.ci95 and _raw(record.ci95[1]) for record in records],
        "chance": [record and record.is_chance for record in records],
        "best": [ranked[e.id].best if e.id in ranked else None for e in entries],
        "worst": [ranked[e.id].worst if e.id in ranked else None for e in entries],
        "text": [text and text.value.removesuffix(CHANCE) for text in texts],
        "interval": [(text and text.interval) or None for text in texts],
        "measured": [(text and text.measured) or None for text in texts],
        "limit": [
            None if record is None or record.chance_limit is None else number(record.chance_limit)
            for record in records
        ],
    }
    return {
        "higher": any(name in entry.higher_is_better for entry in entries),
        **_without_empty(columns),
        "versus": {
            control: _differences([entry.contrast(control, name) for entry in entries])
            for control in controls_of(entries)
        },
    }


def controls_of(entries: Sequence[Entry]) -> list[str]:
    """Return the controls that some entry is compared with, in the order of `CONTROLS`."""
    return [control for control in CONTROLS if any(control in e.contrasts for e in entries)]


def _differences(records: Sequence[ContrastRecord | None]) -> dict[str, Column]:
    return _without_empty(
        {
            "delta": [record and _raw(record.difference) for record in records],
            "low": [record and record.interval and _raw(record.interval[0]) for record in records],
            "high": [record and record.interval and _raw(record.interval[1]) for record in records],
            "word": [record and record.word for record in records],
            "text": [record and signed(record.difference) for record in records],
            "interval": [
                None
                if record is None or record.interval is None
                else interval(record.interval, differs=True)
                for record in records
            ],
        }
    )


def _diagrams(diagrams: Iterable[EntryDiagrams], position: Mapping[str, int]) -> dict[str, Any]:
    """Return the diagrams as columns of their non-empty bins, and why entries have none."""
    drawn = []
    problems: dict[str, list[int]] = {}
    for item in diagrams:
        if item.problem:
            problems.setdefault(item.problem, []).append(position[item.entry.id])
        for pooled in item.by_bins.values():
            entry = position[item.entry.id]
            drawn.append({"entry": entry, **diagram_columns(pooled, item.axis)})
    return {"drawn": drawn, "problems": problems}


def diagram_columns(pooled: PooledDiagram, axis: str) -> dict[str, Any]:
    """Return a diagram as columns of its non-empty bins; `text` is what each of them shows."""
    diagram = pooled.diagram
    filled = np.flatnonzero(diagram.counts)
    return {
        "bins": len(diagram.counts),
        "axis": axis,
        "bin": filled.tolist(),
        "count": diagram.counts[filled].tolist(),
        "text": [
            f"mean prediction {number(confidence)}, observed frequency "
            f"{number(outcome)}\n95 % {interval((low, high))}, n = {count(n)}"
            for confidence, outcome, low, high, n in zip(
                diagram.mean_confidence[filled].tolist(),
                diagram.mean_outcome[filled].tolist(),
                pooled.low[filled].tolist(),
                pooled.high[filled].tolist(),
                diagram.counts[filled].tolist(),
                strict=True,
            )
        ],
        "confidence": _list(diagram.mean_confidence[filled]),
        "outcome": _list(diagram.mean_outcome[filled]),
        "low": _list(pooled.low[filled]),
        "high": _list(pooled.high[filled]),
    }


def _coded(values: Sequence[str | None]) -> dict[str, Column]:
    """Return texts as the distinct ones and, for each entry, the index of its text."""
    distinct = {text: index for index, text in enumerate(dict.fromkeys(values))}
    return {"texts": list(distinct), "of": [distinct[text] for text in values]}


def _without_empty(columns: dict[str, Column]) -> dict[str, Column]:
    return {name: column for name, column in columns.items() if any(v is not None for v in column)}


def _raw(value: float) -> float:
    return float(f"{value:.{_RAW_DIGITS}g}") + 0.0


def _small(value: float | None) -> float | None:
    """Round to six significant digits: costs may be fractions of a cent, or hours."""
    return None if value is None else float(f"{value:.6g}")


def _list(values: NDArray[np.float64]) -> list[float]:
    return [round(value, DIGITS) for value in values.tolist()]
