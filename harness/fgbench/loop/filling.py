"""Fill the targeted bins: one accepted synthetic input for each source, or a recorded shortage.

METHODS §2: a source without an accepted text is asked for again, `retries` times; then other
sources of the same bin, those that had one accepted, fill in, as often again. What is still missing
is counted, never hidden.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from fgbench.data import take_inputs
from fgbench.digests import seed_for
from fgbench.loop.leakage import DuplicateIndex, count_repeats
from fgbench.loop.relabeling import (
    NEAR_TEST,
    NEAR_TRAINING,
    Guards,
    Judged,
    judge_results,
    relabel,
)
from fgbench.parts.generator import GenerationRequest, GenerationTask
from fgbench.usage import Usage

if TYPE_CHECKING:
    import numpy as np

    from fgbench.data import Dataset, Input, Inputs, IntArray, Split
    from fgbench.loop.targeting import Targets
    from fgbench.parts.dataset import DatasetLoader
    from fgbench.parts.generator import Generator


@dataclass
class Synthesis:
    """The outcome: `samples` has every candidate with its verdict, `accepted` those that count."""

    requested: int
    accepted: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    rejected_by: dict[str, int] = field(default_factory=dict)
    near_duplicates_of_test: int = 0
    near_duplicates_of_training: int = 0
    usage: Usage = field(default_factory=Usage)
    notes: Counter[str] = field(default_factory=Counter)
    """What was not as asked for, and in how many replies."""

    def summary(self) -> dict[str, Any]:
        """Return the counts as JSON values."""
        return {
            "requested": self.requested,
            "accepted": len(self.accepted),
            "shortage": self.requested - len(self.accepted),
            "rejected_by": dict(sorted(self.rejected_by.items())),
            "near_duplicates_of_test": self.near_duplicates_of_test,
            "near_duplicates_of_training": self.near_duplicates_of_training,
            "usage": asdict(self.usage),
            "notes": dict(sorted(self.notes.items())),
        }


def few_shot_examples(
    training: Split, n_classes: int, per_class: int, seed: int
) -> tuple[tuple[Input, ...], ...]:
    """Draw `per_class` training inputs of each class, by seed, without replacement."""
    import numpy as np

    rng = np.random.default_rng(seed_for("few-shot examples", seed))
    examples = []
    for label in range(n_classes):
        rows = rng.permutation(np.flatnonzero(training.labels == label))[:per_class]
        examples.append(tuple(as_input(training.inputs, int(row)) for row in rows))
    return tuple(examples)


def as_input(inputs: Inputs, row: int) -> Input:
    """Return one input in the form that generators exchange: a text or a tuple of numbers."""
    value = inputs[row]
    return value if isinstance(value, str) else tuple(float(item) for item in value)


def generation_task(
    dataset: Dataset, loader: DatasetLoader, *, seed: int, examples_per_class: int
) -> GenerationTask:
    """Return what a generator is prepared for, its examples drawn by seed."""
    training = dataset.splits["train"]
    return GenerationTask(
        dataset_name=dataset.name,
        task=dataset.task,
        label_names=dataset.label_names,
        label_descriptions=dataset.label_descriptions,
        training=training,
        examples=few_shot_examples(training, dataset.n_classes, examples_per_class, seed),
        dataset=loader,
        seed=seed,
    )


def synthesise(
    generator: Generator,
    dataset: Dataset,
    loader: DatasetLoader,
    targets: Targets,
    selection: IntArray,
    *,
    seed: int,
    examples_per_class: int,
    retries: int,
    drop_near_duplicates: str,
    relabeler: Generator | None = None,
) -> Synthesis:
    """Generate, filter, relabel and choose, for all sources of `targets`.

    `selection` maps the targets' rows to rows of the validation split; the validation rows that it
    leaves out fit calibrators, and are guarded like the test split. The generator is prepared, used
    and closed here, and so is the `relabeler`, if another one is to label; they see the training
    split and the targeted bins, nothing else. The counts of near duplicates are of candidates that
    were dropped for it and of those that were accepted.
    """
    import numpy as np

    task = generation_task(dataset, loader, seed=seed, examples_per_class=examples_per_class)
    validation = dataset.splits["validation"]
    test_index, training_index = _indices(dataset)
    calibration = np.setdiff1d(np.arange(len(validation)), selection)
    campaign = _Campaign(
        generator=generator,
        relabeler=relabeler or generator,
        validation=validation,
        n_classes=dataset.n_classes,
        targets=targets,
        selection=selection,
        guards=Guards(
            test=test_index,
            calibration=DuplicateIndex(take_inputs(validation.inputs, calibration)),
            training=training_index,
            drop=drop_near_duplicates,
        ),
    )
    outcome = Synthesis(requested=len(targets.sources))
    if targets.sources:
        with ExitStack() as closing:
            for each in (generator, relabeler):
                if each is not None:
                    closing.callback(each.close)
                    each.prepare(task)
            rng = np.random.default_rng(seed_for("fill-ins", seed, targets.design))
            campaign.run(retries, rng)
    outcome.usage, outcome.notes = campaign.usage, campaign.notes
    outcome.samples = campaign.records(_achieved(loader, campaign.judged))
    outcome.accepted = [item for item in outcome.samples if item["verdict"] == "accepted"]
    outcome.rejected_by = dict(
        Counter(item["reason"] for item in outcome.samples if item["verdict"] == "rejected")
    )
    accepted_inputs = [
        item.candidate.input
        for item in campaign.judged
        if item.verdict == "accepted" and item.candidate.input is not None
    ]
    outcome.near_duplicates_of_test = outcome.rejected_by.get(NEAR_TEST, 0) + count_repeats(
        test_index, accepted_inputs
    )
    outcome.near_duplicates_of_training = outcome.rejected_by.get(NEAR_TRAINING, 0) + count_repeats(
        training_index, accepted_inputs
    )
    return outcome


_KNOWN_INDICES: WeakKeyDictionary[Dataset, tuple[DuplicateIndex, DuplicateIndex]] = (
    WeakKeyDictionary()
)


def _indices(dataset: Dataset) -> tuple[DuplicateIndex, DuplicateIndex]:
    """Return the indices of the test and the training split, built once a data set."""
    if dataset not in _KNOWN_INDICES:
        _KNOWN_INDICES[dataset] = (
            DuplicateIndex(dataset.splits["test"].inputs),
            DuplicateIndex(dataset.splits["train"].inputs),
        )
    return _KNOWN_INDICES[dataset]


class _Campaign:
    """The rounds of requests for one set of sources."""

    def __init__(
        self,
        *,
        generator: Generator,
        relabeler: Generator,
        validation: Split,
        n_classes: int,
        targets: Targets,
        selection: IntArray,
        guards: Guards,
    ) -> None:
        self.judged: list[Judged] = []
        self.usage = Usage()
        self.notes: Counter[str] = Counter()
        self._generator = generator
        self._relabeler = relabeler
        self._validation = validation
        self._n_classes = n_classes
        self._sources = targets.sources
        self._rows = [int(selection[source.row]) for source in targets.sources]
        self._guards = guards
        self._draws: Counter[int] = Counter()
        self._members: dict[int, list[int]] = {}
        for position, source in enumerate(targets.sources):
            self._members.setdefault(source.bin, []).append(position)
        self._bin_inputs = {
            item.bin: tuple(as_input(validation.inputs, int(selection[row])) for row in item.rows)
            for item in targets.bins
        }

    def run(self, retries: int, rng: np.random.Generator) -> None:
        """Ask for each source until it has an accepted input; then let its bin's others fill in."""
        open_sources = list(range(len(self._sources)))
        for _ in range(retries + 1):
            filled = self._round(open_sources)
            open_sources = [item for item in open_sources if item not in filled]
            if not open_sources:
                return
        missing = Counter(self._sources[item].bin for item in open_sources)
        for number, members in self._members.items():
            self._members[number] = [item for item in members if item not in open_sources]
            if not self._members[number]:  # nobody is left who could fill in
                del missing[number]
        for _ in range(retries + 1):
            helpers = []
            for number in sorted(missing):
                others = self._members[number]
                order = rng.permutation(len(others)).tolist()
                wanted = missing[number]
                helpers += [others[order[turn % len(order)]] for turn in range(wanted)]
            for position, count in self._round(helpers).items():
                missing[self._sources[position].bin] -= count
            missing = +missing
            if not missing:
                return

    def _round(self, positions: Sequence[int]) -> Counter[int]:
        """Ask once for each position, and return how many inputs each one got accepted."""
        requests = [self._request(position) for position in positions]
        results = self._generator.generate(requests)
        judged, usage = judge_results(self._generator, requests, results)
        self.usage += usage
        for result in results:
            self.notes.update(result.notes)
        for item in judged:
            if item.rejection is None and item.candidate.input is not None:
                item.rejection = self._guards.rejection(item.candidate.input)
        self.usage += relabel(self._relabeler, judged, self._n_classes)
        for item in judged:
            self.notes.update(item.relabel_notes)
        accepted: Counter[int] = Counter()
        wanted = Counter(positions)
        for item in judged:
            if item.rejection is not None or item.candidate.input is None:
                continue
            position = item.request.source_id
            if accepted[position] >= wanted[position]:
                item.surplus = True
                continue
            # A sibling of the same round may have said the same.
            item.rejection = self._guards.rejection(item.candidate.input)
            if item.rejection is None:
                self._guards.accept(item.candidate.input)
                accepted[position] += 1
        self.judged += judged
        return accepted

    def _request(self, position: int) -> GenerationRequest:
        source = self._sources[position]
        row = self._rows[position]
        draw = self._draws[position]
        self._draws[position] += 1
        return GenerationRequest(
            source=as_input(self._validation.inputs, row),
            label=int(self._validation.labels[row]),
            bin=source.bin,
            bin_probabilities=source.bin_probabilities,
            asked_probabilities=source.asked_probabilities,
            source_id=position,
            draw=draw,
            bin_inputs=self._bin_inputs[source.bin],
        )

    def records(self, achieved: Sequence[list[float] | None]) -> list[dict[str, Any]]:
        """Return the lineage of every candidate as JSON values."""
        records = []
        for item, posterior in zip(self.judged, achieved, strict=True):
            request, candidate = item.request, item.candidate
            records.append(
                {
                    "source": {
                        "split": "validation",
                        "index": self._rows[request.source_id],
                        "input": request.source,
                        "label": request.label,
                    },
                    "draw": request.draw,
                    "bin": request.bin,
                    "bin_probabilities": request.bin_probabilities,
                    "asked_probabilities": request.asked_probabilities,
                    "messages": [dict(message) for message in item.messages],
                    "raw": candidate.raw,
                    "input": candidate.input,
                    "claimed_probabilities": candidate.claimed_probabilities,
                    "achieved_probabilities": posterior,
                    "relabeled": item.relabeled,
                    "relabeled_probabilities": item.relabeled_probabilities,
                    "relabel_raw": item.relabel_raw,
                    "notes": sorted({*item.notes, *item.relabel_notes}),
                    "verdict": item.verdict,
                    "reason": item.rejection,
                }
            )
        return records


def _achieved(loader: DatasetLoader, judged: Sequence[Judged]) -> list[list[float] | None]:
    """Return the true posterior of each candidate, for data sets that know it."""
    import numpy as np

    achieved: list[list[float] | None] = [None] * len(judged)
    if "posterior" not in loader.provides:
        return achieved
    usable = [(at, item.candidate.input) for at, item in enumerate(judged) if item.candidate.input]
    if usable:
        texts = isinstance(usable[0][1], str)
        values: Any = [value for _, value in usable]
        posterior = loader.posterior(values if texts else np.array(values, dtype=np.float64))
        for (at, _), row in zip(usable, posterior.tolist(), strict=True):
            achieved[at] = row
    return achieved
