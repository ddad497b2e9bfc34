"""Errors that a user can act on.

Every error raised on purpose is an `FgbenchError`. Its message is one or two sentences: what is
wrong, where (file and line, option, cell), and what to do. The command line prints it without a
traceback and ends with `exit_code`.
"""

from __future__ import annotations

from collections.abc import Iterable


class FgbenchError(Exception):
    """Base of all errors that fgbench raises on purpose."""

    exit_code = 2


class ConfigurationError(FgbenchError):
    """A suite, an option or a parameter is wrong."""


class IncompatiblePartsError(ConfigurationError):
    """Parts that cannot work together were combined."""


class DataError(FgbenchError):
    """A data set is missing, malformed or unusable."""


class PluginError(FgbenchError):
    """A plugin cannot be loaded, or breaks its contract."""


class StoreError(FgbenchError):
    """The store or an output folder cannot be written or read."""


class CorruptArtifactError(StoreError):
    """A stored artifact is missing or does not match its digest; `key` is its key, if known."""

    def __init__(self, message: str, key: str | None = None) -> None:
        super().__init__(message)
        self.key = key


class LeaderboardError(FgbenchError):
    """A leaderboard file is malformed, or does not verify."""


class StageError(FgbenchError):
    """A stage of a run failed; the cells that stand on it fail with it."""

    exit_code = 1


class BudgetError(FgbenchError):
    """A cap on requests, tokens or cost is reached."""

    exit_code = 1


class UnansweredError(FgbenchError):
    """A language model left requests unanswered, or a replay does not hold their answers."""

    exit_code = 1


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a sentence that helps with an unknown name: the nearest known one, or all of them."""
    from difflib import get_close_matches

    names = sorted(known)
    folded = {known_name.casefold(): known_name for known_name in reversed(names)}
    close = get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    if close:
        return f"Did you mean {folded[close[0]]!r}?"
    if not names:
        return "There are none."
    return f"Known: {', '.join(names)}."
