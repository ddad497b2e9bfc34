"""Long tables of results for a summary over data sets: from boards, and from anyone's CSV files."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fgbench.digests import canonical_json
from fgbench.errors import ConfigurationError, DataError, LeaderboardError, did_you_mean
from fgbench.inference.across import Result
from fgbench.leaderboard.files import read_board

if TYPE_CHECKING:
    from fgbench.leaderboard.models import Entry

ROLES = ("method", "task", "seed", "value", "dataset")
"""What the columns of a long table are, and their names unless others are given."""

METHOD_PLACEHOLDER = "{method}"
_MISSING = frozenset({"", "nan", "na", "n/a", "null", "none", "-", "–", "—"})


def is_table(path: Path) -> bool:
    """Return whether a path is read as a CSV file and not as a board."""
    return path.suffix.lower() == ".csv"


def board_results(paths: Sequence[Path], metric: str) -> tuple[list[Result], bool]:
    """Return the results of all boards in one metric, and whether higher is better.

    A task is a data set with the classifier, loss and protocol, a method an arm with what it was
    made with and the calibrator. An entry that is on several boards counts once. Published figures
    without seeds have their mean. Raises `LeaderboardError` for an unknown metric.
    """
    entries = {entry.id: entry for path in paths for entry in read_board(path).entries}
    with_metric = [entry for entry in entries.values() if metric in entry.metrics]
    if not with_metric:
        known = {name for entry in entries.values() for name in entry.metrics}
        where = ", ".join(str(path) for path in paths)
        raise LeaderboardError(f"{where}: no metric {metric!r}. {did_you_mean(metric, known)}")
    datasets = _dataset_names(with_metric)
    settings = _distinguishing({entry.id: _setting(entry) for entry in with_metric})
    tasks = {
        entry.id: " · ".join([datasets[entry.id], *settings[entry.id]]) for entry in with_metric
    }
    generations = _distinguishing({entry.id: _generation(entry) for entry in with_metric})
    further = _settings(with_metric, tasks)
    results: list[Result] = []
    owner: dict[tuple[str, str, int], str] = {}
    for entry in with_metric:
        summary, task = entry.metrics[metric], tasks[entry.id]
        method = _method(entry, [*generations[entry.id], *further[entry.id]])
        values = dict(zip(entry.seeds, summary.per_seed, strict=True)) or {0: summary.mean}
        for seed, value in values.items():
            other = owner.setdefault((method, task, seed), entry.id)
            if other != entry.id:
                raise LeaderboardError(
                    f"the entries {other} and {entry.id} are both {method!r} on {task!r} with seed "
                    f"{seed}: summarize boards of one version of each part."
                )
            results.append(Result(method, task, seed, value, datasets[entry.id]))
    return results, metric in with_metric[0].higher_is_better


def table_results(paths: Iterable[Path], columns: Mapping[str, str] | None = None) -> list[Result]:
    """Return the results in CSV files with a header and one row per result.

    `columns` are the names of columns by role (`ROLES`), by default the role itself. Several
    columns joined by "+" are one task or data set. Seed and data set may be missing: then there is
    one seed, and each task is a data set of its own. In a file without a column of methods, all
    rows are of one method, which is named like the file; in the name of another column, "{method}"
    stands for it. Empty cells and "nan" are missing values.

    Raises `DataError` with file and line.
    """
    return [row for path in paths for row in _rows(path, columns or {})]


def parse_columns(settings: Iterable[str]) -> dict[str, str]:
    """Return the names of columns from settings ROLE=NAME."""
    columns: dict[str, str] = {}
    for setting in settings:
        role, equals, name = setting.partition("=")
        if not equals or not name:
            raise ConfigurationError(f"column {setting!r}: write ROLE=NAME, such as value=brier.")
        if role not in ROLES:
            raise ConfigurationError(f"column {setting!r}: {did_you_mean(role, ROLES)}")
        if role in columns:
            raise ConfigurationError(f"column {setting!r}: the role {role!r} is given twice.")
        columns[role] = name
    return columns


def _rows(path: Path, columns: Mapping[str, str]) -> Iterator[Result]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            header = next(reader, None)
            if not header:
                raise DataError(f"{path}: empty; expected a header with columns of results.")
            positions = _positions(path, header, columns)
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                where = f"{path} line {reader.line_num}"
                if len(cells) != len(header):
                    raise DataError(f"{where}: {len(cells)} cells, but {len(header)} columns.")
                yield _result(where, path.stem, cells, positions)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot read it: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start}).") from None
    except csv.Error as error:
        raise DataError(f"{path} line {reader.line_num}: {error}.") from None


def _positions(
    path: Path, header: Sequence[str], columns: Mapping[str, str]
) -> dict[str, list[int]]:
    """Return the positions of the columns of each role that the file has."""
    names = [name.strip() for name in header]
    positions: dict[str, list[int]] = {}
    for role in ROLES:
        wanted = columns.get(role, role).replace(METHOD_PLACEHOLDER, path.stem)
        parts = [wanted] if wanted in names else [part.strip() for part in wanted.split("+")]
        unknown = [part for part in parts if part not in names]
        if not unknown:
            positions[role] = [names.index(part) for part in parts]
        elif role in columns or role in ("task", "value"):
            raise DataError(
                f"{path}: no column {unknown[0]!r} for the {role}. "
                f"{did_you_mean(unknown[0], names)} Name it with --column {role}=NAME."
            )
    return positions


def _result(
    where: str, stem: str, cells: Sequence[str], positions: Mapping[str, Sequence[int]]
) -> Result:
    texts = {role: _joined(cells, indices) for role, indices in positions.items()}
    text = texts["value"].strip()
    try:
        value = math.nan if text.lower() in _MISSING else float(text)
    except ValueError:
        raise DataError(f"{where}: the value {text!r} is not a number.") from None
    for role in ("method", "task", "dataset"):
        if texts.get(role) == "":
            raise DataError(f"{where}: the {role} is empty.")
    return Result(
        texts.get("method", stem), texts["task"], texts.get("seed", "0"), value,
        texts.get("dataset"),
    )  # fmt: skip


def _joined(cells: Sequence[str], positions: Sequence[int]) -> str:
    return " · ".join(cells[position].strip() for position in positions)


def _dataset_names(entries: Iterable[Entry]) -> dict[str, str]:
    """Return the name of each entry's data set; the digest is added where it distinguishes."""
    digests: dict[str, set[str]] = {}
    for entry in entries:
        digests.setdefault(entry.dataset.label, set()).add(entry.dataset.digest or "")
    return {
        entry.id: f"{entry.dataset.label}@{(entry.dataset.digest or '')[:8]}"
        if len(digests[entry.dataset.label]) > 1
        else entry.dataset.label
        for entry in entries
    }


def _distinguishing(axes: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return, by id, the texts of those axes that have several; empty texts do not count."""
    values = [set(column) - {""} for column in zip(*axes.values(), strict=True)]
    return {
        key: [text for text, known in zip(texts, values, strict=True) if text and len(known) > 1]
        for key, texts in axes.items()
    }


def _setting(entry: Entry) -> list[str]:
    labels = entry.labels()
    return [labels["classifier"], labels["loss"], labels["protocol"]]


def _generation(entry: Entry) -> list[str]:
    """Return what distinguishes entries of one arm: how texts are made, and the rest."""
    return [
        entry.labels()["generator"],
        "" if entry.bins is None else f"{entry.bins} bins",
        "" if entry.threshold is None else f"threshold {entry.threshold:g}",
        entry.selector or "",
        "" if entry.alpha is None else f"alpha {entry.alpha:g}",
        entry.published.source if entry.published else "",
    ]


def _settings(entries: Sequence[Entry], tasks: Mapping[str, str]) -> dict[str, list[str]]:
    """Return, by id, the settings in which entries of one task, arm and calibrator differ."""
    alike: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        alike.setdefault((tasks[entry.id], entry.arm, entry.calibrator.label), []).append(entry)
    keys = {
        key
        for group in alike.values()
        for key in {key for entry in group for key in entry.settings}
        if len({canonical_json(entry.settings.get(key)) for entry in group}) > 1
    }
    return {
        entry.id: [
            f"{key}={canonical_json(entry.settings[key])}"
            for key in sorted(keys & set(entry.settings))
        ]
        for entry in entries
    }


def _method(entry: Entry, details: Sequence[str]) -> str:
    generation = f" ({', '.join(details)})" if details else ""
    calibrator = "" if "calibrator" in entry.neutral else f" + {entry.calibrator.label}"
    return f"{entry.arm}{generation}{calibrator}"
