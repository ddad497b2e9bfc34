"""Synthetic samples for the page: targeted bins, target probabilities, texts and their sources."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from pydantic_core import from_json

from fgbench.diagnostics.collect import SAMPLE_INDEX, SAMPLES_FOLDER
from fgbench.errors import LeaderboardError
from fgbench.report.fidelity import Fidelity, TenthMean, fidelity, tenth_rows
from fgbench.report.reliability import POSITIVE

PAIRS_PER_BIN = 3
MAX_SETS = 12
_MAX_REASONS = 12
_MAX_TEXT_LENGTH = 400

_JUDGES = {
    "baseline_probabilities": "baseline classifier",
    "achieved_probabilities": "true posterior",
    "claimed_probabilities": "generator's claim",
}
"""Who estimates the class probabilities of a synthetic input, by the sample's field."""


@dataclass
class Pair:
    """A source and a synthetic input made from it, with class probabilities as text."""

    source: str
    synthetic: str
    label: int
    target: str
    claimed: str
    achieved: str


@dataclass
class TargetedBin:
    """One bin: its mean prediction, the target probability, and counts of its samples."""

    bin: int
    predicted: str
    target: str
    sources: int = 0
    accepted: int = 0
    rejected: int = 0
    pairs: list[Pair] = field(default_factory=list)


@dataclass
class SampleSet:
    """The samples of one data set, generator, number of bins and design, over all seeds.

    `anchor` is its id on the page. `entries` are the ids of the entries that were trained on these
    samples; it is empty where the run does not record them.
    """

    title: str
    anchor: str
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
"""The values of `_NAMES`, and the entries trained on the samples."""


@dataclass
class Samples:
    """The first sets of samples, and the number of sets omitted."""

    sets: list[SampleSet] = field(default_factory=list)
    omitted: int = 0


def read_samples(runs: Iterable[Path]) -> Samples:
    """Read the lineage files of run folders, skipping lines that are not samples.

    Files of the same entries, one per seed, form one set. At most `MAX_SETS` sets are returned.
    Raises `LeaderboardError` where a run's index of samples is unreadable.
    """
    collected: dict[_Key, _Collected] = {}
    for run in runs:
        users = _users(run)
        for path in sorted((run / SAMPLES_FOLDER).glob("*.jsonl")):
            entries = frozenset(users.get(f"{SAMPLES_FOLDER}/{path.name}", ()))
            for sample in _lines(path):
                names = tuple([str(sample.get(name)) for name in _NAMES])
                key = names, entries
                if key not in collected:
                    collected[key] = _Collected()
                collected[key].add(sample)
    ordered = sorted(collected.items(), key=_order)
    sets = [
        collection.finished(*key, anchor=f"samples-{number}")
        for number, (key, collection) in enumerate(ordered[:MAX_SETS])
    ]
    return Samples(sets, len(ordered) - len(sets))


def _users(run: Path) -> dict[str, list[str]]:
    """Return the ids of the entries trained on each lineage file; empty without an index."""
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


def _order(item: tuple[_Key, _Collected]) -> tuple[bool, tuple[str, ...], list[str]]:
    """Sort targeted bins before their control, random bins."""
    names, entries = item[0]
    return names[3] != "targeted", names, sorted(entries)


class _Collected:
    """Counts, example pairs and judgments of one set of samples."""

    def __init__(self) -> None:
        self.seeds: set[int] = set()
        self.reasons: Counter[str] = Counter()
        self.bins: dict[int, TargetedBin] = {}
        self.sources: dict[int, set[tuple[Any, ...]]] = {}
        self.paired: set[tuple[Any, ...]] = set()
        self.axis = ""
        self.judged: dict[str, list[tuple[float, float]]] = {}

    def add(self, sample: dict[str, Any]) -> None:
        source = sample.get("source")
        number = sample.get("bin")
        if not isinstance(source, dict) or not isinstance(number, int):
            return
        seed = int(sample.get("seed") or 0)
        self.seeds.add(seed)
        if number not in self.bins:
            self.bins[number] = TargetedBin(
                number,
                predicted=_probabilities(sample.get("bin_probabilities")),
                target=_probabilities(sample.get("asked_probabilities")),
            )
            self.sources[number] = set()
        targeted = self.bins[number]
        source_key = (seed, source.get("index"))
        self.sources[number].add(source_key)
        verdict = sample.get("verdict")
        if verdict == "surplus":  # valid, but its source already has an accepted sample
            return
        if verdict != "accepted":
            targeted.rejected += 1
            self.reasons[str(sample.get("reason") or "no reason given")] += 1
            return
        targeted.accepted += 1
        self._judge(sample)
        if source_key not in self.paired and len(targeted.pairs) < PAIRS_PER_BIN:
            self.paired.add(source_key)
            targeted.pairs.append(
                Pair(
                    source=_shortened(source.get("input")),
                    synthetic=_shortened(sample.get("input")),
                    label=int(source.get("label") or 0),
                    target=_probabilities(sample.get("asked_probabilities")),
                    claimed=_probabilities(sample.get("claimed_probabilities")),
                    achieved=_probabilities(sample.get("achieved_probabilities")),
                )
            )

    def finished(
        self, names: tuple[str, ...], entries: frozenset[str], *, anchor: str
    ) -> SampleSet:
        dataset, generator, bins, design = names
        for number, sources in self.sources.items():
            self.bins[number].sources = len(sources)
        return SampleSet(
            title=f"{dataset} · {generator} · {bins} bins · {design}",
            anchor=anchor,
            entries=entries,
            seeds=sorted(self.seeds),
            bins=[self.bins[number] for number in sorted(self.bins)],
            reasons=self.reasons.most_common(_MAX_REASONS),
            fidelities=[
                fidelity(judge, self.axis, self.judged[key])
                for key, judge in _JUDGES.items()
                if key in self.judged
            ],
        )

    def _judge(self, sample: dict[str, Any]) -> None:
        """Record the target and each judge's probability of one class.

        The class is 1 of two, or else the one with the highest target.
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
    """Yield the JSON objects among the lines of a file; `from_json` is twice as fast as `json`."""
    with path.open("rb") as stream:
        for line in stream:
            try:
                value = from_json(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                yield value


def _is_distribution(values: Any) -> TypeGuard[list[float]]:
    """Return whether a value of a sample is a list of probabilities; NaN is not one."""
    return (
        isinstance(values, list)
        and bool(values)
        and all(isinstance(value, int | float) and 0 <= value <= 1 for value in values)
    )


def _probabilities(values: Any) -> str:
    """Return class probabilities as text: that of class 1 of two, or else of each class."""
    if not isinstance(values, list) or not all(isinstance(v, int | float) for v in values):
        return ""
    texts = [f"{value:.2f}" for value in values]
    if len(texts) == 2:
        return texts[1]
    return ", ".join(texts[:8]) + (", …" if len(texts) > 8 else "")


def _shortened(value: Any) -> str:
    """Return an input as text, numbers to three digits, cut at `_MAX_TEXT_LENGTH`."""
    if isinstance(value, list):
        numbers = [f"{v:.3g}" if isinstance(v, int | float) else str(v) for v in value[:8]]
        value = "(" + ", ".join(numbers) + (", …)" if len(value) > 8 else ")")
    text = "" if value is None else str(value)
    return text if len(text) <= _MAX_TEXT_LENGTH else text[: _MAX_TEXT_LENGTH - 1] + "…"
