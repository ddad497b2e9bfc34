"""Boards of earlier versions: each step lifts a file's JSON by one version of the schema.

What a later version only adds has a default in the models, and needs no step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from fgbench.errors import LeaderboardError

SCHEMA: Literal["fgbench.leaderboard/1"] = "fgbench.leaderboard/1"

_NEUTRAL = {"loss": "cross-entropy", "calibrator": "none"}
"""The neutral parts that boards could hold before entries recorded them."""

Step = Callable[[dict[str, Any]], dict[str, Any]]
"""Takes the JSON value of a board of one version, returns that of the next but for `schema`."""

STEPS: Mapping[int, Step] = {}
"""By the version that a step starts from. `fgbench.leaderboard/1` is the first that was published:
a /2 comes with a step 1 here, and with a stored board of version 1 in its test."""


def migrated(
    value: dict[str, Any],
    where: str,
    *,
    steps: Mapping[int, Step] = STEPS,
    schema: str = SCHEMA,
) -> dict[str, Any]:
    """Return a board's JSON value as this version writes it; `where` names it in errors.

    Raises `LeaderboardError` for a newer schema, another one, or one that no step starts from.
    """
    found = value.get("schema")
    kind, _, newest = schema.partition("/")
    found_kind, _, digits = str(found).partition("/")
    if found_kind != kind or not (digits.isascii() and digits.isdigit()):
        raise LeaderboardError(f"{where}: schema: {found!r} is not {schema!r}.")
    version = int(digits)
    if version > int(newest):
        raise LeaderboardError(
            f"{where}: its schema {found} is newer than this fgbench reads ({schema}): upgrade."
        )
    while version < int(newest):
        if version not in steps:
            raise LeaderboardError(f"{where}: schema: no way leads from {found} to {schema}.")
        value = steps[version](value)
        version += 1
    return {**value, "schema": schema}


def unrecorded_neutral(entry: Mapping[str, Any]) -> list[str]:
    """Return `Entry.neutral` of an entry from before that field; `entry` has its validated axes."""
    return [axis for axis, name in _NEUTRAL.items() if axis in entry and entry[axis].name == name]
