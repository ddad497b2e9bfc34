"""Recompute the evaluations of an entry from its stored predictions."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgbench.errors import FgbenchError, LeaderboardError
from fgbench.inference import Evaluation, applicable, evaluate_metrics
from fgbench.leaderboard.files import PredictionsFolder
from fgbench.plugins.references import PartReference

if TYPE_CHECKING:
    from fgbench.coordinates import PartRecord
    from fgbench.leaderboard.models import Entry, PredictionsFile
    from fgbench.parts.metric import Metric
    from fgbench.plugins.registry import Registry


_CACHED = 256
"""Number of entries whose evaluations are cached: a thousand replicates per metric are large."""


class Recomputed:
    """Evaluates entries of the board in `folder`, with a cache of the last few.

    Without `intervals` there are no replicates, and so no intervals and p-values.
    """

    def __init__(self, registry: Registry, folder: Path, *, intervals: bool = True) -> None:
        self._intervals = intervals
        self._registry = registry
        self._folder = PredictionsFolder(folder)
        self._metrics: dict[str, Metric] = {}
        self._neutral: dict[tuple[str, str], bool] = {}
        self._evaluations: OrderedDict[str, list[Evaluation]] = OrderedDict()

    def metric(self, name: str) -> Metric:
        """Return the metric of a board's name for it, which includes its parameters."""
        if name not in self._metrics:
            self._metrics[name] = self._create("metric", PartReference.parse(name))
        return self._metrics[name]

    def is_neutral(self, axis: str, part: PartRecord) -> bool:
        """Return whether the part of an axis is neutral; `FgbenchError` where it is unknown."""
        key = (axis, part.label)
        if key not in self._neutral:
            reference = PartReference(part.name, part.params)
            self._neutral[key] = self._create(axis, reference).is_neutral
        return self._neutral[key]

    def evaluations(self, entry: Entry) -> list[Evaluation]:
        """Return one evaluation per seed, in the order of the entry's seeds.

        Raises `LeaderboardError` for predictions that are missing, changed or of another size.
        """
        if entry.id not in self._evaluations:
            self._evaluations[entry.id] = [self._evaluate(entry, seed) for seed in entry.seeds]
            if len(self._evaluations) > _CACHED:
                self._evaluations.popitem(last=False)
        self._evaluations.move_to_end(entry.id)
        return self._evaluations[entry.id]

    def check_digests(self, entry: Entry) -> int:
        """Check the digests of an entry's predictions files and return their number.

        Raises `LeaderboardError` for one that is missing or changed.
        """
        for seed in entry.seeds:
            self._folder.content(self._file(entry, seed))
        return len(entry.seeds)

    def known_evaluations(self, entry: Entry) -> list[Evaluation] | None:
        """Return the same, or None where they are not available."""
        try:
            return self.evaluations(entry)
        except FgbenchError:
            return None

    def _evaluate(self, entry: Entry, seed: int) -> Evaluation:
        file = self._file(entry, seed)
        predictions = self._folder.read(file)
        if len(predictions) != entry.dataset.n_test:
            raise LeaderboardError(
                f"predictions {file.path} of seed {seed} have {len(predictions)} rows, the "
                f"test split {entry.dataset.n_test}."
            )
        metrics = {name: self.metric(name) for name in {**entry.metrics, **entry.undefined}}
        usable = applicable(metrics, predictions)
        if missing := sorted(set(metrics) - set(usable)):
            raise LeaderboardError(
                f"metric {missing[0]} cannot be computed: the predictions of seed {seed} lack "
                f"{', '.join(sorted(metrics[missing[0]].needs))}."
            )
        return evaluate_metrics(
            predictions,
            usable,
            replicates=entry.statistics.replicates if self._intervals else 0,
            seed=entry.statistics.seed,
        )

    def _create(self, kind: str, reference: PartReference) -> Any:
        """Return a part that a board names; one that uses files or hosts is not created for it."""
        if reference.parameters:
            part = self._registry.part_class(kind, reference.name)
            for access in part.accesses(reference.parameters):
                raise LeaderboardError(
                    f"{kind} {reference.name}: {access.place} names a {access.kind}, which is not "
                    "used to verify a board."
                )
        return self._registry.create(kind, reference)

    def _file(self, entry: Entry, seed: int) -> PredictionsFile:
        for record in entry.artifacts.predictions:
            if record.seed == seed:
                return record
        raise LeaderboardError(f"no stored predictions of seed {seed}.")
