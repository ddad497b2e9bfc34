"""Fill the targeted bins: one accepted synthetic input per source, or a recorded shortage.

METHODS §2: a source without an accepted input is requested again, up to `retries` times. Then other
sources of the same bin, which have one, fill in, up to as many times. What is still missing is
recorded as a shortage.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from fgbench.digests import seed_for
from fgbench.loop.leakage import (
    NEAR_TEST,
    NEAR_TRAINING,
    DropRule,
    LeakageFilter,
    count_duplicates,
)
from fgbench.loop.relabeling import ScreenedCandidate, relabel, screen_results
from fgbench.parts.generator import GenerationRequest, GenerationTask
from fgbench.usage import Usage

if TYPE_CHECKING:
    import numpy as np

    from fgbench.data import Dataset, Input, Inputs, IntArray, Split
    from fgbench.loop.targeting import Targets
    from fgbench.parts.dataset import DatasetLoader
    from fgbench.parts.generator import Generator
    from fgbench.samples import Sample


@dataclass(frozen=True)
class GenerationSettings:
    """How inputs are generated for a set of targets.

    `examples_per_class` is the number of few-shot examples of each class, `retries` how often an
    unfilled source is requested again, and `drop_near_duplicates` which near duplicates are
    rejected: of held-out rows ("test"), of training rows too ("all"), or none. With `by_class`,
    only sources of the same class fill in: first of the same bin, then of any.
    """

    seed: int
    examples_per_class: int
    retries: int
    drop_near_duplicates: DropRule
    by_class: bool = False


@dataclass(frozen=True)
class Synthesis:
    """The outcome: a sample of every candidate, and counts for `requested` sources.

    Near duplicates are counted whether they were rejected or accepted. `notes` counts the replies
    that were not as requested, by note.
    """

    requested: int
    samples: tuple[Sample, ...]
    near_duplicates_of_test: int
    near_duplicates_of_training: int
    usage: Usage
    notes: Counter[str]

    @property
    def accepted(self) -> list[Sample]:
        """The samples that arms train on."""
        return [sample for sample in self.samples if sample.accepted]

    @property
    def rejected_by(self) -> Counter[str]:
        """The number of rejected samples by reason."""
        return _reasons(self.samples)

    def summary(self) -> dict[str, Any]:
        """Return the counts as JSON values."""
        accepted = len(self.accepted)
        return {
            "requested": self.requested,
            "accepted": accepted,
            "shortage": self.requested - accepted,
            "rejected_by": dict(sorted(self.rejected_by.items())),
            "near_duplicates_of_test": self.near_duplicates_of_test,
            "near_duplicates_of_training": self.near_duplicates_of_training,
            "usage": asdict(self.usage),
            "notes": dict(sorted(self.notes.items())),
        }


def synthesize(
    generator: Generator,
    dataset: Dataset,
    loader: DatasetLoader,
    targets: Targets,
    selection: IntArray,
    settings: GenerationSettings,
    *,
    relabeler: Generator | None = None,
) -> Synthesis:
    """Generate, filter and relabel inputs for all sources of `targets`.

    `selection` maps the rows of `targets` to rows of the validation split. The remaining validation
    rows fit calibrators and are held out like the test split. `relabeler` labels the candidates if
    the generator does not. Both are prepared, used and closed here; they see the training split
    and the targeted bins only.
    """
    import numpy as np

    n_validation = len(dataset.splits["validation"])
    leakage_filter = LeakageFilter(
        dataset,
        calibration=np.setdiff1d(np.arange(n_validation), selection),
        drop=settings.drop_near_duplicates,
    )
    sources = _Sources(dataset, targets, selection)
    campaign = _Campaign(generator, relabeler or generator, sources, leakage_filter)
    if targets.sources:
        task = generation_task(
            dataset, loader, seed=settings.seed, examples_per_class=settings.examples_per_class
        )
        with ExitStack() as stack:
            for part in (generator, relabeler):
                if part is not None:
                    stack.callback(part.close)
                    part.prepare(task)
            rng = np.random.default_rng(seed_for("fill-ins", settings.seed, targets.design))
            campaign.run(settings.retries, rng, by_class=settings.by_class)
    samples = _samples(campaign.candidates, sources, loader)
    accepted = [sample.input for sample in samples if sample.accepted and sample.input is not None]
    reasons = _reasons(samples)
    return Synthesis(
        requested=len(targets.sources),
        samples=samples,
        near_duplicates_of_test=reasons[NEAR_TEST]
        + count_duplicates(leakage_filter.test, accepted),
        near_duplicates_of_training=(
            reasons[NEAR_TRAINING] + count_duplicates(leakage_filter.training, accepted)
        ),
        usage=campaign.usage,
        notes=campaign.notes,
    )


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
    """Return one input as generators exchange it: a text or a tuple of numbers."""
    value = inputs[row]
    return value if isinstance(value, str) else tuple(float(item) for item in value)


def generation_task(
    dataset: Dataset, loader: DatasetLoader, *, seed: int, examples_per_class: int
) -> GenerationTask:
    """Return the task that a generator is prepared for, with few-shot examples drawn by seed."""
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


class _Sources:
    """The sources of a set of targets, by position, and the requests made for them."""

    def __init__(self, dataset: Dataset, targets: Targets, selection: IntArray) -> None:
        validation = dataset.splits["validation"]
        self.n_classes = dataset.n_classes
        self.rows = [int(selection[source.row]) for source in targets.sources]
        self.bins = [source.bin for source in targets.sources]
        self.labels = [int(validation.labels[row]) for row in self.rows]
        self._sources = targets.sources
        self._validation = validation
        self._draws: Counter[int] = Counter()
        self._bin_inputs = {
            item.bin: tuple(as_input(validation.inputs, int(selection[row])) for row in item.rows)
            for item in targets.bins
        }

    def request(self, position: int) -> GenerationRequest:
        """Return the next request for a source."""
        source, row = self._sources[position], self.rows[position]
        draw = self._draws[row]
        self._draws[row] += 1
        return GenerationRequest(
            source=as_input(self._validation.inputs, row),
            label=self.labels[position],
            bin=source.bin,
            bin_probabilities=source.bin_probabilities,
            asked_probabilities=source.asked_probabilities,
            source_id=position,
            draw=draw,
            bin_inputs=self._bin_inputs[source.bin],
        )


class _Campaign:
    """The rounds of requests for one set of sources."""

    def __init__(
        self,
        generator: Generator,
        relabeler: Generator,
        sources: _Sources,
        leakage_filter: LeakageFilter,
    ) -> None:
        self.candidates: list[ScreenedCandidate] = []
        self.usage = Usage()
        self.notes: Counter[str] = Counter()
        self._generator = generator
        self._relabeler = relabeler
        self._sources = sources
        self._filter = leakage_filter

    def run(self, retries: int, rng: np.random.Generator, *, by_class: bool) -> None:
        """Request each source until it has an accepted input; then let others fill in for it."""
        unfilled = self._fill_sources(retries)
        filled = sorted(set(range(len(self._sources.rows))) - set(unfilled))
        bins, labels = self._sources.bins, self._sources.labels
        groupings: list[list[tuple[int, ...]]] = [[(number,) for number in bins]]
        if by_class:
            groupings = [list(zip(bins, labels, strict=True)), [(label,) for label in labels]]
        for groups in groupings:
            unfilled = self._fill_groups(groups, filled, unfilled, retries, rng)

    def _fill_sources(self, retries: int) -> list[int]:
        """Request each source until it has an accepted input; return those that have none."""
        unfilled = list(range(len(self._sources.rows)))
        for _ in range(retries + 1):
            accepted = self._round(unfilled)
            unfilled = [position for position in unfilled if position not in accepted]
            if not unfilled:
                break
        return unfilled

    def _fill_groups(
        self,
        groups: Sequence[tuple[int, ...]],
        filled: Sequence[int],
        unfilled: Sequence[int],
        retries: int,
        rng: np.random.Generator,
    ) -> list[int]:
        """Request filled sources again, in random order, for the unfilled ones of their group.

        `groups` has the group of each source. Returns the sources for which none filled in.
        """
        helpers: dict[tuple[int, ...], list[int]] = {}
        for position in filled:
            helpers.setdefault(groups[position], []).append(position)
        missing = Counter(groups[position] for position in unfilled)
        for _ in range(retries + 1):
            requested: list[int] = []
            for group in sorted(missing.keys() & helpers.keys()):
                candidates = helpers[group]
                order = rng.permutation(len(candidates)).tolist()
                requested += [candidates[order[k % len(order)]] for k in range(missing[group])]
            if not requested:
                break
            for position, count in self._round(requested).items():
                missing[groups[position]] -= count
            missing = +missing  # drops filled groups
        left = []
        for position in unfilled:
            if missing[groups[position]] > 0:
                missing[groups[position]] -= 1
                left.append(position)
        return left

    def _round(self, positions: Sequence[int]) -> Counter[int]:
        """Request each position once; return how many accepted inputs each one got."""
        requests = [self._sources.request(position) for position in positions]
        results = self._generator.generate(requests)
        candidates, usage = screen_results(self._generator, requests, results)
        self.usage += usage
        for result in results:
            self.notes.update(result.notes)
        for item in candidates:
            if item.rejection is None and item.candidate.input is not None:
                item.rejection = self._filter.rejection(item.candidate.input)
        self.usage += relabel(self._relabeler, candidates, self._sources.n_classes)
        for item in candidates:
            self.notes.update(item.relabel_notes)
        accepted: Counter[int] = Counter()
        requested = Counter(positions)
        for item in candidates:
            if item.rejection is not None or item.candidate.input is None:
                continue
            position = item.request.source_id
            if accepted[position] >= requested[position]:
                item.surplus = True
                continue
            # An input accepted in this round may be the same.
            item.rejection = self._filter.rejection(item.candidate.input)
            if item.rejection is None:
                self._filter.accept(item.candidate.input)
                accepted[position] += 1
        self.candidates += candidates
        return accepted


def _samples(
    candidates: Sequence[ScreenedCandidate], sources: _Sources, loader: DatasetLoader
) -> tuple[Sample, ...]:
    posteriors = _posteriors(loader, [item.candidate.input for item in candidates])
    return tuple(
        item.to_sample(sources.rows[item.request.source_id], posterior)
        for item, posterior in zip(candidates, posteriors, strict=True)
    )


def _posteriors(
    loader: DatasetLoader, inputs: Sequence[Input | None]
) -> list[tuple[float, ...] | None]:
    """Return the true posterior of each input that is not empty, for data sets that know it."""
    import numpy as np

    posteriors: list[tuple[float, ...] | None] = [None] * len(inputs)
    rows = [row for row, value in enumerate(inputs) if value]
    if "posterior" in loader.provides and rows:
        values: Any = [inputs[row] for row in rows]
        if not isinstance(values[0], str):
            values = np.array(values, dtype=np.float64)
        for row, posterior in zip(rows, loader.posterior(values).tolist(), strict=True):
            posteriors[row] = tuple(posterior)
    return posteriors


def _reasons(samples: Sequence[Sample]) -> Counter[str]:
    return Counter(sample.reason for sample in samples if sample.reason is not None)
