"""What a table of a board shows, whatever it is drawn with: groups, rows, and cells as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from fgbench.loop.arms import ARMS

if TYPE_CHECKING:
    from fgbench.leaderboard.models import (
        ComparisonRecord,
        DatasetRecord,
        Entry,
        Leaderboard,
        MetricRecord,
        PartRecord,
    )

Verdict = Literal["better", "worse", "not separable", ""]
"""Of a difference: significant after Holm at 5 %, in the good or the bad direction, or not."""

SIGNIFICANCE = 0.05
SYMBOLS: dict[Verdict, str] = {"better": "✓", "worse": "✗", "not separable": "≈", "": ""}
CAPTION = (
    "Mean ± standard deviation over seeds; below it the difference from the baseline without "
    "calibrator, with its 95 % interval (paired bootstrap over test points and seeds). "
    "✓ better, ✗ worse: p < 0.05 after Holm's adjustment over the board; ≈ not separable. "
    "°: at or below the noise floor, what chance alone gives a perfectly calibrated classifier."
)
RANK_CAPTION = (
    "Rank: between which ranks each lies in {} among its group, with 95 % confidence; where that "
    "begins with 1, no entry is significantly better."
)
REAL_TITLE = "Difference from `real`: the same data and calibrator, without a synthetic point"

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

    def telling_settings(self, entry: Entry) -> str:
        """Return those settings of a generating entry in which others of the group differ."""
        if entry.generator is None:
            return ""
        return ", ".join(
            text
            for key, text in _settings(entry).items()
            if any(each.get(key) != text for each in self._generating_settings)
        )

    @cached_property
    def _generating_settings(self) -> list[dict[str, str]]:
        """The distinct settings of the group's generating entries."""
        found: list[dict[str, str]] = []
        for entry in self.entries:
            if entry.generator is not None and (settings := _settings(entry)) not in found:
                found.append(settings)
        return found


@dataclass(frozen=True)
class CellText:
    """One metric of one entry: value, difference, interval, verdict; empty where there is none."""

    value: str
    delta: str = ""
    interval: str = ""
    verdict: Verdict = ""


class Names:
    """Short names of a board's parts: with just those parameters that tell two parts apart.

    A data set of which the board has several versions bears the beginning of its digest, too.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._values: dict[tuple[str, str], dict[str, set[str]]] = {}
        self._digests: dict[str, set[str | None]] = {}
        for entry in entries:
            self._digests.setdefault(entry.dataset.label, set()).add(entry.dataset.digest)
            for kind, part in _parts(entry):
                values = self._values.setdefault((kind, part.name), {})
                for key, value in part.params.items():
                    values.setdefault(key, set()).add(str(value))

    def short(self, kind: str, part: PartRecord) -> str:
        """Return the part's name, with the parameters in which others of that name differ."""
        values = self._values.get((kind, part.name), {})
        telling = [
            f"{key}={value}"
            for key, value in sorted(part.params.items())
            if len(values.get(key, ())) > 1
        ]
        return f"{part.name}:{','.join(telling)}" if telling else part.name

    def dataset(self, record: DatasetRecord) -> str:
        """Return a data set's name, with what tells it from others of that name."""
        name = self.short("dataset", record)
        several = len(self._digests.get(record.label, ())) > 1
        return f"{name}@{record.digest[:8]}" if several and record.digest else name


def default_metrics(board: Leaderboard, at_most: int = 4) -> list[str]:
    """Return the metrics that a table shows unless told: accuracy, the ECEs, the truth or NLL."""
    present = {name for entry in board.entries for name in entry.metrics}
    chosen = [name for name in _DEFAULT_METRICS if name in present]
    if len(present) <= at_most:  # few metrics were asked for: show them all
        chosen += sorted(present - set(chosen))
    return (chosen or sorted(present))[:at_most]


def groups(board: Leaderboard) -> list[Group]:
    """Return the entries by dataset, classifier, loss, protocol, seeds, generator and bins.

    Entries without a generator (baseline, real) stand in every group that they are a control of.
    """
    found = []
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
            found.append(Group(title, rows, names))
    return found


def comparisons(board: Leaderboard) -> list[Group]:
    """Return the entries by dataset, classifier, loss, protocol and seeds, each in one group.

    Entries of one group are judged on the same test points; they are in the order of their arms,
    generators, bins and calibrators.
    """
    names = Names(board.entries)
    shared: dict[tuple[object, ...], list[Entry]] = {}
    for entry in board.entries:
        shared.setdefault(_setting(entry), []).append(entry)
    return [
        Group(_title(entries[0], "", names), tuple(sorted(entries, key=_row_order)), names)
        for entries in shared.values()
    ]


def by_metric(entries: Iterable[Entry], metric: str) -> tuple[Entry, ...]:
    """Return the entries with the best in a metric first, and those without it last."""

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
    if is_chance(record):
        value += "°"
    return _with_difference(value, entry.versus_baseline.get(metric), metric, entry)


def is_chance(record: MetricRecord) -> bool:
    """Say whether an error is at or below its noise floor: what chance alone gives."""
    return record.noise_floor is not None and record.mean <= record.noise_floor


def has_deviation(entry: Entry) -> bool:
    """Say whether an entry's figures are over several seeds, so that they have a deviation.

    A publication that does not say which seeds it used may say how many (`number_of_seeds`).
    """
    said = entry.settings.get("number_of_seeds") if entry.published is not None else None
    return len(entry.seeds) > 1 or (isinstance(said, int) and said > 1)


def cell_against_real(entry: Entry, metric: str) -> CellText:
    """Return one cell of the table of differences from the `real` control."""
    record = entry.versus_real.get(metric)
    return CellText("—") if record is None else _with_difference("", record, metric, entry)


def against_real(group: Group) -> tuple[Entry, ...]:
    """Return the entries of a group that are compared with a `real` control."""
    return tuple(entry for entry in group.entries if entry.versus_real)


def _with_difference(
    value: str, against: ComparisonRecord | None, metric: str, entry: Entry
) -> CellText:
    if against is None:
        return CellText(value)
    interval = ""
    if against.ci95 is not None:
        interval = f"[{signed(against.ci95[0])}, {signed(against.ci95[1])}]"
    judged = verdict(against, metric in entry.higher_is_better)
    return CellText(value, signed(against.delta), interval, judged)


def verdict(against: ComparisonRecord, higher_is_better: bool) -> Verdict:
    """Return what a difference shows."""
    if against.p_adjusted is None or against.p_adjusted >= SIGNIFICANCE or against.delta == 0:
        return "not separable"
    return "better" if (against.delta > 0) == higher_is_better else "worse"


def number(value: float) -> str:
    """Return a number with three decimals."""
    return f"{value:.3f}"


def signed(value: float) -> str:
    """Return a difference with its sign and three decimals; what rounds to nothing has none."""
    text = f"{abs(value):.3f}"
    if float(text) == 0:
        return text
    return ("−" if value < 0 else "+") + text


def filtered(board: Leaderboard, **wanted: Sequence[str]) -> Leaderboard:
    """Return the board with the entries whose parts have the wanted names; none wanted is all.

    The keys are dataset, classifier, generator, calibrator, arm, protocol and bins. An entry
    without generator, and so without bins, stays, so that each comparison keeps its control.
    """

    def keep(entry: Entry) -> bool:
        names = {
            "dataset": entry.dataset.name,
            "classifier": entry.classifier.name,
            "generator": entry.generator.name if entry.generator else None,
            "calibrator": entry.calibrator.name,
            "arm": entry.arm,
            "protocol": entry.protocol,
            "bins": None if entry.bins is None else str(entry.bins),
        }
        return all(
            not values
            or names[key] in values
            or (key in ("generator", "bins") and entry.generator is None)
            for key, values in wanted.items()
        )

    kept = [each for each in board.entries if keep(each)]
    if len(kept) == len(board.entries):
        return board
    return board.model_copy(update={"entries": kept, "checksum": None})


def known_names(entries: Iterable[Entry]) -> dict[str, set[str]]:
    """Return the names that `filtered` can be asked for, by key."""
    keys = "dataset classifier generator calibrator arm metric protocol bins"
    known: dict[str, set[str]] = {key: set() for key in keys.split()}
    for entry in entries:
        known["dataset"].add(entry.dataset.name)
        known["classifier"].add(entry.classifier.name)
        known["calibrator"].add(entry.calibrator.name)
        known["arm"].add(entry.arm)
        known["metric"] |= set(entry.metrics)
        known["protocol"].add(entry.protocol)
        if entry.bins is not None:
            known["bins"].add(str(entry.bins))
        if entry.generator is not None:
            known["generator"].add(entry.generator.name)
    return known


def _setting(entry: Entry) -> tuple[object, ...]:
    return (
        entry.dataset.label,
        entry.dataset.digest,
        entry.classifier.label,
        entry.loss.label,
        entry.protocol,
        tuple(sorted(entry.seeds)),
        entry.published and entry.published.source,
    )


def _parts(entry: Entry) -> list[tuple[str, PartRecord]]:
    parts: list[tuple[str, PartRecord]] = [
        ("dataset", entry.dataset),
        ("classifier", entry.classifier),
        ("loss", entry.loss),
        ("calibrator", entry.calibrator),
    ]
    return parts if entry.generator is None else [*parts, ("generator", entry.generator)]


def _generation(entry: Entry, names: Names) -> str:
    assert entry.generator is not None
    generator = names.short("generator", entry.generator)
    return f"{generator}, {entry.bins} bins ({selection(entry)})".replace(" ()", "")


def selection(entry: Entry) -> str:
    """Return by what an entry's bins were picked; empty where that is not known."""
    if entry.threshold is None:
        return ""
    text = f"gap > {entry.threshold:g}"
    if entry.selector == "significant" and entry.alpha is not None:
        text += f", significant at {entry.alpha:g}"
    return text


def _settings(entry: Entry) -> dict[str, str]:
    """Return how an entry's bins were picked, and its other settings, as text by their names."""
    others = {key: f"{key}={value}" for key, value in sorted(entry.settings.items())}
    return {"selection": selection(entry), **others}


def _title(entry: Entry, generation: str, names: Names) -> str:
    seeds = f"{len(entry.seeds)} seeds" if len(entry.seeds) != 1 else f"seed {entry.seeds[0]}"
    if entry.published is not None:
        seeds = f"as published: {entry.published.source}"
    parts = [names.dataset(entry.dataset), names.short("classifier", entry.classifier)]
    if entry.loss.name != "cross-entropy":
        parts.append(names.short("loss", entry.loss))
    if generation:
        parts.append(generation)
    return " · ".join([*parts, f"{entry.protocol} protocol", seeds])


def _row_order(entry: Entry) -> tuple[int, str, str, int, bool, str]:
    arm = ARMS.index(entry.arm) if entry.arm in ARMS else len(ARMS)
    generator = "" if entry.generator is None else entry.generator.label
    plain = entry.calibrator.name == "none"
    return arm, entry.arm, generator, entry.bins or 0, not plain, entry.calibrator.label
