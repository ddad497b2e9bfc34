"""FITG's self-calibration ablation (section 4.6, Table 5) from the entries of boards.

Does it take a language model that classifies well, or one that is well calibrated, to write texts
that help? Across data sets, the accuracy and the ECE of the language model as a few-shot classifier
are correlated with the gains of another classifier that was retrained on synthetic texts. A series
is one setting of both over the data sets: nothing is averaged over settings, and a data set that
lacks a part is left out, with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgbench.errors import LeaderboardError
from fgbench.leaderboard.files import read_board
from fgbench.leaderboard.merge import difference
from fgbench.report.ablation_points import CONTROLS, Point, point_of
from fgbench.report.correlation import Correlation, Kind, correlation
from fgbench.report.fitg_table_5 import fitg_table_5
from fgbench.report.view import Names

if TYPE_CHECKING:
    from fgbench.leaderboard.models import Entry

SYNTHETIC_ARMS = ("synthesis", "synthesis+")
UNITS = ("percent", "absolute")
KINDS: tuple[Kind, ...] = ("pearson", "spearman")
ECES = ("ece_positive", "ece")
"""In the order of preference: FITG's is that of the positive class, which two classes have."""


@dataclass(frozen=True)
class Association:
    """A correlation across data sets: of the language model's `x` with a gain, or with its ECE."""

    x: str
    y: str
    versus: str | None
    unit: str | None
    correlation: Correlation


@dataclass(frozen=True)
class Series:
    """One language model as classifier, and one setting of retraining, over data sets."""

    llm: str
    setting: str
    details: str
    ece: str
    points: tuple[Point, ...]
    left_out: tuple[tuple[str, str], ...]
    """Data sets that lack something, and what."""
    associations: tuple[Association, ...]

    def find(self, x: str, y: str, versus: str | None, unit: str | None, kind: Kind) -> Correlation:
        """Return one correlation."""
        return next(
            each.correlation
            for each in self.associations
            if (each.x, each.y, each.versus, each.unit) == (x, y, versus, unit)
            and each.correlation.kind == kind
        )


def read_entries(sources: Sequence[Path]) -> list[Entry]:
    """Return the entries of runs and boards, each once.

    Raises `LeaderboardError` where two entries of one id differ in a number.
    """
    found: dict[str, tuple[Entry, Path]] = {}
    for source in sources:
        for entry in read_board(source).entries:
            known, where = found.setdefault(entry.id, (entry, source))
            if known is not entry and (place := difference(known, entry)) is not None:
                raise LeaderboardError(
                    f"entry {entry.id} ({entry.label}) differs in {place} between {where} and "
                    f"{source}: name one of them."
                )
    return [entry for entry, _ in found.values()]


def ablation(entries: Sequence[Entry], *, llm: str = "llm", ece: str | None = None) -> list[Series]:
    """Return every pair of a language model as classifier and a setting of retraining.

    `llm` is the name of the classifier; its entries and the retrained ones are those without a
    post-hoc calibrator, for a calibrator would hide what is asked. `ece` names the metric; by
    default it is the first of `ECES` that all points of a series have. Raises `LeaderboardError`
    where there is nothing to correlate, saying what is missing.
    """
    plain = [entry for entry in entries if entry.calibrator.name == "none"]
    names = Names(plain)
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
            f"no baseline of a classifier named {llm!r} without calibrator is in the given runs "
            f"and boards: add `fgbench run --classifier {llm}:… --arm baseline`, same data."
        )
    if not settings:
        raise LeaderboardError(
            "no entry of the arms synthesis or synthesis+ without calibrator is in the given runs "
            "and boards: there is no gain to correlate with."
        )
    return [
        _series(few_shot, retrained, plain, names, ece)
        for _, few_shot in sorted(models.items())
        for _, retrained in sorted(settings.items())
    ]


def to_value(series: Iterable[Series]) -> dict[str, Any]:
    """Return everything as JSON values."""
    return {
        "schema": "fgbench.ablation/1",
        "series": [
            {
                "llm": each.llm,
                "setting": each.setting,
                "details": each.details,
                "ece": each.ece,
                "points": [asdict(point) for point in each.points],
                "left_out": [{"dataset": name, "reason": why} for name, why in each.left_out],
                "correlations": [
                    {"x": item.x, "y": item.y, "versus": item.versus, "unit": item.unit}
                    | item.correlation.to_value()
                    for item in each.associations
                ],
            }
            for each in series
        ],
        "fitg_table_5": [
            {"x": x, "y": y} | each.to_value() for (x, y), each in fitg_table_5().items()
        ],
    }


def _setting(entry: Entry) -> str:
    """Return what the entries of a series have in common: everything but the data set."""
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
    entries: Sequence[Entry],
    names: Names,
    ece: str | None,
) -> Series:
    first = retrained[0]
    chosen = ece or _common_ece([*few_shot, *retrained])
    points: list[Point] = []
    left_out: list[tuple[str, str]] = []
    for entry in sorted(retrained, key=lambda entry: (entry.dataset.label, entry.dataset.digest)):
        point = point_of(entry, few_shot, entries, chosen, names)
        if isinstance(point, Point):
            points.append(point)
        else:
            left_out.append((names.short("dataset", entry.dataset), point))
    gained = {entry.dataset.digest for entry in retrained}
    left_out += [
        (names.short("dataset", entry.dataset), "only the language model was run on it")
        for entry in few_shot
        if entry.dataset.digest not in gained
    ]
    assert first.generator is not None
    details = [f"{first.protocol} protocol", _seeds(first.seeds)]
    if first.loss.name != "cross-entropy":
        details.append(names.short("loss", first.loss))
    return Series(
        llm=names.short("classifier", few_shot[0].classifier),
        setting=(
            f"{names.short('classifier', first.classifier)}, {first.arm}, "
            f"{names.short('generator', first.generator)}, {first.bins} bins"
        ),
        details=", ".join(details),
        ece=chosen,
        points=tuple(points),
        left_out=tuple(dict.fromkeys(left_out)),
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
                        found = correlation(kind, first, second)
                        yield Association(x, y, versus, unit, found)
