"""Data sets, their splits, and predictions.

numpy is imported when an object is created or read, not when this module is imported, so that
plugins can use the types without slowing down startup.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias, TypeVar

from fgbench.digests import digest, digest_bytes, seed_for
from fgbench.errors import CorruptArtifactError, DataError
from fgbench.foreign import PREDICTIONS, parse_arrays
from fgbench.texts import group_numbers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import TypeIs

    FloatArray: TypeAlias = NDArray[np.floating[Any]]
    IntArray: TypeAlias = NDArray[np.int64]

    Inputs: TypeAlias = Sequence[str] | FloatArray
    """n texts, or a float array (n, d) for tasks that are not text."""

    Column: TypeAlias = NDArray[Any]

    Input: TypeAlias = str | tuple[float, ...]
    """One input: a text, or the d features of a row."""

SPLITS = ("train", "validation", "test")
RESERVE = "reserve"
"""The split of the rows that were set aside from the training split: see `Dataset.reserved`."""

T = TypeVar("T")


def is_numeric(inputs: Inputs) -> TypeIs[FloatArray]:
    """Return whether inputs are a float array rather than texts."""
    return hasattr(inputs, "dtype")


def take_inputs(inputs: Inputs, indices: Sequence[int] | IntArray) -> Inputs:
    """Return the inputs at `indices`, in that order; indices may repeat."""
    if is_numeric(inputs):
        import numpy as np

        return inputs[np.asarray(indices, dtype=np.int64)]
    return [inputs[int(index)] for index in indices]


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set.

    `inputs` are n texts or a float array (n, d), `labels` the n class indices, and `posterior` is
    the true P(y|x) as an array (n, K), for data sets that know it. `columns` are further facts
    about the rows by name, such as a group: arrays (n, …) of numbers or texts.
    """

    inputs: Inputs
    labels: IntArray
    posterior: FloatArray | None = None
    columns: Mapping[str, Column] = field(default_factory=dict)

    def __post_init__(self) -> None:
        import numpy as np

        columns = {name: np.asarray(values) for name, values in self.columns.items()}
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "labels", np.asarray(self.labels, dtype=np.int64))
        if is_numeric(self.inputs):
            array = np.asarray(self.inputs, dtype=np.float64)
            object.__setattr__(self, "inputs", array[:, None] if array.ndim == 1 else array)
        if self.posterior is not None:
            object.__setattr__(self, "posterior", np.asarray(self.posterior, dtype=np.float64))

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Sequence[int] | IntArray) -> Split:
        """Return the rows at `indices`, in that order."""
        import numpy as np

        rows = np.asarray(indices, dtype=np.int64)
        posterior = None if self.posterior is None else self.posterior[rows]
        columns = {name: values[rows] for name, values in self.columns.items()}
        return Split(take_inputs(self.inputs, rows), self.labels[rows], posterior, columns)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A classification task with its three splits, and perhaps a reserve (`reserved`).

    `label_names` are K names; `label_descriptions` say what belongs to each class (generators put
    them in prompts); `task` says in a few words what one input is ("a tweet to a company").
    """

    name: str
    label_names: tuple[str, ...]
    splits: Mapping[str, Split]
    label_descriptions: tuple[str, ...] = ()
    task: str = "a text"
    _derived: dict[Callable[[Dataset], Any], Any] = field(
        default_factory=dict, init=False, repr=False
    )
    _groups: dict[str, IntArray] = field(default_factory=dict, init=False, repr=False)

    @property
    def n_classes(self) -> int:
        """The number of classes, K."""
        return len(self.label_names)

    @property
    def is_text(self) -> bool:
        """Whether the inputs are texts rather than numbers."""
        return not is_numeric(self.splits["train"].inputs)

    @property
    def provides(self) -> frozenset[str]:
        """What parts may need: text or numeric, binary or multiclass, posterior."""
        capabilities = {
            "text" if self.is_text else "numeric",
            "binary" if self.n_classes == 2 else "multiclass",
        }
        if all(split.posterior is not None for split in self.splits.values()):
            capabilities.add("posterior")
        return frozenset(capabilities)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all content that stages can read."""
        description = [self.name, list(self.label_names), list(self.label_descriptions), self.task]
        splits = {name: _split_digest(split) for name, split in self.splits.items()}
        return digest({"description": description, "splits": splits})

    def derived(self, compute: Callable[[Dataset], T]) -> T:
        """Return `compute(self)`, computed once and kept with this object: an index, say."""
        if compute not in self._derived:
            self._derived[compute] = compute(self)
        result: T = self._derived[compute]
        return result

    def limited(self, limit: int) -> Dataset:
        """Return the data set with at most the first `limit` rows of each split."""
        return replace(
            self,
            splits={
                name: split.take(range(min(limit, len(split))))
                for name, split in self.splits.items()
            },
        )

    def reserved(self, share: float) -> Dataset:
        """Return the data set with a share of the training rows of each class set aside.

        They form the split `RESERVE`, on which nothing is trained or selected; the draw is always
        the same. A class keeps at least one training row.
        """
        import numpy as np

        train = self.splits["train"]
        rng = np.random.default_rng(seed_for("reserve"))
        taken = np.zeros(len(train), dtype=bool)
        for label in np.unique(train.labels):
            rows = rng.permutation(np.flatnonzero(train.labels == label))
            taken[rows[: min(round(share * len(rows)), len(rows) - 1)]] = True
        kept, reserve = (train.take(np.flatnonzero(rows)) for rows in (~taken, taken))
        return replace(self, splits={**self.splits, "train": kept, RESERVE: reserve})

    def groups(self, split: str) -> IntArray:
        """Return the group of each row of a split, (n,): rows with equal inputs are one group.

        Texts are compared as `fgbench.texts.normalize` returns them. Groups are numbered from 0 in
        the order of their first rows.
        """
        import numpy as np

        if split not in self._groups:
            inputs = self.splits[split].inputs
            rows = inputs.tolist() if is_numeric(inputs) else inputs
            self._groups[split] = np.array(group_numbers(rows), dtype=np.int64)
        return self._groups[split]

    def validate(self) -> None:
        """Raise `DataError` for a data set on which no classifier can be trained and evaluated."""
        import numpy as np

        if set(self.splits) != set(SPLITS):
            raise DataError(
                f"dataset {self.name}: it must have the splits {', '.join(SPLITS)}, "
                f"but has {', '.join(sorted(self.splits)) or 'none'}."
            )
        for what, texts in {
            "name": [self.name],
            "label name": self.label_names,
            "label description": self.label_descriptions,
            "task": [self.task],
        }.items():
            for text in texts:
                if any("\ud800" <= char <= "\udfff" for char in text):
                    raise DataError(
                        f"dataset {self.name!r}: the {what} {text!r} contains half of a surrogate "
                        "pair, which is not a character."
                    )
        if self.label_descriptions and len(self.label_descriptions) != self.n_classes:
            raise DataError(
                f"dataset {self.name}: {len(self.label_descriptions)} label descriptions for "
                f"{self.n_classes} labels."
            )
        for name, split in self.splits.items():
            where = f"dataset {self.name}, split {name}"
            if len(split) == 0:
                raise DataError(f"{where}: empty.")
            if len(split.inputs) != len(split):
                raise DataError(f"{where}: {len(split.inputs)} inputs but {len(split)} labels.")
            for column, values in split.columns.items():
                if values.dtype.kind not in "biufU" or values.shape[:1] != (len(split),):
                    raise DataError(
                        f"{where}, column {column!r}: {values.dtype} of shape {values.shape}, not "
                        f"{len(split)} numbers or texts."
                    )
            wrong = np.flatnonzero((split.labels < 0) | (split.labels >= self.n_classes))
            if len(wrong):
                raise DataError(
                    f"{where}, row {wrong[0]}: label {split.labels[wrong[0]]} is outside "
                    f"0 … {self.n_classes - 1} ({', '.join(self.label_names)})."
                )
            if is_numeric(split.inputs):
                bad = np.flatnonzero(~np.isfinite(split.inputs).all(axis=1))
                if len(bad):
                    raise DataError(
                        f"{where}, row {bad[0]}: a feature is NaN or infinite. "
                        "Remove or impute such rows."
                    )
            if split.posterior is not None and split.posterior.shape != (
                len(split),
                self.n_classes,
            ):
                raise DataError(
                    f"{where}: the posterior has shape {split.posterior.shape}, "
                    f"not {(len(split), self.n_classes)}."
                )
        present = np.unique(self.splits["train"].labels)
        if len(present) < 2:
            only = ", ".join(self.label_names[int(label)] for label in present)
            raise DataError(
                f"dataset {self.name}: every training row has the same label ({only}); a "
                "classifier needs at least two classes."
            )


def _split_digest(split: Split) -> str:
    if is_numeric(split.inputs):
        shape = [int(size) for size in split.inputs.shape]
        inputs = digest([shape, digest_bytes(split.inputs.astype("<f8").tobytes())])
    else:
        inputs = digest(list(split.inputs))
    posterior = None if split.posterior is None else digest_bytes(split.posterior.tobytes())
    values: list[Any] = [inputs, digest_bytes(split.labels.astype("<i8").tobytes()), posterior]
    if split.columns:  # digests of splits without columns are older
        values.append({name: _column_digest(split.columns[name]) for name in split.columns})
    return digest(values)


def _column_digest(values: Column) -> str:
    if values.dtype.kind == "U":  # padded to the longest text, so its bytes depend on other rows
        return digest(values.tolist())
    little_endian = values.astype(values.dtype.newbyteorder("<"))
    return digest([list(values.shape), values.dtype.name, digest_bytes(little_endian.tobytes())])


_ARRAYS = ("logits", "labels", "features", "stochastic_logits", "posterior", "head", "groups")


@dataclass(frozen=True, eq=False)
class Predictions:
    """A classifier's predictions for n rows.

    `logits` float32 (n, K): unnormalized log-probabilities; `labels` int64 (n,): the true classes,
    −1 if withheld; `features` (n, d): the penultimate layer; `stochastic_logits` (s, n, K): s
    stochastic forward passes; `posterior` (n, K): the true P(y|x), if known; `head` (d + 1, K): the
    weights of a linear head, which map features to logits, the bias last. `groups` (n,): the group
    of each row, where rows with equal inputs are one group (`Dataset.groups`); None if all differ
    or it is not known.
    """

    logits: FloatArray
    labels: IntArray
    features: FloatArray | None = None
    stochastic_logits: FloatArray | None = None
    posterior: FloatArray | None = None
    given: FloatArray | None = None
    """Probabilities (n, K) from which the logits were computed, at full precision; never stored."""
    head: FloatArray | None = None
    groups: IntArray | None = None

    def __post_init__(self) -> None:
        import numpy as np

        logits = np.asarray(self.logits, dtype=np.float32)
        labels = np.asarray(self.labels, dtype=np.int64)
        if logits.ndim != 2:
            raise DataError(f"logits must have the shape (n, K), not {logits.shape}.")
        if labels.shape != (len(logits),):
            raise DataError(f"{len(logits)} rows of logits but labels of shape {labels.shape}.")
        if self.groups is not None:
            groups = np.asarray(self.groups, dtype=np.int64)
            if groups.shape != labels.shape:
                raise DataError(f"{len(logits)} rows of logits but groups of shape {groups.shape}.")
            object.__setattr__(self, "groups", groups)
        if len(labels) and int(labels.max()) >= logits.shape[1]:
            raise DataError(
                f"label {int(labels.max())} is outside the {logits.shape[1]} classes of the logits."
            )
        bad = np.isnan(logits).any() or np.isposinf(logits).any()
        if bad:
            raise DataError("the logits contain NaN or +infinity.")
        if logits.size and np.isneginf(logits.max(axis=1)).any():
            raise DataError("a row of the logits is −infinity for every class.")
        object.__setattr__(self, "logits", logits)
        object.__setattr__(self, "labels", labels)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def n_classes(self) -> int:
        """The number of classes, K."""
        return int(self.logits.shape[1])

    @property
    def n_groups(self) -> int:
        """The number of rows with distinct inputs: n unless `groups` says otherwise."""
        import numpy as np

        return len(self) if self.groups is None else len(np.unique(self.groups))

    def probabilities(self) -> FloatArray:
        """Return `given`, or else the softmax of the logits, float64 (n, K)."""
        if self.given is not None:
            return self.given.astype("float64")
        from scipy.special import softmax

        result: FloatArray = softmax(self.logits.astype("float64"), axis=1)
        return result

    def take(self, rows: Sequence[int] | IntArray) -> Predictions:
        """Return the rows at `rows`, in that order."""
        import numpy as np

        index = np.asarray(rows, dtype=np.int64)
        return Predictions(
            logits=self.logits[index],
            labels=self.labels[index],
            features=None if self.features is None else self.features[index],
            stochastic_logits=(
                None if self.stochastic_logits is None else self.stochastic_logits[:, index]
            ),
            posterior=None if self.posterior is None else self.posterior[index],
            head=self.head,
            given=None if self.given is None else self.given[index],
            groups=None if self.groups is None else self.groups[index],
        )

    def without_labels(self) -> Predictions:
        """Return these predictions with labels and posterior withheld, as calibrators get them."""
        import numpy as np

        return replace(self, labels=np.full(len(self), -1, dtype=np.int64), posterior=None)

    def with_logits(self, logits: FloatArray) -> Predictions:
        """Return predictions for the same rows with other logits."""
        return replace(self, logits=logits, given=None)

    def save(self, path: Path) -> None:
        """Write the arrays as `.npz`, uncompressed and without pickles."""
        with path.open("wb") as stream:
            self.write(stream)

    def write(self, stream: IO[bytes]) -> None:
        """Write the bytes of `save` to a stream."""
        import numpy as np

        arrays = {name: getattr(self, name) for name in _ARRAYS}
        present = {name: array for name, array in arrays.items() if array is not None}
        np.savez(stream, allow_pickle=False, **present)

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read a file of `save`. Raises `CorruptArtifactError` for any other file."""
        try:
            with path.open("rb") as stream:
                return cls.read(stream, str(path))
        except OSError as error:
            raise CorruptArtifactError(f"{path}: not a predictions file ({error}).") from error

    @classmethod
    def read(cls, stream: IO[bytes], where: str) -> Predictions:
        """Read a stream of `write`; errors name it as `where`."""
        arrays = parse_arrays(stream, where, PREDICTIONS)
        if not {"logits", "labels"} <= set(arrays) <= set(_ARRAYS):
            raise CorruptArtifactError(
                f"{where}: a predictions file holds logits and labels, this one holds "
                f"{', '.join(sorted(arrays)) or 'nothing'}."
            )
        try:
            return cls(**arrays)
        except (DataError, ValueError, TypeError, OverflowError) as error:
            raise CorruptArtifactError(f"{where}: not predictions ({error}).") from error


def test_groups(dataset: Dataset) -> IntArray | None:
    """Return the group of each test row, int64 (n,): rows with equal inputs share one.

    None if all inputs differ.
    """
    groups = dataset.groups("test")
    return None if int(groups.max(initial=-1)) + 1 == len(groups) else groups


def write_dataset(dataset: Dataset, stream: IO[bytes]) -> None:
    """Write a data set as one `.npz` without pickles: texts as JSON, numbers as arrays."""
    import numpy as np

    arrays: dict[str, Any] = {}
    header: dict[str, Any] = {
        "name": dataset.name,
        "label_names": list(dataset.label_names),
        "label_descriptions": list(dataset.label_descriptions),
        "task": dataset.task,
        "texts": {},
    }
    for name, split in dataset.splits.items():
        arrays[f"{name}.labels"] = split.labels
        if is_numeric(split.inputs):
            arrays[f"{name}.inputs"] = split.inputs
        else:
            header["texts"][name] = list(split.inputs)
        if split.posterior is not None:
            arrays[f"{name}.posterior"] = split.posterior
        for column, values in split.columns.items():
            arrays[f"{name}.column.{column}"] = values
    # Unpaired surrogates are valid in Python strings and escaped JSON, but not in UTF-8.
    arrays["header"] = np.frombuffer(json.dumps(header).encode("ascii"), dtype=np.uint8)
    np.savez(stream, allow_pickle=False, **arrays)


def read_dataset(path: Path) -> Dataset:
    """Read a file of `write_dataset`.

    The arrays are read-only, since the stages of a process share them.
    """
    import numpy as np

    with np.load(path, allow_pickle=False) as stored:
        header = json.loads(stored["header"].tobytes())
        names = [name for name in (*SPLITS, RESERVE) if f"{name}.labels" in stored.files]
        splits = {
            name: Split(
                inputs=(
                    stored[f"{name}.inputs"]
                    if f"{name}.inputs" in stored.files
                    else header["texts"][name]
                ),
                labels=stored[f"{name}.labels"],
                posterior=(
                    stored[f"{name}.posterior"] if f"{name}.posterior" in stored.files else None
                ),
                columns={
                    key.removeprefix(f"{name}.column."): stored[key]
                    for key in stored.files
                    if key.startswith(f"{name}.column.")
                },
            )
            for name in names
        }
    for split in splits.values():
        for array in (split.inputs, split.labels, split.posterior, *split.columns.values()):
            if isinstance(array, np.ndarray):
                array.flags.writeable = False
    return Dataset(
        name=header["name"],
        label_names=tuple(header["label_names"]),
        splits=splits,
        label_descriptions=tuple(header["label_descriptions"]),
        task=header["task"],
    )
