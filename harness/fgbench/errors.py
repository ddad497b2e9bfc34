"""Errors with messages for users.

Every expected error is an `FgbenchError`. Its message says in one or two sentences what is wrong,
where (file and line, option, cell), and how to fix it. The command line prints it without a
traceback and exits with `exit_code`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails


class FgbenchError(Exception):
    """Base class of all errors that fgbench raises on purpose."""

    exit_code = 2


class ConfigurationError(FgbenchError):
    """A suite, an option or a parameter is invalid."""


class IncompatiblePartsError(ConfigurationError):
    """A combination of parts cannot work together."""


class DataError(FgbenchError):
    """A data set is missing, malformed or unusable."""


class PluginError(FgbenchError):
    """A plugin cannot be loaded or violates its contract."""


class StoreError(FgbenchError):
    """The store or an output folder cannot be read or written."""


class CorruptArtifactError(StoreError):
    """A stored artifact is missing or corrupt; `key` is its key, if it is known."""

    def __init__(self, message: str, key: str | None = None) -> None:
        super().__init__(message)
        self.key = key


class LeaderboardError(FgbenchError):
    """A leaderboard file is malformed or fails verification."""


class BudgetError(FgbenchError):
    """A cap on requests, tokens or cost is reached."""

    exit_code = 1


class UnansweredError(FgbenchError):
    """Requests to a language model got no answer, or a replay lacks their answers."""

    exit_code = 1


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Return a sentence for an unknown name that suggests the nearest choice or lists all."""
    from difflib import get_close_matches

    names = sorted(choices)
    folded = {choice.casefold(): choice for choice in reversed(names)}
    matches = get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    if matches:
        return f"Did you mean {folded[matches[0]]!r}?"
    if not names:
        return "There are none."
    return f"Available: {', '.join(names)}."


def validation_sentence(error: ValidationError, known: Iterable[str] = ()) -> str:
    """Return what is wrong with a value that pydantic refused: where, what it is, and why.

    Several problems are counted and the first is shown; an unknown key goes first, for it explains
    a missing one. `known` are the keys of the outermost table, to suggest the nearest one from.
    """
    problems = error.errors(include_url=False)
    first = min(problems, key=lambda problem: problem["type"] not in _UNKNOWN_KEY)
    place = _place(first["loc"])
    if first["type"] in _UNKNOWN_KEY:
        names = list(known) if len(first["loc"]) == 1 else []
        return f"unknown key {place!r}{_missing_beside(first['loc'], problems)}." + (
            f" {did_you_mean(place, names)}" if names else ""
        )
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    if first["type"].startswith("missing"):
        return f"the key {place!r} is missing{more}."
    message = first["msg"].removeprefix("Value error, ")
    is_shown = place and first["type"] != "value_error"
    value = f" = {first['input']!r}" if is_shown and _is_short(first["input"]) else ""
    return f"{place}{value}: {message}{more}." if place else f"{message}{more}."


_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")


def _place(location: tuple[int | str, ...]) -> str:
    place = ""
    for step in location:
        place += f"[{step}]" if isinstance(step, int) else f".{step}" if place else step
    return place


def _missing_beside(location: tuple[int | str, ...], problems: Iterable[ErrorDetails]) -> str:
    """Return which keys the table of an unknown key lacks: one of them was probably meant."""
    missing = [
        repr(problem["loc"][-1])
        for problem in problems
        if problem["type"] == "missing" and problem["loc"][:-1] == location[:-1]
    ]
    return f", and {' and '.join(missing)} missing" if missing else ""


def _is_short(value: Any) -> bool:
    return isinstance(value, str | int | float | None) and len(repr(value)) <= 60
