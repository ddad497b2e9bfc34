"""Evaluate predictions from any source, without a run: read them and compute all metrics."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fgbench.calibration.bounds import valid_bound
from fgbench.calibration.grid import measure
from fgbench.calibration.inputs import predictions_from_probabilities
from fgbench.data import Predictions
from fgbench.errors import DataError
from fgbench.foreign import ARRAYS, TABLE, open_file, read_arrays
from fgbench.inference import (
    Evaluation,
    MetricSummary,
    applicable,
    evaluate_metrics,
    summarize,
)
from fgbench.plan.resolve import all_metrics

if TYPE_CHECKING:
    from fgbench.plugins.registry import Registry

BOUND_BINS, BOUND_DELTA = 15, 0.05
_LABEL = "label"


@dataclass(frozen=True)
class Assessment:
    """The results of `fgbench evaluate` for one set of predictions."""

    n: int
    classes: int
    metrics: dict[str, MetricSummary]
    undefined: dict[str, str]
    ece_bound: float
    """`valid_bound` for 15 bins: the error of the measured ECE, at most, with probability 0.95."""
    grid: dict[str, float] | None = None

    def to_value(self) -> dict[str, Any]:
        """Return the results as JSON values; undefined values are null."""
        value: dict[str, Any] = {
            "n": self.n,
            "classes": self.classes,
            "metrics": {
                name: {
                    "value": summary.mean,
                    "corrected": summary.corrected,
                    "ci95": summary.ci95,
                    "noise_floor": summary.noise_floor,
                    "chance_limit": summary.chance_limit,
                }
                for name, summary in self.metrics.items()
            },
            "undefined": self.undefined,
            "ece_bound": {"epsilon": self.ece_bound, "bins": BOUND_BINS, "delta": BOUND_DELTA},
        }
        if self.grid is not None:
            value["grid"] = {
                name: None if np.isnan(number) else number for name, number in self.grid.items()
            }
        return value


def assess(
    predictions: Predictions,
    registry: Registry,
    *,
    replicates: int = 1000,
    seed: int = 0,
    full: bool = False,
) -> Assessment:
    """Compute every applicable metric with its interval and noise floor.

    `full` adds the measurement grid.
    """
    metrics = {resolved.label: metric for resolved, metric in all_metrics(registry)}
    evaluation: Evaluation = evaluate_metrics(
        predictions, applicable(metrics, predictions), replicates=replicates, seed=seed
    )
    return Assessment(
        n=len(predictions),
        classes=predictions.n_classes,
        metrics=summarize([evaluation]),
        undefined=dict(evaluation.undefined),
        ece_bound=valid_bound(len(predictions), BOUND_BINS, delta=BOUND_DELTA),
        grid=measure(predictions) if full else None,
    )


def read_predictions(path: Path) -> Predictions:
    """Read predictions from an `.npz` or `.csv` file.

    An `.npz` file contains `labels` (n,) and either `logits` (n, K) or `probabilities`, (n, K) or
    (n,) for P(y=1), and optionally the true `posterior` (n, K). A `.csv` file has a header, a
    column `label` (a class index or name), and one column of probabilities per class in the order
    of the classes; a single column is P(y=1). Raises `DataError` that names file and line.
    """
    if path.suffix.casefold() == ".csv":
        return _read_csv(path)
    if path.suffix.casefold() == ".npz":
        return _read_npz(path)
    raise DataError(f"{path}: unsupported format; predictions must be .npz or .csv files.")


def _read_npz(path: Path) -> Predictions:
    arrays = read_arrays(path, ARRAYS)
    labels, posterior = arrays.get("labels"), arrays.get("posterior")
    if labels is None or not {"logits", "probabilities"} & arrays.keys():
        raise DataError(
            f"{path}: must contain `labels` and either `logits` or `probabilities`, but contains "
            f"{', '.join(sorted(arrays)) or 'nothing'}."
        )
    try:
        if "probabilities" in arrays:
            return predictions_from_probabilities(
                arrays["probabilities"], labels, posterior=posterior
            )
        return Predictions(arrays["logits"], labels, posterior=posterior)
    except (DataError, ValueError, TypeError, OverflowError) as error:
        raise DataError(f"{path}: {error}") from None


def _read_csv(path: Path) -> Predictions:
    rows: list[list[float]] = []
    labels: list[int] = []
    with (
        open_file(path, TABLE) as binary,
        TextIOWrapper(binary, encoding="utf-8-sig", newline="") as stream,
    ):
        reader = csv.reader(stream)
        try:
            header = [name.strip() for name in next(reader, [])]
            if header.count(_LABEL) != 1 or len(header) < 2:
                raise DataError(
                    f"{path} line 1: the header must have one column `{_LABEL}` and one column of "
                    f"probabilities per class; it has {_columns(len(header))}, "
                    f"{header.count(_LABEL) or 'none'} of them `{_LABEL}`."
                )
            label_column = header.index(_LABEL)
            classes = header[:label_column] + header[label_column + 1 :]
            if len(classes) == 1:
                classes = ["0", "1"]
            index = {name: k for k, name in enumerate(classes)}
            index |= {str(k): k for k in range(len(classes)) if str(k) not in index}
            for row in reader:
                if not row:
                    continue
                rows.append(_numbers(path, reader.line_num, row, label_column, len(header)))
                label = index.get(row[label_column].strip())
                if label is None:
                    raise DataError(
                        f"{path} line {reader.line_num}: label {row[label_column]!r} is neither an "
                        f"index from 0 to {len(classes) - 1} nor the name of a column."
                    )
                labels.append(label)
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path} line {reader.line_num + 1}: invalid CSV: {error}.") from None
    if not rows:
        raise DataError(f"{path}: no predictions.")
    probabilities = np.array(rows)
    try:
        return predictions_from_probabilities(
            probabilities[:, 0] if probabilities.shape[1] == 1 else probabilities, labels
        )
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _numbers(path: Path, line: int, row: list[str], label_column: int, columns: int) -> list[float]:
    if len(row) != columns:
        raise DataError(f"{path} line {line}: {len(row)} fields, but the header has {columns}.")
    fields = row[:label_column] + row[label_column + 1 :]
    try:
        return [float(field) for field in fields]
    except ValueError:
        raise DataError(f"{path} line {line}: {fields!r} are not numbers.") from None


def _columns(count: int) -> str:
    return f"{count} column{'' if count == 1 else 's'}"
