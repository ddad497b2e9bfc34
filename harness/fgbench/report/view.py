"""The content of a board's tables: groups, rows, and cells as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fgbench.coordinates import GENERATION, NAMED, PARTS, dose_text, value_text
from fgbench.loop.arms import ARMS
from fgbench.numbers import NOTHING, interval, number, signed

if TYPE_CHECKING:
    from fgbench.coordinates import DatasetRecord, PartRecord
    from fgbench.inference import MetricSummary, Word
    from fgbench.leaderboard.models import Entry, Leaderboard

MARKS: Mapping[Word, str] = {
    "better": "●",
    "worse": "■",
    "within": "◆",
    "cannot tell": "◇",
    "none": "",
}
"""The mark of each word, the same everywhere."""

CHANCE = "°"
"""Marks an error that a perfectly calibrated classifier may well have."""

CAPTION = (
    "● better, ■ worse (5 %, Holm over an entry's four controls), ◆ within the margin, ◇ cannot "
    "tell: of the difference from a control, with the interval that decides. Exploratory: only the "
    "verdict's contrasts are declared. A single seed gets no mark. Calibration errors are without "
    "what chance contributes, with their interval; differences are of the measured ones. ° within "
    "what chance gives a perfectly calibrated classifier."
)
RANK_CAPTION = (
    "Rank: 95 % interval of the rank in {} among the entries of the same data set, classifier and "
    "seeds; if it starts at 1, no entry is significantly better."
)


@dataclass(frozen=True)
class Group:
    """Entries that are compared with each other: their title, and the rows."""

    title: str
    entries: tuple[Entry, ...]
    names: Names

    def calibrator(self, entry: Entry) -> str:
        """Return the short name of an entry's calibrator."""
        return self.names.short("calibrator", entry.calibrator)

    def distinguishing_settings(self, entry: Entry) -> str:
        """Return the settings in which a generating entry differs from others of the group."""
        if entry.generator is None:
            return ""
        return ", ".join(
            text
            for key, text in _settings(entry).items()
            if any(settings.get(key) != text for settings in self._generating_settings)
        )

    @cached_property
    def _generating_settings(self) -> list[dict[str, str]]:
        """The distinct settings of the group's generating entries."""
        distinct: list[dict[str, str]] = []
        for entry in self.entries:
            if entry.generator is not None and (settings := _settings(entry)) not in distinct:
                distinct.append(settings)
        return distinct


@dataclass(frozen=True)
class CellText:
    """One metric of one entry as text; empty where there is none.

    `interval` belongs to `value`. `measured` is the value with the contribution of chance, where
    `value` is without it. `delta`, `delta_interval` and `word` are of the difference from a
    control.
    """

    value: str
    interval: str = ""
    measured: str = ""
    delta: str = ""
    delta_interval: str = ""
    word: Word = "none"

    @property
    def difference(self) -> str:
        """The difference with its interval and mark, in one line."""
        parts = (self.delta, self.delta_interval, MARKS[self.word])
        return " ".join(part for part in parts if part)


class Names:
    """Short names of a board's parts: only with the parameters that distinguish them.

    If the board has several versions of a data set, the start of the digest is added.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._values: dict[tuple[str, str, str], dict[str, set[str]]] = {}
        self._sharing: dict[tuple[str, str], set[str]] = {}
        self._digests: dict[str, set[str | None]] = {}
        for entry in entries:
            self._digests.setdefault(entry.dataset.label, set()).add(entry.dataset.digest)
            for kind, part in entry.parts().items():
                self._sharing.setdefault((kind, part.title), set()).add(part.name)
                values = self._values.setdefault((kind, part.name, part.title), {})
                for key, value in part.params.items():
                    values.setdefault(key, set()).add(str(value))

    def short(self, kind: str, part: PartRecord) -> str:
        """Return the part's title, with what distinguishes it from others of that title."""
        values = self._values.get((kind, part.name, part.title), {})
        distinguishing = [
            f"{key}={value}"
            for key, value in sorted(part.params.items())
            if len(values.get(key, ())) > 1
        ]
        name = part.title
        if name != part.name and len(self._sharing.get((kind, name), ())) > 1:
            name, distinguishing = part.name, [part.title, *distinguishing]
        return f"{name}:{','.join(distinguishing)}" if distinguishing else name

    def dataset(self, record: DatasetRecord) -> str:
        """Return a data set's title, with what distinguishes it from others of that title."""
        name = self.short("dataset", record)
        several = len(self._digests.get(record.label, ())) > 1
        return f"{name}@{record.digest[:8]}" if several and record.digest else name

    def all(self, entry: Entry) -> dict[str, str | None]:
        """Return the short name of each of an entry's parts, by axis; None where it has none."""
        names = {kind: self.short(kind, part) for kind, part in entry.parts().items()}
        return dict.fromkeys(PARTS) | names | {"dataset": self.dataset(entry.dataset)}


def default_metrics(board: Leaderboard, at_most: int = 4) -> list[str]:
    """Return the metrics that a table shows by default: the primary one, and those of the board."""
    present = {name for entry in board.entries for name in entry.metrics}
    wanted = dict.fromkeys([board.primary.metric, *board.shown])
    chosen = [name for name in wanted if name in present]
    if len(present) <= at_most:  # the run has few metrics: show all
        chosen += sorted(present - set(chosen))
    return (chosen or sorted(present))[:at_most]


def groups(board: Leaderboard) -> list[Group]:
    """Return the entries by dataset, classifier, loss, protocol, seeds, generator and bins.

    Entries without a generator (baseline, real) are in every group that they are a control of.
    """
    tables = []
    for shared in comparisons(board):
        names = shared.names
        controls = [entry for entry in shared.entries if entry.generator is None]
        generated: dict[str, list[Entry]] = {}
        for entry in shared.entries:
            if entry.generator is not None:
                generated.setdefault(_generation(entry, names), []).append(entry)
        for key, members in (generated or {"": []}).items():
            title = _title((members or controls)[0], key, names)
            rows = tuple(sorted([*controls, *members], key=_row_order))
            tables.append(Group(title, rows, names))
    return tables


def comparisons(board: Leaderboard) -> list[Group]:
    """Return the entries grouped by dataset, classifier, loss, protocol and seeds.

    The entries of a group have the same test points; they are sorted by arm, generator, bins and
    calibrator.
    """
    names = Names(board.entries)
    shared: dict[tuple[object, ...], list[Entry]] = {}
    for entry in board.entries:
        shared.setdefault(entry.table(), []).append(entry)
    return [
        Group(_title(entries[0], "", names), tuple(sorted(entries, key=_row_order)), names)
        for entries in shared.values()
    ]


def by_metric(entries: Iterable[Entry], metric: str) -> tuple[Entry, ...]:
    """Return the entries sorted by a metric, best first; those without it are last."""

    def cost(entry: Entry) -> tuple[bool, float]:
        record = entry.metrics.get(metric)
        if record is None:
            return True, 0.0
        value = record.estimate
        return False, -value if metric in entry.higher_is_better else value

    return tuple(sorted(entries, key=cost))


def cell_text(entry: Entry, metric: str, against: str = "baseline") -> CellText:
    """Return one cell; a metric that is undefined or absent is a dash."""
    record = entry.metrics.get(metric)
    if record is None:
        return CellText(NOTHING)
    cell = metric_text(record, entry)
    contrast = entry.contrast(against, metric)
    if contrast is None:
        return cell
    return CellText(
        cell.value,
        cell.interval,
        cell.measured,
        signed(contrast.difference),
        "" if contrast.interval is None else interval(contrast.interval, differs=True),
        contrast.word or "none",
    )


def metric_text(record: MetricSummary, entry: Entry) -> CellText:
    """Return a metric without any difference; published figures have a deviation instead."""
    value = number(record.estimate)
    if entry.published is not None and has_deviation(entry):
        value += f" ±{number(record.std)}"
    shown = record.ci95
    if shown is not None and not shown[0] <= record.estimate <= shown[1]:
        shown = None  # of a board of version 1, whose intervals were of another quantity
    return CellText(
        value + (CHANCE if record.is_chance else ""),
        "" if shown is None else interval(shown),
        "" if record.corrected is None else number(record.mean),
    )


def has_deviation(entry: Entry) -> bool:
    """Return whether an entry has several seeds, and so a standard deviation.

    A publication that does not name its seeds may give their number (`number_of_seeds`).
    """
    count = entry.settings.get("number_of_seeds") if entry.published is not None else None
    return len(entry.seeds) > 1 or (isinstance(count, int) and count > 1)


def against_control(group: Group, control: str) -> tuple[Entry, ...]:
    """Return the entries of a group that are compared with a control."""
    return tuple(
        entry
        for entry in group.entries
        if control in entry.contrasts and entry.contrasts[control].metrics
    )


def filtered(board: Leaderboard, **wanted: Sequence[str]) -> Leaderboard:
    """Return the board with the entries that have one of the wanted names on each axis.

    A title counts as a name. An axis without wanted names is not filtered. An entry without
    generator, and so without bins, stays, so that each comparison keeps its control.
    """

    def keep(entry: Entry) -> bool:
        names, titles = entry.names(), entry.titles()
        return all(
            not values
            or {value_text(names[axis]), str(titles[axis])} & set(values)
            or (axis in GENERATION and entry.generator is None)
            for axis, values in wanted.items()
        )

    entries = [entry for entry in board.entries if keep(entry)]
    if len(entries) == len(board.entries):
        return board
    return board.model_copy(update={"entries": entries, "checksum": None})


def known_names(entries: Iterable[Entry]) -> dict[str, set[str]]:
    """Return the names that `filtered` can select, by axis; and the metrics."""
    names: dict[str, set[str]] = {axis: set() for axis in (*NAMED, "metric")}
    for entry in entries:
        names["metric"] |= set(entry.metrics)
        for axis, name in [*entry.names().items(), *entry.titles().items()]:
            if name is not None:
                names[axis].add(value_text(name))
    return names


def _generation(entry: Entry, names: Names) -> str:
    assert entry.generator is not None
    generator = names.short("generator", entry.generator)
    dose = dose_text(entry.dose)
    return f"{generator}, {entry.bins} bins{dose} ({selection(entry)})".replace(" ()", "")


def selection(entry: Entry) -> str:
    """Return how an entry's bins were selected; empty if that is not known."""
    if entry.threshold is None:
        return ""
    text = f"gap > {entry.threshold:g}"
    if entry.selector == "significant" and entry.alpha is not None:
        text += f", significant at {entry.alpha:g}"
    return text


def _settings(entry: Entry) -> dict[str, str]:
    """Return an entry's selection of bins and its other settings as text, by name."""
    others = {key: f"{key}={value}" for key, value in sorted(entry.settings.items())}
    dose = "" if entry.dose is None else f"dose {value_text(entry.dose)}"
    return {"selection": selection(entry), "dose": dose, **others}


def _title(entry: Entry, generation: str, names: Names) -> str:
    seeds = f"{len(entry.seeds)} seeds" if len(entry.seeds) != 1 else f"seed {entry.seeds[0]}"
    if entry.published is not None:
        seeds = f"as published: {entry.published.source}"
    parts = [names.dataset(entry.dataset), names.short("classifier", entry.classifier)]
    if "loss" not in entry.neutral:
        parts.append(names.short("loss", entry.loss))
    if generation:
        parts.append(generation)
    return " · ".join([*parts, f"{entry.protocol} protocol", seeds])


def _row_order(entry: Entry) -> tuple[Any, ...]:
    arm = ARMS.index(entry.arm) if entry.arm in ARMS else len(ARMS)
    plain = "calibrator" in entry.neutral
    return arm, entry.arm, *entry.order(*GENERATION), not plain, *entry.order("calibrator")
