"""Synthetic samples for the page: targeted bins, target probabilities, texts and their sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from fgbench.coordinates import dose_text
from fgbench.diagnostics.collect import SAMPLE_INDEX, SAMPLES_FOLDER
from fgbench.diagnostics.fidelity import JUDGES, asked_class
from fgbench.foreign import INDEX, read_json
from fgbench.numbers import number
from fgbench.report.fidelity import Fidelity, TenthMean, fidelity, tenth_rows
from fgbench.report.reliability import POSITIVE
from fgbench.samples import Design, Probabilities, RunSample, load_samples

PAIRS_PER_BIN = 3
MAX_SETS = 12
_MAX_REASONS = 12
_MAX_TEXT_LENGTH = 400

_JUDGES = {
    "baseline classifier": JUDGES["baseline"],
    "true posterior": JUDGES["posterior"],
    "generator's claim": JUDGES["generator"],
}
"""Who estimates the class probabilities of a sample, and the estimate."""


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


@dataclass(frozen=True)
class _Key:
    """What the samples of one set have in common; `entries` were trained on them."""

    dataset: str
    generator: str
    bins: int
    dose: float
    design: Design
    entries: frozenset[str]

    def order(self) -> tuple[bool, str, str, int, float, str, list[str]]:
        """Sort targeted bins before their controls."""
        control = self.design != "targeted"
        shared = self.dataset, self.generator, self.bins, self.dose, self.design
        return control, *shared, sorted(self.entries)


@dataclass
class Samples:
    """The first sets of samples, and the number of sets omitted."""

    sets: list[SampleSet] = field(default_factory=list)
    omitted: int = 0


def read_samples(runs: Iterable[Path]) -> Samples:
    """Read the samples of run folders.

    Files of the same entries, one per seed, form one set. At most `MAX_SETS` sets are returned.
    Raises `DataError` for a line that is not a sample, with file and line number, and
    `LeaderboardError` where a run's index of samples is unreadable.
    """
    collected: dict[_Key, _Collected] = {}
    for run in runs:
        users = _users(run)
        for path in sorted((run / SAMPLES_FOLDER).glob("*.jsonl")):
            entries = frozenset(users.get(f"{SAMPLES_FOLDER}/{path.name}", ()))
            for sample in load_samples(path, RunSample):
                made = sample.dataset, sample.generator, sample.bins, sample.dose, sample.design
                key = _Key(*made, entries)
                if key not in collected:
                    collected[key] = _Collected()
                collected[key].add(sample)
    ordered = sorted(collected, key=_Key.order)
    sets = [
        collected[key].finished(key, anchor=f"samples-{number}")
        for number, key in enumerate(ordered[:MAX_SETS])
    ]
    return Samples(sets, len(ordered) - len(sets))


def _users(run: Path) -> dict[str, list[str]]:
    """Return the ids of the entries trained on each file of samples; empty without an index."""
    if not (run / SAMPLE_INDEX).exists():
        return {}
    index = read_json(run / SAMPLE_INDEX, INDEX)
    users: dict[str, list[str]] = {}
    for entry, paths in index.items() if isinstance(index, dict) else ():
        for path in paths if isinstance(paths, list) else ():
            users.setdefault(str(path), []).append(entry)
    return users


class _Collected:
    """Counts, example pairs and judgments of one set of samples."""

    def __init__(self) -> None:
        self.seeds: set[int] = set()
        self.reasons: Counter[str] = Counter()
        self.bins: dict[int, TargetedBin] = {}
        self.sources: dict[int, set[tuple[int, int]]] = {}
        self.paired: set[tuple[int, int]] = set()
        self.axis = ""
        self.judged: dict[str, list[tuple[float, float]]] = {}

    def add(self, sample: RunSample) -> None:
        self.seeds.add(sample.seed)
        if sample.bin not in self.bins:
            self.bins[sample.bin] = TargetedBin(
                sample.bin,
                predicted=_probabilities(sample.bin_probabilities),
                target=_probabilities(sample.asked_probabilities),
            )
            self.sources[sample.bin] = set()
        targeted = self.bins[sample.bin]
        source_key = sample.seed, sample.source.index
        self.sources[sample.bin].add(source_key)
        if sample.verdict == "surplus":  # valid, but its source already has an accepted sample
            return
        if not sample.accepted:
            targeted.rejected += 1
            self.reasons[sample.reason or "no reason given"] += 1
            return
        targeted.accepted += 1
        self._judge(sample)
        if source_key not in self.paired and len(targeted.pairs) < PAIRS_PER_BIN:
            self.paired.add(source_key)
            targeted.pairs.append(
                Pair(
                    source=_shortened(sample.source.input),
                    synthetic=_shortened(sample.input),
                    label=sample.source.label,
                    target=_probabilities(sample.asked_probabilities),
                    claimed=_probabilities(sample.claimed_probabilities),
                    achieved=_probabilities(sample.achieved_probabilities),
                )
            )

    def finished(self, key: _Key, *, anchor: str) -> SampleSet:
        for place, sources in self.sources.items():
            self.bins[place].sources = len(sources)
        return SampleSet(
            title=f"{key.dataset} · {key.generator} · {key.bins} bins{dose_text(key.dose)} · "
            f"{key.design}",
            anchor=anchor,
            entries=key.entries,
            seeds=sorted(self.seeds),
            bins=[self.bins[number] for number in sorted(self.bins)],
            reasons=self.reasons.most_common(_MAX_REASONS),
            fidelities=[
                fidelity(judge, self.axis, self.judged[judge])
                for judge in _JUDGES
                if judge in self.judged
            ],
        )

    def _judge(self, sample: RunSample) -> None:
        """Record the target and each judge's probability of one class.

        The class is 1 of two, or else the one with the highest target.
        """
        targets = sample.asked_probabilities
        if not _in_range(targets):
            return
        label = asked_class(targets)
        self.axis = POSITIVE if len(targets) == 2 else "P(class with the highest target)"
        for judge, estimate in _JUDGES.items():
            values = estimate(sample)
            if values is not None and _in_range(values) and len(values) == len(targets):
                pair = float(targets[label]), float(values[label])
                self.judged.setdefault(judge, []).append(pair)


def _in_range(values: Probabilities) -> bool:
    """Return whether there are values and all are between 0 and 1; NaN is not."""
    return bool(values) and all(0 <= value <= 1 for value in values)


def _probabilities(values: Probabilities | None) -> str:
    """Return class probabilities as text: that of class 1 of two, or else of each class."""
    if values is None:
        return ""
    texts = [number(value, 2) for value in values]
    if len(texts) == 2:
        return texts[1]
    return ", ".join(texts[:8]) + (", …" if len(texts) > 8 else "")


def _shortened(value: str | tuple[float, ...] | None) -> str:
    """Return an input as text, numbers to three digits, cut at `_MAX_TEXT_LENGTH`."""
    text = value or ""
    if isinstance(text, tuple):
        numbers = ", ".join(f"{number:.3g}" for number in text[:8])
        text = f"({numbers}, …)" if len(text) > 8 else f"({numbers})"
    return text if len(text) <= _MAX_TEXT_LENGTH else text[: _MAX_TEXT_LENGTH - 1] + "…"
