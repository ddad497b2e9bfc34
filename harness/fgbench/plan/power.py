"""What a planned run will be able to detect, per data set, classifier and loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fgbench.data import Predictions, test_groups
from fgbench.inference.simulated_power import Detection, default_pilot, detection, pilot_of
from fgbench.numbers import count, number, plural
from fgbench.stages.calibrate import calibrated_file

if TYPE_CHECKING:
    from fgbench.inference.simulated_power import Pilot
    from fgbench.plan.cells import Cell
    from fgbench.plan.plan import Plan
    from fgbench.store import Artifact

Arms = Sequence[Sequence[Predictions]]
"""Test predictions of each arm by seed; the baseline's come first."""


@dataclass(frozen=True)
class PlannedPower:
    """The detection of one setting; `rows` are test rows, of which `Detection.rows` differ."""

    dataset: str
    classifier: str
    loss: str | None
    """None where the suite has one."""
    detection: Detection
    rows: int
    is_text: bool

    @property
    def label(self) -> str:
        """The setting for people."""
        return " · ".join(filter(None, (self.dataset, self.classifier, self.loss)))


def planned_power(
    plan: Plan,
    stored: Mapping[str, Artifact],
    pilots: Mapping[tuple[str, str], tuple[Arms, str]],
) -> list[PlannedPower]:
    """Return what each setting of a plan will detect.

    The pilot is that in `pilots` by names of data set and classifier (predictions and what they
    are), or the stored predictions of the setting itself, or `default_pilot`.
    """
    settings: dict[tuple[str, str, str], list[tuple[Cell, str]]] = {}
    for nodes in plan.graph.cells:
        cell = nodes.cell
        key = (cell.dataset.part.label, cell.classifier.label, cell.loss.label)
        settings.setdefault(key, []).append((cell, nodes.calibrate))
    several_losses = len({loss for _, _, loss in settings}) > 1
    known: dict[tuple[int, int], Detection] = {}
    powers = []
    for (name, classifier, loss), cells in settings.items():
        dataset = cells[0][0].dataset
        groups = test_groups(dataset.dataset)
        rows = len(dataset.dataset.splits["test"])
        units = rows if groups is None else int(groups.max()) + 1
        seeds = len(plan.resolved.suite.seeds)
        pilot = _pilot(cells, stored, pilots)
        if pilot is not None:
            found = detection(pilot, units, seeds)
        else:
            case = (dataset.dataset.n_classes, units)
            if case not in known:
                known[case] = detection(default_pilot(case[0]), units, seeds)
            found = known[case]
        powers.append(
            PlannedPower(
                name,
                classifier,
                loss if several_losses else None,
                found,
                rows,
                dataset.dataset.is_text,
            )
        )
    return powers


def _pilot(
    cells: Sequence[tuple[Cell, str]],
    stored: Mapping[str, Artifact],
    pilots: Mapping[tuple[str, str], tuple[Arms, str]],
) -> Pilot | None:
    first = cells[0][0]
    named = pilots.get((first.dataset.part.name, first.classifier.name))
    if named is not None:
        return pilot_of(*named)
    arms: dict[object, list[Predictions]] = {}
    for cell, node in cells:
        if "calibrator" in cell.neutral and node in stored:
            predictions = Predictions.load(calibrated_file(stored[node]))
            arms.setdefault(cell.group, []).append(predictions)
            if cell.arm == "baseline":
                arms.setdefault("baseline", []).append(predictions)
    baseline = arms.pop("baseline", None)
    if baseline is None:
        return None
    others = [arm for arm in arms.values() if arm[0] is not baseline[0]]
    return pilot_of([baseline, *others], f"stored baseline, {plural(len(baseline), 'seed')}")


def power_lines(powers: Sequence[PlannedPower]) -> list[str]:
    """Return a sentence for each setting, and one that says what it rests on."""
    return [line for power in powers for line in (_sentence(power), _basis(power))]


def _sentence(power: PlannedPower) -> str:
    found = power.detection
    rows = plural(power.rows, "test text" if power.is_text else "test row")
    if found.rows != power.rows:
        rows += f", {count(found.rows)} distinct"
    if found.seeds == 1:
        start = f"one seed shows no difference of methods ({rows})"
    else:
        what = "no difference" if found.difference is None else number(found.difference)
        start = f"detects {what} in ECE (80 % power, {rows}, {plural(found.seeds, 'seed')})"
    seeds = plural(found.further_seeds, "seed")
    if found.further is not None:
        return f"{power.label}: {start}; {seeds} would detect {number(found.further)}."
    return f"{power.label}: {start}; {seeds} would detect none."


def _basis(power: PlannedPower) -> str:
    return f"  Pilot: {power.detection.source}."
