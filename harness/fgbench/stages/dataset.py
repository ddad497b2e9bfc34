"""The data set: the source node of every graph.

The planner loads data sets to check them, so the process that plans a run stores them, under their
own digest; no worker loads one from its files.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING

from fgbench.data import Dataset, read_dataset, write_dataset
from fgbench.store import Product

if TYPE_CHECKING:
    from pathlib import Path

    from fgbench.store import Artifact

DATASET_ROLE = "dataset"
"""The role in which stages read the data set, and the name of its node in plans and logs."""

_FILE = "dataset.npz"


def dataset_product(dataset: Dataset) -> Product:
    """Return a data set as the product that stages read it from."""
    stream = io.BytesIO()
    write_dataset(dataset, stream)
    return Product({"digest": dataset.digest}, {_FILE: stream.getvalue()})


def read_stored_dataset(artifact: Artifact) -> Dataset:
    """Return the data set of an artifact; the last few stay in memory."""
    return _read(artifact.open(_FILE))


@lru_cache(maxsize=4)
def _read(path: Path) -> Dataset:
    return read_dataset(path)
