"""The hooks through which plugins, built-in ones included, add parts and commands and watch runs.

Each registration hook is called once with a `register` callback:

    @hookimpl
    def fgbench_calibrators(register):
        register("histogram", "my_package.calibrators:Histogram", "Histogram binning")

The target "module:attribute" is imported on first use, so a plugin's hook module needs to import
nothing heavy. `extra` names the optional dependencies that the target needs, for the error message:
`register(..., extra="fgbench[transformers]")`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pluggy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

hookspec = pluggy.HookspecMarker("fgbench")
hookimpl = pluggy.HookimplMarker("fgbench")


class Register(Protocol):
    """The callback of the hooks that register parts and commands."""

    def __call__(
        self, name: str, target: str, summary: str = "", *, extra: str | None = None
    ) -> None:
        """Register what `target`, "module:attribute", refers to under `name`."""


class RegisterLeaderboard(Protocol):
    """The callback of the hook that registers leaderboards."""

    def __call__(self, name: str, folder: str | Path, summary: str = "") -> None:
        """Register the board in a folder, an absolute path, under `name`.

        The folder holds `leaderboard.json`, or `reference.json` for published figures, and
        optionally `suite.toml`, which reproduces the board.
        """


class Default(Protocol):
    """The callback that `fgbench_defaults` is given."""

    def __call__(self, kind: str, *names: str) -> None:
        """Set the parts of `kind` in a suite that names none."""


@hookspec
def fgbench_datasets(register: Register) -> None:
    """Register `DatasetLoader` classes."""


@hookspec
def fgbench_classifiers(register: Register) -> None:
    """Register `Classifier` classes."""


@hookspec
def fgbench_losses(register: Register) -> None:
    """Register `Loss` classes."""


@hookspec
def fgbench_generators(register: Register) -> None:
    """Register `Generator` classes."""


@hookspec
def fgbench_calibrators(register: Register) -> None:
    """Register `Calibrator` classes."""


@hookspec
def fgbench_metrics(register: Register) -> None:
    """Register `Metric` classes."""


@hookspec
def fgbench_executors(register: Register) -> None:
    """Register `Executor` classes."""


@hookspec
def fgbench_defaults(default: Default) -> None:
    """Name the parts of a suite that names none: `default("loss", "cross-entropy")`.

    Of several plugins with defaults for a kind, the one loaded last wins; local files come last.
    """


@hookspec
def fgbench_commands(register: Register) -> None:
    """Register commands of the command line, each a `click.Command`."""


@hookspec
def fgbench_leaderboards(register: RegisterLeaderboard) -> None:
    """Register leaderboards, which commands then accept by name."""


@hookspec
def fgbench_run_started(run: Mapping[str, Any]) -> None:
    """A run started: `id`, `folder`, `suite` (resolved), `cells` and `stages` (how many)."""


@hookspec
def fgbench_stage_finished(stage: Mapping[str, Any]) -> None:
    """A stage ended: `stage`, `label`, `key`, `seconds`, `error`, `status`.

    The status is finished, cached, shared or failed.
    """


@hookspec
def fgbench_cell_finished(cell: Mapping[str, Any]) -> None:
    """A cell ended: its coordinates, `status`, and `metrics` or `error`."""


@hookspec
def fgbench_run_finished(run: Mapping[str, Any]) -> None:
    """A run ended: `id`, `folder`, `status`, `leaderboard` (the path)."""
