"""The hooks through which plugins, the built-in one included, add parts and watch runs.

Each `fgbench_<kind>` hook is called once with a `register` callback:

    @hookimpl
    def fgbench_calibrators(register):
        register("histogram", "my_package.calibrators:Histogram", "Histogram binning")

The reference "module:attribute" is imported when the part is used, and not before, so a plugin's
hook module needs to import nothing heavy. `extra` names the optional dependencies that the part
needs, for the error message: `register(..., extra="fgbench[transformers]")`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pluggy

if TYPE_CHECKING:
    from collections.abc import Mapping

hookspec = pluggy.HookspecMarker("fgbench")
hookimpl = pluggy.HookimplMarker("fgbench")


class Register(Protocol):
    """The callback that every registration hook is given."""

    def __call__(
        self, name: str, target: str, summary: str = "", *, extra: str | None = None
    ) -> None:
        """Offer the part at `target`, "module:attribute", under `name`."""


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
def fgbench_run_started(run: Mapping[str, Any]) -> None:
    """A run starts: `id`, `folder`, `suite` (resolved), `cells`, `stages`."""


@hookspec
def fgbench_stage_finished(stage: Mapping[str, Any]) -> None:
    """A stage ended: `stage`, `label`, `key`, `status` (finished, cached,
    shared or failed), `seconds`."""


@hookspec
def fgbench_cell_finished(cell: Mapping[str, Any]) -> None:
    """A cell ended: its coordinates, `status`, and its `metrics` or its `error`."""


@hookspec
def fgbench_run_finished(run: Mapping[str, Any]) -> None:
    """A run ended: `id`, `folder`, `status`, `leaderboard` (the path)."""
