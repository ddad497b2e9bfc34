"""Read boards of earlier versions: each step converts a file's JSON to the next schema version.

A field that a later version adds has a default in the models, and needs no step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from fgbench.errors import LeaderboardError

SCHEMA: Literal["fgbench.leaderboard/2"] = "fgbench.leaderboard/2"

OLD_FIELDS = frozenset({"baseline", "versus_baseline", "real", "versus_real"})
"""Fields of entries that only version 1 has."""

_LEVEL = 0.05
_SHOWN = ("accuracy", "nll", "true_calibration_error")
"""The metrics that tables showed before boards recorded them."""

_NEUTRAL = {"loss": "cross-entropy", "calibrator": "none"}
"""The neutral parts that boards could hold before entries recorded them."""

Step = Callable[[dict[str, Any]], dict[str, Any]]
"""Converts the JSON value of a board to the next version, except for `schema`."""


def _contrasts(board: dict[str, Any]) -> dict[str, Any]:
    """Convert version 1: comparisons with two controls become contrasts with any number.

    Their families and intervals are those of an earlier inference, so that `statistics.version` is
    left at its default.
    """
    entries = board.get("entries")
    if not isinstance(entries, list):  # validation reports it
        return board
    converted = [with_contrasts(entry) for entry in entries]
    return {**board, "entries": converted, "shown": list(_SHOWN)}


def with_contrasts(entry: Any) -> Any:
    """Return an entry of version 1 as one of version 2."""
    if not isinstance(entry, dict):
        return entry
    value = {name: item for name, item in entry.items() if name not in OLD_FIELDS}
    contrasts = {}
    for kind in ("baseline", "real"):
        records = entry.get(f"versus_{kind}") or {}
        if entry.get(kind) is not None and isinstance(records, dict):
            contrasts[kind] = {
                "entry": entry[kind],
                "metrics": {
                    name: _contrast(record, name in (entry.get("higher_is_better") or ()))
                    for name, record in records.items()
                },
            }
    if contrasts:
        value["contrasts"] = contrasts
    statistics = entry.get("statistics")
    if isinstance(statistics, dict):
        value["statistics"] = {key: item for key, item in statistics.items() if key != "version"}
    return value


def _contrast(record: Any, higher_is_better: bool) -> Any:
    if not isinstance(record, dict):
        return record
    names = {"ci95": "interval", "delta": "difference"}
    value = {names.get(name, name): item for name, item in record.items()}
    difference, p_adjusted = value.get("difference"), value.get("p_adjusted")
    if not isinstance(p_adjusted, float | int) or not isinstance(difference, float | int):
        value["word"] = "none"
    elif p_adjusted >= _LEVEL or difference == 0:
        value["word"] = "cannot tell"
    else:
        value["word"] = "better" if (difference > 0) == higher_is_better else "worse"
    return value


STEPS: Mapping[int, Step] = {1: _contrasts}
"""By the version that a step starts from. Each step needs a stored board of that version in its
test."""


def migrated(
    value: dict[str, Any],
    where: str,
    *,
    steps: Mapping[int, Step] = STEPS,
    schema: str = SCHEMA,
) -> dict[str, Any]:
    """Return a board's JSON value in the current schema; `where` names the file in errors.

    Raises `LeaderboardError` for a newer schema, an unknown one, or one without a step.
    """
    name = value.get("schema")
    kind, _, newest = schema.partition("/")
    named_kind, _, digits = str(name).partition("/")
    if named_kind != kind or not (digits.isascii() and digits.isdigit()):
        raise LeaderboardError(f"{where}: schema: expected {schema!r}, not {name!r}.")
    version = int(digits)
    if version > int(newest):
        raise LeaderboardError(
            f"{where}: schema {name} is newer than {schema}, the newest that this fgbench reads. "
            "Upgrade fgbench."
        )
    while version < int(newest):
        if version not in steps:
            raise LeaderboardError(f"{where}: cannot convert schema {name} to {schema}.")
        value = steps[version](value)
        version += 1
    return {**value, "schema": schema}


def unrecorded_neutral(entry: Mapping[str, Any]) -> list[str]:
    """Return `Entry.neutral` of an entry from before that field; `entry` has its validated axes."""
    return [axis for axis, name in _NEUTRAL.items() if axis in entry and entry[axis].name == name]
