"""Errors with messages for users.

Every expected error is an `FgbenchError`. Its message says in one or two sentences what is wrong,
where (file and line, option, cell), and how to fix it. The command line prints it without a
traceback and exits with `exit_code`.
"""

from __future__ import annotations

from collections.abc import Iterable


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


class StageError(FgbenchError):
    """A stage of a run failed; the cells that depend on it also fail."""

    exit_code = 1


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
