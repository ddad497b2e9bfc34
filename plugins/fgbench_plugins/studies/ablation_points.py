"""One data set of the self-calibration ablation: the language model's metrics and the gains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fgbench import Controls, Entry
    from fgbench_plugins.studies.names import ShortNames

CONTROLS = ("baseline", "real")


@dataclass(frozen=True)
class Gain:
    """The gain from retraining on synthetic texts over a control; positive is better."""

    versus: str
    metric: str
    """accuracy (the increase) or ece (the decrease)."""
    absolute: float
    percent: float | None
    """In percent of the control's value; None where that is 0."""


@dataclass(frozen=True)
class Point:
    """One data set of a series: the language model's entry, the retrained one and its gains."""

    dataset: str
    digest: str
    llm_entry: str
    entry: str
    llm_accuracy: float
    llm_ece: float
    gains: tuple[Gain, ...]

    def gain(self, versus: str, metric: str, unit: str) -> float | None:
        """Return one gain, or None where it is missing."""
        for gain in self.gains:
            if (gain.versus, gain.metric) == (versus, metric):
                return gain.percent if unit == "percent" else gain.absolute
        return None


def point_of(
    entry: Entry, few_shot: Sequence[Entry], controls: Controls, ece: str, names: ShortNames
) -> Point | str:
    """Return the point of the entry's data set, or the reason why it has none."""
    same = [other for other in few_shot if other.dataset.digest == entry.dataset.digest]
    if not same:
        if any(other.dataset.name == entry.dataset.name for other in few_shot):
            return "the language model was run on other rows of it"
        return "the language model was not run on it"
    # Protocol and loss do not affect a model that is not trained: any of its entries will do.
    model = min(same, key=lambda other: (other.protocol != entry.protocol, other.id))
    for name in ("accuracy", ece):
        for owner, whose in ((model, "language model's"), (entry, "retrained classifier's")):
            if name not in owner.metrics:
                return f"the {whose} {name} is missing"
    gains = tuple(
        gain
        for versus in CONTROLS
        for gain in _gains(entry, controls.of(entry, versus), versus, ece)
    )
    if not gains:
        return "both its baseline and its real control are missing"
    return Point(
        dataset=names.of(entry, "dataset"),
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
    gains = []
    for metric, name, sign in (("accuracy", "accuracy", 1), ("ece", ece, -1)):
        by_seed = dict(zip(control.seeds, control.metrics[name].per_seed, strict=True))
        before = sum(by_seed[seed] for seed in entry.seeds) / len(entry.seeds)
        gain = sign * (entry.metrics[name].mean - before)
        gains.append(Gain(versus, metric, gain, 100 * gain / before if before else None))
    return gains
