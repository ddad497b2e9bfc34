"""Read boards of earlier versions: each step converts a file's JSON to the next schema version.

A field that a later version adds has a default in the models, and needs no step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from fgbench.errors import LeaderboardError

SCHEMA: Literal["fgbench.leaderboard/1"] = "fgbench.leaderboard/1"

_NEUTRAL = {"loss": "cross-entropy", "calibrator": "none"}
"""The neutral parts that boards could hold before entries recorded them."""

Step = Callable[[dict[str, Any]], dict[str, Any]]
"""Converts the JSON value of a board to the next version, except for `schema`."""

STEPS: Mapping[int, Step] = {}
"""By the version that a step starts from. `fgbench.leaderboard/1` is the first published version:
version 2 needs a step 1 here, and a stored board of version 1 in its test."""


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
