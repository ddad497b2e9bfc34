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
    """Check that a loader gives the same usable data set each time.

    `folder` is where its files are looked for, by default FGBENCH_DATA and the cache. Checked are:
    three splits with labels of the declared classes, texts or finite numbers; the same content
    from a second loader, whatever state the global random generators are in; content that
    survives being stored; a card that knows the labels; and, for a loader that provides
    "posterior" or "sampling", probabilities that agree with the splits and inputs that follow the
    posterior asked for. Raises `PluginError`.
    """
    check_part(loader, DatasetLoader)
    folder = folder or DataFolder.from_environment()
    with global_state(1):
        dataset = load(loader, folder)
    with global_state(2):
        again = load(twin(loader), folder)
    if again.digest != dataset.digest:
        fail(loader, "a second load gives another data set; draw with default_rng(seed_for(…))")
    for name, split in dataset.splits.items():
        if is_numeric(split.inputs):
            continue
        odd = next((row for row, text in enumerate(split.inputs) if not _is_text(text)), None)
        if odd is not None:
            fail(loader, f"split {name}, row {odd}: {split.inputs[odd]!r} is not a text to read")
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
    """Load and validate a data set; a `DataError` about its content is a broken contract."""
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
        fail(loader, f"posterior gave the shape {posterior.shape}, not (n, {dataset.n_classes})")
    if (posterior < 0).any() or not near(posterior.sum(axis=1), np.ones(len(inputs)), 1e-9):
        fail(loader, "posterior gave rows that are no probabilities")
    if split.posterior is None:
        fail(loader, 'it provides "posterior", so its splits must carry theirs')
    if not near(posterior, split.posterior[: len(inputs)], 1e-9):
        fail(loader, "posterior disagrees with the posterior that the validation split carries")
    backwards = loader.posterior(take_inputs(inputs, rows[::-1]))
    if not near(backwards, posterior[::-1], 1e-9):
        fail(loader, "posterior depends on the order of its inputs")


def _check_sampling(loader: DatasetLoader, dataset: Dataset) -> None:
    asked = []
    for share in (0.1, 0.9):
        row = np.full(dataset.n_classes, (1 - share) / (dataset.n_classes - 1))
        row[0] = share
        asked += [row] * 20
    inputs = loader.sample(asked, np.random.default_rng(0))
    with global_state(3):
        again = twin(loader).sample(asked, np.random.default_rng(0))
    if len(inputs) != len(asked):
        fail(loader, f"sample gave {len(inputs)} inputs for {len(asked)} asked posteriors")
    if list(inputs) != list(again):
        fail(loader, "sample gives other inputs for a generator of the same state")
    values: Inputs = list(inputs) if dataset.is_text else np.array(inputs, dtype=np.float64)  # type: ignore[arg-type]
    first = np.asarray(loader.posterior(values))[:, 0]
    if not first[:20].mean() < first[20:].mean():
        fail(loader, "sample does not follow the posterior that is asked for")
