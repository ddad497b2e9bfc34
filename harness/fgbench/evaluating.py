"""The harness's statistics for anyone's predictions, with no run: read them, evaluate them."""

from __future__ import annotations

import csv
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fgbench.calibration.bounds import valid_bound
from fgbench.calibration.grid import measure
from fgbench.calibration.statistics import (
    Evaluation,
    MetricSummary,
    applicable,
    evaluate_metrics,
    predictions_from_probabilities,
    summarise,
)
from fgbench.data import Predictions
from fgbench.errors import DataError
from fgbench.plan.resolve import all_metrics

if TYPE_CHECKING:
    from fgbench.plugins.registry import Registry

BOUND_BINS, BOUND_DELTA = 15, 0.05
_LABEL = "label"


@dataclass(frozen=True)
class Assessment:
    """What `fgbench evaluate` says of one set of predictions."""

    n: int
    classes: int
    metrics: dict[str, MetricSummary]
    undefined: dict[str, str]
    ece_bound: float
    """`valid_bound` for 15 bins: the true ECE is within it of the measured one, 95 times in 100."""
    grid: dict[str, float] | None = None

    def to_value(self) -> dict[str, Any]:
        """Return it as JSON values; what is undefined is null."""
        value: dict[str, Any] = {
            "n": self.n,
            "classes": self.classes,
            "metrics": {
                name: {
                    "value": each.mean,
                    "ci95": each.ci95,
                    "noise_floor": each.noise_floor,
                }
                for name, each in self.metrics.items()
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
    """Return every metric that applies, with its interval and noise floor, and the whole grid."""
    metrics = {resolved.label: metric for resolved, metric in all_metrics(registry)}
    evaluation: Evaluation = evaluate_metrics(
        predictions, applicable(metrics, predictions), replicates=replicates, seed=seed
    )
    return Assessment(
        n=len(predictions),
        classes=predictions.n_classes,
        metrics=summarise([evaluation]),
        undefined=dict(evaluation.undefined),
        ece_bound=valid_bound(len(predictions), BOUND_BINS, delta=BOUND_DELTA),
        grid=measure(predictions) if full else None,
    )


def read_predictions(path: Path) -> Predictions:
    """Read predictions from `.npz` or `.csv`.

    An `.npz` holds `labels` (n,) and either `logits` (n, K) or `probabilities`, (n, K) or (n,) for
    P(y=1), and may hold the true `posterior`. A `.csv` has a header: a column `label`, an index or
    a class's name, and one column of probabilities a class, in the classes' order; a single one is
    P(y=1). Raises `DataError` with file and line.
    """
    if not path.exists():
        raise DataError(f"{path}: there is no such file.")
    if path.suffix.casefold() == ".csv":
        return _read_csv(path)
    if path.suffix.casefold() == ".npz":
        return _read_npz(path)
    raise DataError(f"{path}: predictions are read from .npz and .csv files.")


def _read_npz(path: Path) -> Predictions:
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not an .npz file of plain arrays ({error}).") from None
    labels, posterior = arrays.get("labels"), arrays.get("posterior")
    if labels is None or not {"logits", "probabilities"} & arrays.keys():
        raise DataError(
            f"{path}: it must hold `labels` and either `logits` or `probabilities`; it holds "
            f"{', '.join(sorted(arrays)) or 'nothing'}."
        )
    try:
        if "probabilities" in arrays:
            return predictions_from_probabilities(
                arrays["probabilities"], labels, posterior=posterior
            )
        return Predictions(arrays["logits"], labels, posterior=posterior)
    except (DataError, ValueError, TypeError) as error:
        raise DataError(f"{path}: {error}") from None


def _read_csv(path: Path) -> Predictions:
    rows: list[list[float]] = []
    labels: list[int] = []
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream)
        try:
            header = [name.strip() for name in next(reader, [])]
            if header.count(_LABEL) != 1 or len(header) < 2:
                raise DataError(
                    f"{path} line 1: the header must name one column `{_LABEL}` and one of "
                    f"probabilities for each class; it is {', '.join(header) or 'empty'}."
                )
            at = header.index(_LABEL)
            classes = header[:at] + header[at + 1 :]
            if len(classes) == 1:
                classes = ["0", "1"]
            index = {name: k for k, name in enumerate(classes)}
            index |= {str(k): k for k in range(len(classes)) if str(k) not in index}
            for row in reader:
                if not row:
                    continue
                rows.append(_numbers(path, reader.line_num, row, at, len(header)))
                label = index.get(row[at].strip())
                if label is None:
                    raise DataError(
                        f"{path} line {reader.line_num}: label {row[at]!r} is neither an index "
                        f"from 0 to {len(classes) - 1} nor a column's name."
                    )
                labels.append(label)
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path} line {reader.line_num + 1}: not CSV text: {error}.") from None
    if not rows:
        raise DataError(f"{path}: it holds no predictions.")
    probabilities = np.array(rows)
    try:
        return predictions_from_probabilities(
            probabilities[:, 0] if probabilities.shape[1] == 1 else probabilities, labels
        )
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _numbers(path: Path, line: int, row: list[str], at: int, columns: int) -> list[float]:
    if len(row) != columns:
        raise DataError(f"{path} line {line}: {len(row)} fields, and the header has {columns}.")
    fields = row[:at] + row[at + 1 :]
    try:
        return [float(field) for field in fields]
    except ValueError:
        raise DataError(f"{path} line {line}: {fields!r} are not numbers.") from None
