"""One data set of the self-calibration ablation: the language model's figures, and the gains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fgbench.leaderboard.build import control_of

if TYPE_CHECKING:
    from fgbench.leaderboard.models import Entry
    from fgbench.report.view import Names

CONTROLS = ("baseline", "real")


@dataclass(frozen=True)
class Gain:
    """What retraining on synthetic texts gave against a control; positive is better."""

    versus: str
    metric: str
    """accuracy: how much it rose; ece: how much it fell."""
    absolute: float
    percent: float | None
    """Of the control's value; None where that is 0."""


@dataclass(frozen=True)
class Point:
    """One data set of a series: two entries, and what each says."""

    dataset: str
    digest: str
    llm_entry: str
    entry: str
    llm_accuracy: float
    llm_ece: float
    gains: tuple[Gain, ...]

    def gain(self, versus: str, metric: str, unit: str) -> float | None:
        """Return one gain; None where there is none."""
        for each in self.gains:
            if (each.versus, each.metric) == (versus, metric):
                return each.percent if unit == "percent" else each.absolute
        return None


def point_of(
    entry: Entry, few_shot: Sequence[Entry], entries: Sequence[Entry], ece: str, names: Names
) -> Point | str:
    """Return the data set's point, or why it has none."""
    same = [other for other in few_shot if other.dataset.digest == entry.dataset.digest]
    if not same:
        if any(other.dataset.name == entry.dataset.name for other in few_shot):
            return "the language model was run on other rows of it"
        return "the language model was not run on it"
    # Protocol and loss are nothing to a model that is not trained: either entry will do.
    model = min(same, key=lambda other: (other.protocol != entry.protocol, other.id))
    for name in ("accuracy", ece):
        for each, whose in ((model, "language model's"), (entry, "retrained classifier's")):
            if name not in each.metrics:
                return f"the {whose} {name} is not there"
    gains = tuple(
        gain
        for versus in CONTROLS
        for gain in _gains(entry, control_of(entry, versus, entries), versus, ece)
    )
    if not gains:
        return "neither its baseline nor its real control is there"
    return Point(
        dataset=names.short("dataset", entry.dataset),
        digest=entry.dataset.digest or "",
        llm_entry=model.id,
        entry=entry.id,
        llm_accuracy=model.metrics["accuracy"].mean,
        llm_ece=model.metrics[ece].mean,
        gains=gains,
    )


def _gains(entry: Entry, control: Entry | None, versus: str, ece: str) -> list[Gain]:
    if control is None or not {"accuracy", ece} <= control.metrics.keys():
        return []
    found = []
    for metric, name, sign in (("accuracy", "accuracy", 1), ("ece", ece, -1)):
        by_seed = dict(zip(control.seeds, control.metrics[name].per_seed, strict=True))
        before = sum(by_seed[seed] for seed in entry.seeds) / len(entry.seeds)
        gain = sign * (entry.metrics[name].mean - before)
        found.append(Gain(versus, metric, gain, 100 * gain / before if before else None))
    return found
