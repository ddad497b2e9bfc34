"""The content of a board's tables: groups, rows, and cells as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from fgbench.coordinates import GENERATION, NAMED, PARTS
from fgbench.inference import SIGNIFICANCE
from fgbench.loop.arms import ARMS

if TYPE_CHECKING:
    from fgbench.coordinates import DatasetRecord, PartRecord
    from fgbench.inference import Comparison
    from fgbench.leaderboard.models import Entry, Leaderboard

Verdict = Literal["better", "worse", "not separable", ""]
"""Of a difference: better or worse if significant after Holm at 5 %."""

SYMBOLS: dict[Verdict, str] = {"better": "✓", "worse": "✗", "not separable": "≈", "": ""}
CAPTION = (
    "Mean ± standard deviation over seeds; below it the difference from the uncalibrated "
    "baseline, with its 95 % interval (paired, over seeds and test points). "
    "✓ better, ✗ worse: p < 0.05 after Holm's adjustment over the arms of the same data set, "
    "classifier and calibrator; ≈ not separable. A single seed shows nothing about methods and "
    "gets no mark. °: 5 % of perfectly calibrated classifiers have a larger error by chance."
)
RANK_CAPTION = (
    "Rank: 95 % interval of the rank in {} among the entries of the same data set, classifier and "
    "seeds; if it starts at 1, no entry is significantly better."
)
REAL_TITLE = "Difference from `real`: same data and calibrator, no synthetic points"

_DEFAULT_METRICS = ("accuracy", "ece", "ece_positive", "true_calibration_error", "nll")


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
    """One metric of one entry: value, difference, interval, verdict; empty where there is none."""

    value: str
    delta: str = ""
    interval: str = ""
    verdict: Verdict = ""


class Names:
    """Short names of a board's parts: only with the parameters that distinguish them.

    If the board has several versions of a data set, the start of the digest is added.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._values: dict[tuple[str, str], dict[str, set[str]]] = {}
        self._digests: dict[str, set[str | None]] = {}
        for entry in entries:
            self._digests.setdefault(entry.dataset.label, set()).add(entry.dataset.digest)
            for kind, part in entry.parts().items():
                values = self._values.setdefault((kind, part.name), {})
                for key, value in part.params.items():
                    values.setdefault(key, set()).add(str(value))

    def short(self, kind: str, part: PartRecord) -> str:
        """Return the part's name, with the parameters in which others of that name differ."""
        values = self._values.get((kind, part.name), {})
        distinguishing = [
            f"{key}={value}"
            for key, value in sorted(part.params.items())
            if len(values.get(key, ())) > 1
        ]
        if not distinguishing:
            return part.name
        return f"{part.name}:{','.join(distinguishing)}"

    def dataset(self, record: DatasetRecord) -> str:
        """Return a data set's name, with what distinguishes it from others of that name."""
        name = self.short("dataset", record)
        several = len(self._digests.get(record.label, ())) > 1
        return f"{name}@{record.digest[:8]}" if several and record.digest else name

    def all(self, entry: Entry) -> dict[str, str | None]:
        """Return the short name of each of an entry's parts, by axis; None where it has none."""
        names = {kind: self.short(kind, part) for kind, part in entry.parts().items()}
        return dict.fromkeys(PARTS) | names | {"dataset": self.dataset(entry.dataset)}


def default_metrics(board: Leaderboard, at_most: int = 4) -> list[str]:
    """Return the metrics that a table shows by default."""
    present = {name for entry in board.entries for name in entry.metrics}
    chosen = [name for name in _DEFAULT_METRICS if name in present]
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
        return False, -record.mean if metric in entry.higher_is_better else record.mean

    return tuple(sorted(entries, key=cost))


def cell_text(entry: Entry, metric: str) -> CellText:
    """Return one cell; a metric that is undefined or absent is a dash."""
    record = entry.metrics.get(metric)
    if record is None:
        return CellText("—")
    value = number(record.mean)
    if has_deviation(entry):
        value += f" ±{number(record.std)}"
    if record.is_chance:
        value += "°"
    return _with_difference(value, entry.versus_baseline.get(metric), metric, entry)


def has_deviation(entry: Entry) -> bool:
    """Return whether an entry has several seeds, and so a standard deviation.

    A publication that does not name its seeds may give their number (`number_of_seeds`).
    """
    count = entry.settings.get("number_of_seeds") if entry.published is not None else None
    return len(entry.seeds) > 1 or (isinstance(count, int) and count > 1)


def cell_against_real(entry: Entry, metric: str) -> CellText:
    """Return one cell of the table of differences from the `real` control."""
    record = entry.versus_real.get(metric)
    return CellText("—") if record is None else _with_difference("", record, metric, entry)


def against_real(group: Group) -> tuple[Entry, ...]:
    """Return the entries of a group that are compared with a `real` control."""
    return tuple(entry for entry in group.entries if entry.versus_real)


def _with_difference(value: str, against: Comparison | None, metric: str, entry: Entry) -> CellText:
    if against is None:
        return CellText(value)
    interval = ""
    if against.ci95 is not None:
        interval = f"[{signed(against.ci95[0])}, {signed(against.ci95[1])}]"
    outcome = verdict(against, metric in entry.higher_is_better)
    return CellText(value, signed(against.delta), interval, outcome)


def verdict(against: Comparison, higher_is_better: bool) -> Verdict:
    """Return the verdict on a difference."""
    if against.p_value is None:
        return ""
    if against.p_adjusted is None or against.p_adjusted >= SIGNIFICANCE or against.delta == 0:
        return "not separable"
    return "better" if (against.delta > 0) == higher_is_better else "worse"


def number(value: float) -> str:
    """Return a number with three decimals."""
    return f"{value:.3f}"


def signed(value: float) -> str:
    """Return a difference with its sign and three decimals; zero has no sign."""
    text = f"{abs(value):.3f}"
    if float(text) == 0:
        return text
    return ("−" if value < 0 else "+") + text


def filtered(board: Leaderboard, **wanted: Sequence[str]) -> Leaderboard:
    """Return the board with the entries that have one of the wanted names on each axis.

    An axis without wanted names is not filtered. An entry without generator, and so without bins,
    stays, so that each comparison keeps its control.
    """

    def keep(entry: Entry) -> bool:
        names = entry.names()
        return all(
            not values
            or str(names[axis]) in values
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
        for axis, name in entry.names().items():
            if name is not None:
                names[axis].add(str(name))
    return names


def _generation(entry: Entry, names: Names) -> str:
    assert entry.generator is not None
    generator = names.short("generator", entry.generator)
    return f"{generator}, {entry.bins} bins ({selection(entry)})".replace(" ()", "")


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
    return {"selection": selection(entry), **others}


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
