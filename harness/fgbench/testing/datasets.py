"""The contract of a data set loader."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fgbench.cards import DataFolder
from fgbench.data import Dataset, is_numeric, read_dataset, take_inputs, write_dataset
from fgbench.errors import DataError
from fgbench.parts.dataset import DatasetLoader
from fgbench.testing.common import check_part, fail, global_state, near, twin

if TYPE_CHECKING:
    from fgbench.data import Inputs


def check_dataset(loader: DatasetLoader, folder: DataFolder | None = None) -> None:
    """Check that a loader always returns the same valid data set.

    `folder` has its files, by default FGBENCH_DATA and the cache. The checks: three splits of texts
    or finite numbers with labels of the declared classes; the same content from a second loader
    under any state of the global random generators; the same content after storing and reading it;
    a card with these labels; and, for a loader that provides "posterior" or "sampling",
    probabilities that agree with the splits and inputs that follow the requested posterior. Raises
    `PluginError`.
    """
    check_part(loader, DatasetLoader)
    folder = folder or DataFolder.from_environment()
    with global_state(1):
        dataset = load(loader, folder)
    with global_state(2):
        repeated = load(twin(loader), folder)
    if repeated.digest != dataset.digest:
        fail(loader, "a second load returns another data set; draw with default_rng(seed_for(…))")
    for name, split in dataset.splits.items():
        if is_numeric(split.inputs):
            continue
        invalid = [row for row, text in enumerate(split.inputs) if not _is_text(text)]
        if invalid:
            row = invalid[0]
            fail(loader, f"split {name}, row {row}: {split.inputs[row]!r} is not a nonempty text")
    if _stored_and_read(dataset).digest != dataset.digest:
        fail(loader, "the data set changes when it is stored and read again")
    _check_card(loader, dataset)
    if "sampling" in loader.provides and "posterior" not in loader.provides:
        fail(loader, 'it provides "sampling", so it must provide "posterior" too')
    if "posterior" in loader.provides:
        _check_posterior(loader, dataset)
    if "sampling" in loader.provides:
        _check_sampling(loader, dataset)


def load(loader: DatasetLoader, folder: DataFolder | None = None) -> Dataset:
    """Load and validate a data set; invalid content violates the contract."""
    dataset = loader.load(folder or DataFolder.from_environment())
    if not isinstance(dataset, Dataset):
        fail(loader, f"load must return a fgbench.Dataset, not {type(dataset).__name__}")
    try:
        dataset.validate()
    except DataError as error:
        fail(loader, str(error).rstrip("."))
    return dataset


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _stored_and_read(dataset: Dataset) -> Dataset:
    stream = io.BytesIO()
    write_dataset(dataset, stream)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dataset.npz"
        path.write_bytes(stream.getvalue())
        return read_dataset(path)


def _check_card(loader: DatasetLoader, dataset: Dataset) -> None:
    card = loader.card()
    if card is None:
        return
    unknown = [name for name in dataset.label_names if name not in card.label_names]
    if unknown:
        fail(loader, f"the card of {card.name} has no label {unknown[0]!r}")


def _check_posterior(loader: DatasetLoader, dataset: Dataset) -> None:
    split = dataset.splits["validation"]
    rows = range(min(50, len(split)))
    inputs = take_inputs(split.inputs, rows)
    posterior = np.asarray(loader.posterior(inputs))
    if posterior.shape != (len(inputs), dataset.n_classes):
        fail(loader, f"posterior returned shape {posterior.shape}, not (n, {dataset.n_classes})")
    if (posterior < 0).any() or not near(posterior.sum(axis=1), np.ones(len(inputs)), 1e-9):
        fail(loader, "posterior returned rows that are not probabilities")
    if split.posterior is None:
        fail(loader, 'it provides "posterior", so its splits must have a posterior')
    if not near(posterior, split.posterior[: len(inputs)], 1e-9):
        fail(loader, "posterior disagrees with the posterior of the validation split")
    reverse = loader.posterior(take_inputs(inputs, rows[::-1]))
    if not near(reverse, posterior[::-1], 1e-9):
        fail(loader, "posterior depends on the order of its inputs")


def _check_sampling(loader: DatasetLoader, dataset: Dataset) -> None:
    posteriors = []
    for share in (0.1, 0.9):
        row = np.full(dataset.n_classes, (1 - share) / (dataset.n_classes - 1))
        row[0] = share
        posteriors += [row] * 20
    inputs = loader.sample(posteriors, np.random.default_rng(0))
    with global_state(3):
        repeated = twin(loader).sample(posteriors, np.random.default_rng(0))
    if len(inputs) != len(posteriors):
        fail(loader, f"sample returned {len(inputs)} inputs for {len(posteriors)} posteriors")
    if list(inputs) != list(repeated):
        fail(loader, "sample returns other inputs for a random generator in the same state")
    values: Inputs = list(inputs) if dataset.is_text else np.array(inputs, dtype=np.float64)  # type: ignore[arg-type]
    first = np.asarray(loader.posterior(values))[:, 0]
    if not first[:20].mean() < first[20:].mean():
        fail(loader, "sample does not follow the posterior that is requested")
