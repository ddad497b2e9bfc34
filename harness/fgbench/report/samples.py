"""Synthetic samples for the page: what was asked of each bin, and texts beside their sources."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from fgbench.diagnostics.collect import SAMPLE_INDEX, SAMPLES_FOLDER
from fgbench.errors import LeaderboardError
from fgbench.report.fidelity import Fidelity, TenthMean, fidelity, tenth_rows
from fgbench.report.reliability import POSITIVE

PAIRS_PER_BIN = 3
MOST_SETS = 12
_LONGEST_TEXT = 400

_JUDGES = {
    "baseline_probabilities": "baseline classifier",
    "achieved_probabilities": "true posterior",
    "claimed_probabilities": "generator's claim",
}
"""Who estimates the class probabilities of a synthetic input, by the sample's field."""


@dataclass
class Pair:
    """A source and one synthetic input made from it, with the probabilities of the classes."""

    source: str
    synthetic: str
    label: int
    asked: str
    claimed: str
    achieved: str


@dataclass
class TargetedBin:
    """One bin: what the classifier says there, what was asked for, and what came back."""

    bin: int
    said: str
    asked: str
    sources: int = 0
    accepted: int = 0
    rejected: int = 0
    pairs: list[Pair] = field(default_factory=list)


@dataclass
class SampleSet:
    """The samples of one data set, generator, number of bins and design, over all seeds.

    `place` is its id on the page. `entries` are the ids of those that were trained on its samples,
    none where the run does not say.
    """

    title: str
    place: str
    entries: frozenset[str]
    seeds: list[int]
    bins: list[TargetedBin]
    reasons: list[tuple[str, int]]
    fidelities: list[Fidelity] = field(default_factory=list)

    @property
    def tenths(self) -> list[tuple[str, list[TenthMean | None]]]:
        """The means of all judges as rows of a table, one for each tenth of the target."""
        return tenth_rows(self.fidelities)


_NAMES = ("dataset", "generator", "bins", "design")
_Key = tuple[tuple[str, ...], frozenset[str]]
"""What a set is of, as its samples say, and the entries that stand on it."""


@dataclass
class Samples:
    """The first sets of samples, and how many more there are."""

    sets: list[SampleSet] = field(default_factory=list)
    left_out: int = 0


def read_samples(runs: Iterable[Path]) -> Samples:
    """Read the lineage files of run folders; lines that are no samples are passed over.

    Files that the same entries were trained on, one a seed, are one set. `MOST_SETS` are kept.
    """
    gathered: dict[_Key, _Gathered] = {}
    for run in runs:
        users = _users(run)
        for path in sorted((run / SAMPLES_FOLDER).glob("*.jsonl")):
            entries = frozenset(users.get(f"{SAMPLES_FOLDER}/{path.name}", ()))
            for sample in _lines(path):
                names = tuple(str(sample.get(name)) for name in _NAMES)
                key = names, entries
                gathered.setdefault(key, _Gathered()).add(sample)
    ordered = sorted(gathered.items(), key=_order)
    kept = [
        each.finished(*key, place=f"samples-{number}")
        for number, (key, each) in enumerate(ordered[:MOST_SETS])
    ]
    return Samples(kept, len(ordered) - len(kept))


def _users(run: Path) -> dict[str, list[str]]:
    """Return the entries that were trained on each lineage file; none where it is not written."""
    try:
        index = json.loads((run / SAMPLE_INDEX).read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise LeaderboardError(f"{run / SAMPLE_INDEX}: cannot be read: {error}.") from None
    users: dict[str, list[str]] = {}
    for entry, paths in index.items() if isinstance(index, dict) else ():
        for path in paths if isinstance(paths, list) else ():
            users.setdefault(str(path), []).append(entry)
    return users


def _order(item: tuple[_Key, _Gathered]) -> tuple[bool, tuple[str, ...], list[str]]:
    """Targeted bins first: the random ones are their control."""
    names, entries = item[0]
    return names[3] != "targeted", names, sorted(entries)


class _Gathered:
    def __init__(self) -> None:
        self.seeds: set[int] = set()
        self.reasons: Counter[str] = Counter()
        self.bins: dict[int, TargetedBin] = {}
        self.sources: dict[int, set[tuple[Any, ...]]] = {}
        self.shown: set[tuple[Any, ...]] = set()
        self.axis = ""
        self.judged: dict[str, list[tuple[float, float]]] = {}

    def add(self, sample: dict[str, Any]) -> None:
        source = sample.get("source")
        number = sample.get("bin")
        if not isinstance(source, dict) or not isinstance(number, int):
            return
        seed = int(sample.get("seed") or 0)
        self.seeds.add(seed)
        said = _probabilities(sample.get("bin_probabilities"))
        asked = _probabilities(sample.get("asked_probabilities"))
        target = self.bins.setdefault(number, TargetedBin(number, said, asked))
        sources = self.sources.setdefault(number, set())
        place = (seed, source.get("index"))
        sources.add(place)
        target.sources = len(sources)
        if sample.get("verdict") == "surplus":  # good, but its source had one already
            return
        if sample.get("verdict") != "accepted":
            target.rejected += 1
            self.reasons[str(sample.get("reason") or "no reason given")] += 1
            return
        target.accepted += 1
        self._judge(sample)
        if place not in self.shown and len(target.pairs) < PAIRS_PER_BIN:
            self.shown.add(place)
            target.pairs.append(
                Pair(
                    source=_shown(source.get("input")),
                    synthetic=_shown(sample.get("input")),
                    label=int(source.get("label") or 0),
                    asked=asked,
                    claimed=_probabilities(sample.get("claimed_probabilities")),
                    achieved=_probabilities(sample.get("achieved_probabilities")),
                )
            )

    def finished(self, names: tuple[str, ...], entries: frozenset[str], *, place: str) -> SampleSet:
        dataset, generator, bins, design = names
        return SampleSet(
            title=f"{dataset} · {generator} · {bins} bins · {design}",
            place=place,
            entries=entries,
            seeds=sorted(self.seeds),
            bins=[self.bins[number] for number in sorted(self.bins)],
            reasons=self.reasons.most_common(12),
            fidelities=[
                fidelity(judge, self.axis, self.judged[key])
                for key, judge in _JUDGES.items()
                if key in self.judged
            ],
        )

    def _judge(self, sample: dict[str, Any]) -> None:
        """Record the target and what each judge says of one class.

        That class is 1 of two, or else the class with the highest target.
        """
        targets = sample.get("asked_probabilities")
        if not _is_distribution(targets):
            return
        binary = len(targets) == 2
        label = 1 if binary else max(range(len(targets)), key=targets.__getitem__)
        self.axis = POSITIVE if binary else "P(class with the highest target)"
        for key in _JUDGES:
            values = sample.get(key)
            if _is_distribution(values) and len(values) == len(targets):
                pair = float(targets[label]), float(values[label])
                self.judged.setdefault(key, []).append(pair)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                yield value


def _is_distribution(values: Any) -> TypeGuard[list[float]]:
    """Return whether a value of a sample is a list of probabilities, NaN excluded."""
    return (
        isinstance(values, list)
        and bool(values)
        and all(isinstance(value, int | float) and 0 <= value <= 1 for value in values)
    )


def _probabilities(values: Any) -> str:
    """Return class probabilities as text: of class 1 where there are two, else of each class."""
    if not isinstance(values, list) or not all(isinstance(v, int | float) for v in values):
        return ""
    shown = [f"{value:.2f}" for value in values]
    if len(shown) == 2:
        return shown[1]
    return ", ".join(shown[:8]) + (", …" if len(shown) > 8 else "")


def _shown(value: Any) -> str:
    if isinstance(value, list):
        value = (
            "("
            + ", ".join(f"{v:.3g}" if isinstance(v, int | float) else str(v) for v in value[:8])
            + (", …)" if len(value) > 8 else ")")
        )
    text = "" if value is None else str(value)
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"
