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
"""Of published figures, and of entries that were taken in without their predictions."""

POSITIVE, TOP = "P(y = 1)", "the top label's confidence"
"""What the bins are of: of the positive class where there are two, else of the predicted one."""


@dataclass(frozen=True)
class EntryDiagrams:
    """An entry's test predictions of all seeds, in one diagram for each number of bins.

    Without `by_bins`, `problem` says why there are none.
    """

    entry: Entry
    axis: str
    by_bins: dict[int, PooledDiagram]
    problem: str = ""


def entry_diagrams(entries: Sequence[Entry], folder: Path) -> Iterator[EntryDiagrams]:
    """Yield the diagrams of each entry; `folder` is the board's.

    An entry has as many bins as picked its targets, 15 where none did; a baseline has, besides,
    those of the entries that are compared with it, so that before and after have the same.
    """
    wanted: dict[str, set[int]] = {entry.id: {bins_of(entry)} for entry in entries}
    for entry in entries:
        if entry.baseline in wanted:
            wanted[entry.baseline].add(bins_of(entry))
    files = PredictionsFolder(folder)
    for entry in entries:
        try:
            yield _diagrams(entry, files, sorted(wanted[entry.id]))
        except FgbenchError as error:
            yield EntryDiagrams(entry, "", {}, str(error))


def bins_of(entry: Entry) -> int:
    """Return the number of bins that an entry's diagram has."""
    return DEFAULT_BINS if entry.bins is None else entry.bins


def _diagrams(entry: Entry, files: PredictionsFolder, bins: Sequence[int]) -> EntryDiagrams:
    records = entry.artifacts.predictions
    if not records:
        raise FgbenchError(NOTHING_STORED)
    seeds: list[Predictions] = [files.read(record) for record in records]
    binary = seeds[0].n_classes == 2
    pairs = [positive_class(each) if binary else top_label(each) for each in seeds]
    confidences, outcomes = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    # Data that a seed draws anew are other points; a test split is the same in every seed.
    same = all(np.array_equal(each.labels, seeds[0].labels) for each in seeds)
    return EntryDiagrams(
        entry,
        POSITIVE if binary else TOP,
        {m: pooled_diagram(confidences, outcomes, m, same_points=same) for m in bins},
    )
