"""Results of any benchmark as a long table, and as an array of tasks and methods."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgbench.errors import DataError

Floats = NDArray[np.float64]

_ROUNDING = 1e-12


class Result(NamedTuple):
    """One row of a long table: the value of a method on a task with a seed.

    `value` is NaN where it is missing. Tasks with the same `dataset` are not independent; by
    default each task is a data set of its own.
    """

    method: str
    task: str
    seed: int | str
    value: float
    dataset: str | None = None


@dataclass(frozen=True, eq=False)
class ResultTable:
    """Values (tasks, methods), NaN where missing; the data set of each task, by its position.

    `missing` counts the rows without a value, `uneven` the tasks on which methods have different
    seeds.
    """

    methods: list[str]
    tasks: list[str]
    datasets: list[str]
    values: Floats
    dataset: NDArray[np.intp]
    missing: int = 0
    uneven: int = 0

    @cached_property
    def tasks_of(self) -> list[NDArray[np.intp]]:
        """The tasks of each data set."""
        return [np.flatnonzero(self.dataset == index) for index in range(len(self.datasets))]


def result_table(results: Iterable[Result | tuple[object, ...]]) -> ResultTable:
    """Return the table of a long table, averaged over seeds; tasks without any value are left out.

    Raises `DataError` with the number of the row for what is not a table of at least two methods.
    """
    seen: dict[tuple[str, str, str], int] = {}
    missing = 0
    seeds: dict[tuple[str, str], set[str]] = {}
    cells: dict[tuple[str, str], list[float]] = {}
    dataset_of: dict[str, str] = {}
    methods: dict[str, None] = {}
    for position, item in enumerate(results, 1):
        row = _row(item, position)
        key = (row.method, row.task, str(row.seed))
        if key in seen:
            raise DataError(
                f"row {position}: method {row.method!r}, task {row.task!r}, seed {row.seed} is in "
                f"row {seen[key]} already; give each repetition a seed of its own."
            )
        seen[key] = position
        dataset = row.task if row.dataset is None else row.dataset
        if dataset_of.setdefault(row.task, dataset) != dataset:
            raise DataError(
                f"row {position}: task {row.task!r} is in two data sets, {dataset_of[row.task]!r} "
                f"and {dataset!r}; name its tasks differently."
            )
        methods.setdefault(row.method)
        if math.isnan(row.value):
            missing += 1
        else:
            seeds.setdefault((row.method, row.task), set()).add(str(row.seed))
            cells.setdefault((row.method, row.task), []).append(row.value)
    if len(methods) < 2:
        what = f"only the method {next(iter(methods))!r}" if methods else "no rows"
        raise DataError(f"the results have {what}; a summary compares at least two methods.")
    valued = {task for _, task in cells}
    if not valued:
        raise DataError("the results have no values: all are missing or NaN.")
    tasks = [task for task in dataset_of if task in valued]
    names = list(methods)
    datasets = list(dict.fromkeys(dataset_of[task] for task in tasks))
    index_of = {name: index for index, name in enumerate(datasets)}
    values = np.full((len(tasks), len(names)), np.nan)
    for i, task in enumerate(tasks):
        for j, method in enumerate(names):
            if (method, task) in cells:
                values[i, j] = _mean(cells[method, task])
    for j, method in enumerate(names):
        if np.isnan(values[:, j]).all():
            raise DataError(f"method {method!r} has no values: leave it out.")
    dataset_index = np.array([index_of[dataset_of[task]] for task in tasks], dtype=np.intp)
    uneven = sum(
        len({frozenset(seeds[method, task]) for method in names if (method, task) in seeds}) > 1
        for task in tasks
    )
    return ResultTable(names, tasks, datasets, values, dataset_index, missing, uneven)


def better(a: Floats, b: Floats) -> Floats:
    """Return 1 where cost a is below b, ½ where they are equal but for rounding, else 0."""
    with np.errstate(invalid="ignore"):
        close = np.abs(a - b) <= _ROUNDING * np.maximum(np.abs(a), np.abs(b))
    tied = (a == b) | (close & np.isfinite(a) & np.isfinite(b))
    return np.where(np.isnan(a) | np.isnan(b), np.nan, np.where(tied, 0.5, a < b))


def _row(item: Result | tuple[object, ...], position: int) -> Result:
    if not isinstance(item, tuple | list) or len(item) not in (4, 5):
        raise DataError(
            f"row {position}: expected (method, task, seed, value) or (method, task, seed, value, "
            f"dataset), not {item!r}."
        )
    method, task, seed, value, *rest = item
    try:
        amount = math.nan if value is None else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise DataError(f"row {position}: the value {value!r} is not a number.") from None
    dataset = None if not rest or rest[0] is None else str(rest[0])
    return Result(str(method), str(task), str(seed), amount, dataset)


def _mean(values: list[float]) -> float:
    """Return the mean; the mean of ∞ and −∞, which has no meaning, is missing."""
    if math.inf in values and -math.inf in values:
        return math.nan
    return math.fsum(values) / len(values) if all(map(math.isfinite, values)) else sum(values)
