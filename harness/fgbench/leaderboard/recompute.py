"""An entry's evaluations, computed again from its stored predictions."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from fgbench.calibration.statistics import Evaluation, applicable, evaluate_metrics
from fgbench.errors import FgbenchError, LeaderboardError
from fgbench.leaderboard.files import PredictionsFolder
from fgbench.plugins.references import PartReference

if TYPE_CHECKING:
    from fgbench.leaderboard.models import Entry, PredictionsFile
    from fgbench.parts.metric import Metric
    from fgbench.plugins.registry import Registry


_KEPT = 64
"""Evaluations are kept for this many entries: a thousand replicates of each metric are large."""


class Recomputed:
    """Evaluates entries of the board in `folder`; keeps those of the last few that were asked for.

    Without `intervals` there are no replicates, so that no interval and no p-value follows.
    """

    def __init__(self, registry: Registry, folder: Path, *, intervals: bool = True) -> None:
        self._intervals = intervals
        self._registry = registry
        self._folder = PredictionsFolder(folder)
        self._metrics: dict[str, Metric] = {}
        self._evaluations: OrderedDict[str, list[Evaluation]] = OrderedDict()

    def metric(self, name: str) -> Metric:
        """Return the metric that a board calls `name`, its parameters included."""
        if name not in self._metrics:
            self._metrics[name] = self._registry.create("metric", PartReference.parse(name))
        return self._metrics[name]

    def evaluations(self, entry: Entry) -> list[Evaluation]:
        """Return one evaluation a seed, in the order of the entry's seeds.

        Raises `LeaderboardError` for predictions that are missing, changed or of another size.
        """
        if entry.id not in self._evaluations:
            self._evaluations[entry.id] = [self._evaluate(entry, seed) for seed in entry.seeds]
            if len(self._evaluations) > _KEPT:
                self._evaluations.popitem(last=False)
        self._evaluations.move_to_end(entry.id)
        return self._evaluations[entry.id]

    def check_digests(self, entry: Entry) -> int:
        """Return the number of an entry's predictions files, of which each is the right one.

        Raises `LeaderboardError` for one that is missing or changed.
        """
        for seed in entry.seeds:
            self._folder.content(self._file(entry, seed))
        return len(entry.seeds)

    def known_evaluations(self, entry: Entry) -> list[Evaluation] | None:
        """Return the same, or None where they cannot be had."""
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
                f"metric {missing[0]} cannot be computed from the predictions of seed {seed}: they "
                f"lack {', '.join(sorted(metrics[missing[0]].needs))}."
            )
        return evaluate_metrics(
            predictions,
            usable,
            replicates=entry.statistics.replicates if self._intervals else 0,
            seed=entry.statistics.seed,
        )

    def _file(self, entry: Entry, seed: int) -> PredictionsFile:
        for record in entry.artifacts.predictions:
            if record.seed == seed:
                return record
        raise LeaderboardError(f"there are no stored predictions of seed {seed}.")
