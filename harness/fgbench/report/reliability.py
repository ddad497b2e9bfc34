"""The reliability diagrams of a board's entries, from their stored predictions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fgbench.calibration.pooling import PooledDiagram, pooled_diagram
from fgbench.calibration.reliability import positive_class, top_label
from fgbench.errors import FgbenchError
from fgbench.leaderboard.files import PredictionsFolder

if TYPE_CHECKING:
    from fgbench.data import Predictions
    from fgbench.leaderboard.models import Entry

DEFAULT_BINS = 15

NOTHING_STORED = "no predictions are stored with the board."
"""The problem of published results, and of entries merged without their predictions."""

POSITIVE, TOP = "P(y = 1)", "top-label confidence"
"""What is binned: the probability of the positive class of two, or else of the predicted class."""


@dataclass(frozen=True)
class EntryDiagrams:
    """An entry's test predictions, pooled over seeds, as one diagram for each number of bins.

    If `by_bins` is empty, `problem` says why.
    """

    entry: Entry
    axis: str
    by_bins: dict[int, PooledDiagram]
    problem: str = ""


def entry_diagrams(entries: Sequence[Entry], folder: Path) -> Iterator[EntryDiagrams]:
    """Yield the diagrams of each entry; `folder` holds the board and its predictions.

    An entry has the number of bins that its targets were selected with, or else 15. A baseline
    also has those of the entries that are compared with it, so that both have the same bins.
    """
    bin_counts: dict[str, set[int]] = {entry.id: {bins_of(entry)} for entry in entries}
    for entry in entries:
        against = entry.contrasts.get("baseline")
        if against is not None and against.entry in bin_counts:
            bin_counts[against.entry].add(bins_of(entry))
    files = PredictionsFolder(folder)
    for entry in entries:
        try:
            yield _diagrams(entry, files, sorted(bin_counts[entry.id]))
        except FgbenchError as error:
            yield EntryDiagrams(entry, "", {}, str(error))


def bins_of(entry: Entry) -> int:
    """Return the number of bins of an entry's diagram."""
    return DEFAULT_BINS if entry.bins is None else entry.bins


def _diagrams(entry: Entry, files: PredictionsFolder, bins: Sequence[int]) -> EntryDiagrams:
    records = entry.artifacts.predictions
    if not records:
        raise FgbenchError(NOTHING_STORED)
    seeds: list[Predictions] = [files.read(record) for record in records]
    binary = seeds[0].n_classes == 2
    pairs = [positive_class(seed) if binary else top_label(seed) for seed in seeds]
    confidences, outcomes = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    # Data that are drawn by seed are different points; a fixed test split is the same points.
    same = all(np.array_equal(seed.labels, seeds[0].labels) for seed in seeds)
    return EntryDiagrams(
        entry,
        POSITIVE if binary else TOP,
        {m: pooled_diagram(confidences, outcomes, m, same_points=same) for m in bins},
    )
