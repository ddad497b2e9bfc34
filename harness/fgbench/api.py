"""The Python interface: `run` for a matrix, `evaluate` for anyone's predictions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgbench.cards import DataFolder
from fgbench.llm.budget import Caps
from fgbench.plan.plan import make_plan
from fgbench.plan.suite import Suite
from fgbench.plugins.registry import Registry
from fgbench.report.table import results_html, results_table
from fgbench.runs.execution import Execution, executor_reference
from fgbench.runs.session import FailedCell, run_plan
from fgbench.store import default_store, open_store

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from rich.console import RenderableType

    from fgbench.calibration.statistics import MetricSummary
    from fgbench.engine.events import Listener
    from fgbench.leaderboard.models import Leaderboard


@dataclass(frozen=True)
class Run:
    """A finished run: its id, its folder, its leaderboard, and the cells that failed."""

    id: str
    folder: Path
    leaderboard: Leaderboard
    failures: tuple[FailedCell, ...] = ()
    warnings: tuple[str, ...] = ()
    """What is doubtful about data and plugins: files that differ from their card, and the like."""

    def table(self) -> RenderableType:
        """Return the results as a rich table."""
        return results_table(self.leaderboard)

    def _repr_html_(self) -> str:
        return results_html(self.leaderboard)


def run(
    suite: str | Path | None = None,
    *,
    out: str | Path = "runs",
    store: str | Path | None = None,
    jobs: int = 1,
    executor: str | None = None,
    data_dir: str | Path | None = None,
    plugins: Iterable[str] = (),
    observers: Iterable[Listener] = (),
    max_cost: float | None = None,
    max_requests: int | None = None,
    max_tokens: int | None = None,
    replay: str | Path | None = None,
    **matrix: Any,
) -> Run:
    """Run a matrix and return its results.

    `suite` is a TOML file; `matrix` holds the keys of a suite (`dataset="tc"`, `seeds=[0, 1]`,
    `calibrators=["none", "temperature"]`, …), singular or plural, and replaces those of the file.
    With neither, the embedded default runs. Errors are `FgbenchError`s; cells that fail on the way
    are in `failures`, and the others keep their results. `max_cost` (US dollars), `max_requests`
    and `max_tokens` cap what the run asks of language models, earlier attempts at it included;
    with `replay`, a file of answers, it asks nothing and takes all answers from there. A script
    that asks for more than one job needs the guard `if __name__ == "__main__":`.
    """
    execution = Execution(
        executor_reference(executor, jobs),
        Caps(max_requests, max_tokens, max_cost),
        Path(replay) if replay is not None else None,
    )
    registry = Registry.load(plugins)
    values = {} if suite is None else Suite.read(Path(suite))
    given = Suite.normalised(matrix, where="run()")
    folder = DataFolder.from_environment(data_dir)
    plan = make_plan(Suite.build(values | given, where="run()"), registry, folder)
    outcome = run_plan(
        plan,
        registry,
        out=Path(out),
        store=open_store(Path(store) if store is not None else default_store()),
        execution=execution,
        observers=tuple(observers),
    )
    warnings = [*folder.warnings, *(f"{each.plugin}: {each.reason}" for each in registry.failures)]
    return Run(
        outcome.run_id,
        outcome.folder,
        outcome.leaderboard,
        tuple(outcome.failures),
        tuple(warnings),
    )


def evaluate(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    posterior: ArrayLike | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> dict[str, MetricSummary]:
    """Return every metric that applies to anyone's predictions, with bootstrap intervals.

    `probabilities` is (n, K), rows summing to 1, or (n,), taken as P(y=1); `labels` (n,) are class
    indices; `posterior` (n, K) is the true P(y|x), if it is known. Raises `DataError` for values
    that are no probabilities.
    """
    from fgbench.calibration.statistics import predictions_from_probabilities
    from fgbench.evaluating import assess

    predictions = predictions_from_probabilities(probabilities, labels, posterior=posterior)
    return assess(predictions, Registry.load(), replicates=replicates, seed=seed).metrics
