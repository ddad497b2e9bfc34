"""FITG's self-calibration ablation (section 4.6, Table 5) from the entries of boards.

Is it a language model that classifies well, or one that is well calibrated, whose texts help?
Across data sets, the accuracy and the ECE of the language model as a few-shot classifier are
correlated with the gains of another classifier that was retrained on synthetic texts. A series is
one setting of both over the data sets. Nothing is averaged over settings, and a data set with a
missing entry is skipped, with the reason.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgbench import Controls, LeaderboardError, read_board
from fgbench_plugins.studies.ablation_points import CONTROLS, Point, point_of
from fgbench_plugins.studies.correlation import Correlation, Kind, correlation
from fgbench_plugins.studies.fitg_table_5 import fitg_table_5
from fgbench_plugins.studies.names import ShortNames

if TYPE_CHECKING:
    from fgbench import Entry

SYNTHETIC_ARMS = ("synthesis", "synthesis+")
UNITS = ("percent", "absolute")
KINDS: tuple[Kind, ...] = ("pearson", "spearman")
ECES = ("ece_positive", "ece")
"""In order of preference: FITG's is that of the positive class, which needs two classes."""


@dataclass(frozen=True)
class Association:
    """The correlation across data sets of the language model's `x` with a gain or with its ECE."""

    x: str
    y: str
    versus: str | None
    unit: str | None
    correlation: Correlation


@dataclass(frozen=True)
class Series:
    """One language model as classifier and one setting of retraining, over data sets."""

    llm: str
    setting: str
    details: str
    ece: str
    points: tuple[Point, ...]
    skipped: tuple[tuple[str, str], ...]
    """Skipped data sets, and why."""
    associations: tuple[Association, ...]

    def find(self, x: str, y: str, versus: str | None, unit: str | None, kind: Kind) -> Correlation:
        """Return one correlation."""
        return next(
            item.correlation
            for item in self.associations
            if (item.x, item.y, item.versus, item.unit) == (x, y, versus, unit)
            and item.correlation.kind == kind
        )


def read_entries(sources: Sequence[Path]) -> list[Entry]:
    """Return the distinct entries of runs and boards.

    Raises `LeaderboardError` where two entries of one id differ in a metric.
    """
    entries: dict[str, tuple[Entry, Path]] = {}
    for source in sources:
        for entry in read_board(source).entries:
            first, origin = entries.setdefault(entry.id, (entry, source))
            if (metric := _differing_metric(first, entry)) is not None:
                raise LeaderboardError(
                    f"entry {entry.id} ({entry.label}) has different values of {metric} in "
                    f"{origin} and {source}: pass only one of them."
                )
    return [entry for entry, _ in entries.values()]


def self_calibration(
    entries: Sequence[Entry], *, llm: str = "llm", ece: str | None = None
) -> list[Series]:
    """Return a series for each pair of a language model as classifier and a setting of retraining.

    `llm` is the name of the classifier. Entries with a post-hoc calibrator are ignored, since it
    would hide how well calibrated the model itself is. `ece` names the metric; by default it is the
    first of `ECES` that all entries of a series have. Raises `LeaderboardError` that says what is
    missing where there is nothing to correlate.
    """
    plain = [entry for entry in entries if entry.calibrator.name == "none"]
    names, controls = ShortNames(plain), Controls(plain)
    models: dict[tuple[Any, ...], list[Entry]] = {}
    settings: dict[str, list[Entry]] = {}
    for entry in plain:
        if entry.classifier.name == llm:
            if entry.arm == "baseline":
                models.setdefault((entry.classifier.label, *entry.seeds), []).append(entry)
        elif entry.arm in SYNTHETIC_ARMS:
            settings.setdefault(_setting(entry), []).append(entry)
    if not models:
        raise LeaderboardError(
            f"no baseline of classifier {llm!r} without calibrator in these runs and boards: add "
            f"`fgbench run --classifier {llm}:… --arm baseline` on the same data."
        )
    if not settings:
        raise LeaderboardError(
            "no synthesis or synthesis+ entry without calibrator in these runs and boards: there "
            "is no gain to correlate with."
        )
    return [
        _series(few_shot, retrained, controls, names, ece)
        for _, few_shot in sorted(models.items())
        for _, retrained in sorted(settings.items())
    ]


def to_value(series: Iterable[Series]) -> dict[str, Any]:
    """Return everything as JSON values."""
    return {
        "schema": "fgbench.ablation/1",
        "series": [
            {
                "llm": one.llm,
                "setting": one.setting,
                "details": one.details,
                "ece": one.ece,
                "points": [asdict(point) for point in one.points],
                "left_out": [{"dataset": name, "reason": why} for name, why in one.skipped],
                "correlations": [
                    {"x": item.x, "y": item.y, "versus": item.versus, "unit": item.unit}
                    | item.correlation.to_value()
                    for item in one.associations
                ],
            }
            for one in series
        ],
        "fitg_table_5": [
            {"x": x, "y": y} | coefficient.to_value()
            for (x, y), coefficient in fitg_table_5().items()
        ],
    }


def _differing_metric(first: Entry, second: Entry) -> str | None:
    """Return the first metric whose means differ beyond rounding, or None."""
    for name in sorted(first.metrics.keys() & second.metrics.keys()):
        means = (first.metrics[name].mean, second.metrics[name].mean)
        if not math.isclose(*means, rel_tol=1e-9, abs_tol=1e-12):
            return name
    return None


def _setting(entry: Entry) -> str:
    """Return what the entries of a series have in common, which is all but the data set."""
    value = entry.model_dump(
        mode="json",
        include={
            *("classifier", "loss", "generator", "arm", "bins", "threshold", "selector"),
            *("alpha", "protocol", "seeds", "settings"),
        },
    )
    return json.dumps(value, sort_keys=True)


def _series(
    few_shot: Sequence[Entry],
    retrained: Sequence[Entry],
    controls: Controls,
    names: ShortNames,
    ece: str | None,
) -> Series:
    first = retrained[0]
    chosen = ece or _common_ece([*few_shot, *retrained])
    points: list[Point] = []
    skipped: list[tuple[str, str]] = []
    for entry in sorted(retrained, key=lambda entry: (entry.dataset.label, entry.dataset.digest)):
        point = point_of(entry, few_shot, controls, chosen, names)
        if isinstance(point, Point):
            points.append(point)
        else:
            skipped.append((names.of(entry, "dataset"), point))
    gained = {entry.dataset.digest for entry in retrained}
    skipped += [
        (names.of(entry, "dataset"), "only the language model was run on it")
        for entry in few_shot
        if entry.dataset.digest not in gained
    ]
    assert first.generator is not None
    details = [f"{first.protocol} protocol", _seeds(first.seeds)]
    if first.loss.name != "cross-entropy":
        details.append(names.of(first, "loss"))
    return Series(
        llm=names.of(few_shot[0], "classifier"),
        setting=(
            f"{names.of(first, 'classifier')}, {first.arm}, "
            f"{names.of(first, 'generator')}, {first.bins} bins"
        ),
        details=", ".join(details),
        ece=chosen,
        points=tuple(points),
        skipped=tuple(dict.fromkeys(skipped)),
        associations=tuple(_associations(points)),
    )


def _seeds(seeds: Sequence[int]) -> str:
    return ("seed " if len(seeds) == 1 else "seeds ") + " ".join(map(str, seeds))


def _common_ece(entries: Sequence[Entry]) -> str:
    return next(
        (name for name in ECES if all(name in entry.metrics for entry in entries)), ECES[-1]
    )


def _associations(points: Sequence[Point]) -> Iterable[Association]:
    accuracies = [point.llm_accuracy for point in points]
    eces = [point.llm_ece for point in points]
    for kind in KINDS:
        own = correlation(kind, accuracies, eces)
        yield Association("accuracy", "llm_ece", None, None, own)
    for unit in UNITS:
        for versus in CONTROLS:
            for x, values in (("accuracy", accuracies), ("ece", eces)):
                for y in ("accuracy", "ece"):
                    pairs = [
                        (value, gain)
                        for value, point in zip(values, points, strict=True)
                        if (gain := point.gain(versus, y, unit)) is not None
                    ]
                    first, second = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
                    for kind in KINDS:
                        coefficient = correlation(kind, first, second)
                        yield Association(x, y, versus, unit, coefficient)
