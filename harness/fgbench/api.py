"""The Python interface: run a matrix, regenerate a board, evaluate or compare any predictions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgbench.cards import DataFolder
from fgbench.errors import ConfigurationError
from fgbench.inference import REPLICATES
from fgbench.leaderboard.bundled import board_path
from fgbench.leaderboard.verdict import verdict_of
from fgbench.llm.budget import Caps
from fgbench.plan.plan import make_plan
from fgbench.plan.suite import Suite
from fgbench.plugins.registry import Registry
from fgbench.report.table import results_html, results_table
from fgbench.runs.consent import Allow, Consent, ConsentFile, parts_of_suite
from fgbench.runs.execution import Execution
from fgbench.runs.regenerate import Regeneration
from fgbench.runs.regenerate import regenerate as regenerate_board
from fgbench.runs.session import FailedCell, run_plan
from fgbench.store import default_store, open_store

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from rich.text import Text

    from fgbench.engine.events import Event, Listener
    from fgbench.evaluation.assessment import Assessment
    from fgbench.evaluation.comparison import PredictionComparison
    from fgbench.leaderboard.models import Leaderboard
    from fgbench.leaderboard.verdict import Verdict


@dataclass(frozen=True)
class Run:
    """A finished run: its id, its folder, its leaderboard, and the cells that failed."""

    id: str
    folder: Path
    leaderboard: Leaderboard = field(repr=False)
    failures: tuple[FailedCell, ...] = ()
    warnings: tuple[str, ...] = ()
    """Warnings about data and plugins, such as files that differ from their card."""
    notes: tuple[str, ...] = ()
    """What loaders guessed or left out, such as columns and invalid rows."""

    @cached_property
    def verdict(self) -> Verdict:
        """Whether targeted synthesis helps beyond its controls, and what that rests on."""
        return verdict_of(self.leaderboard)

    def table(self) -> Text:
        """Return all results as text, one line per entry."""
        return results_table(self.leaderboard)

    def _repr_html_(self) -> str:
        return f"<p><b>{escape(self.verdict.headline)}</b></p>{results_html(self.leaderboard)}"


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
    allow: Allow | None = None,
    **matrix: Any,
) -> Run:
    """Run a matrix and return its results.

    `suite` is a TOML file. `matrix` has keys of a suite (`dataset="tc"`, `seeds=[0, 1]`,
    `calibrators=["none", "temperature"]`, …), singular or plural, which override those of the file.
    Without either, the embedded default runs.

    `max_cost` (US dollars), `max_requests` and `max_tokens` cap the use of language models by the
    run, including earlier attempts. With `replay`, a file of answers, no requests are sent and all
    answers are read from the file.

    A suite file can only use the hosts, key variables, local paths and plugins that `allow` names,
    or that were allowed on a terminal before; `ConfigurationError` otherwise.

    Raises `FgbenchError`. Cells that fail are listed in `failures`; all other results are kept.
    """
    _refuse_import_of_main()
    execution = Execution(
        executor,
        jobs,
        Caps(max_requests, max_tokens, max_cost),
        Path(replay) if replay is not None else None,
    )
    registry = Registry.load(plugins)
    values = {} if suite is None else Suite.read(Path(suite))
    overrides = Suite.keys(matrix, where="run()")
    folder = DataFolder.from_environment(data_dir)
    built = Suite.build(values | overrides, where="run()")
    if suite is not None:
        named = parts_of_suite(built, values.keys() - overrides.keys(), registry)
        Consent(allow or Allow()).require(Path(suite), named, registry)
    plan = make_plan(built, registry, folder)
    outcome = run_plan(
        plan,
        registry,
        out=Path(out).absolute(),
        store=open_store(Path(store) if store is not None else default_store()),
        execution=execution,
        observers=tuple(observers),
    )
    plugin_warnings = [f"{failure.plugin}: {failure.reason}" for failure in registry.failures]
    return Run(
        outcome.run_id,
        outcome.folder,
        outcome.leaderboard,
        tuple(outcome.failures),
        (*folder.warnings, *plugin_warnings),
        tuple(folder.notes),
    )


def _refuse_import_of_main() -> None:
    """Raise `ConfigurationError` in a child process that is still importing the user's script.

    The script would start the same run again, once per process of a pool of its own.
    """
    from multiprocessing import current_process

    if getattr(current_process(), "_inheriting", False):
        raise ConfigurationError(
            "fgbench.run was called while a new process imports this script: put the call under "
            '`if __name__ == "__main__":`.'
        )


def regenerate(
    board: str | Path,
    *,
    entries: Iterable[str] = (),
    out: str | Path = "regenerated",
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
    allow: Allow | None = None,
) -> Regeneration:
    """Run what produced the entries of a board again, and compare.

    `board` is a run folder, a board, or the name of a board that comes with fgbench; `entries` are
    ids or their beginnings (default: all). Nothing that earlier runs stored is reused unless
    `store` is given. The board can only use the hosts, key variables, local paths and plugins that
    `allow` names, or that were allowed on a terminal before. For the other parameters see `run`.

    Raises `FgbenchError`. Differences are in the result.
    """
    execution = Execution(
        executor,
        jobs,
        Caps(max_requests, max_tokens, max_cost),
        Path(replay) if replay is not None else None,
    )
    registry = Registry.load(plugins)
    listeners = tuple(observers)

    def notify(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return regenerate_board(
        board_path(Path(board), registry),
        registry,
        DataFolder.from_environment(data_dir),
        out=Path(out).absolute(),
        execution=execution,
        consent=Consent(allow or Allow()),
        entry_prefixes=tuple(entries),
        store=open_store(Path(store)) if store is not None else None,
        observe=lambda plan, chosen, account: nullcontext(notify),
    )


def trust(suite: str | Path, *, plugins: Iterable[str] = ()) -> None:
    """Remember that a suite file may use what it names: hosts, key variables, paths and plugins.

    For files that a program writes for its user. It is forgotten when the file changes. Raises
    `FgbenchError` if the file is no suite or the record cannot be written.
    """
    file, registry = Path(suite), Registry.load(plugins)
    values = Suite.read(file)
    named = parts_of_suite(Suite.build(values, where=str(file)), values.keys(), registry)
    Consent(memory=ConsentFile.of_user()).remember(file, named, registry)


def evaluate(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    seeds: int | None = None,
    groups: ArrayLike | None = None,
    posterior: ArrayLike | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Assessment:
    """Compute every applicable metric for predictions from any source, with its 95 % interval.

    `probabilities` is (n, K) with rows that sum to 1, or (n,) for P(y=1); of S seeds on the same
    rows, (S, n, K) or (S, n). `labels` (n,) are class indices. `seeds` is S where the shape (n, n)
    leaves it open. Rows of the same label in `groups` (n,), such as rows of one text or one person,
    count as one. `posterior` (n, K) is the true P(y|x), if it is known. The result prints as a
    table, `result["ece"]` is one metric, and `result.plot("reliability.pdf")` draws the
    reliability diagram. Raises `DataError` for invalid probabilities, labels or groups.
    """
    from fgbench.evaluation.assessment import assess
    from fgbench.evaluation.shapes import predictions_of

    predictions = predictions_of(
        "probabilities", probabilities, labels, seeds=seeds, posterior=posterior, groups=groups
    )
    return assess(predictions, Registry.load(), replicates=replicates, seed=seed)


def compare(
    a: ArrayLike,
    b: ArrayLike,
    labels: ArrayLike,
    *,
    seeds: int | None = None,
    groups: ArrayLike | None = None,
    posterior: ArrayLike | None = None,
    metrics: Sequence[str] | None = None,
    margins: float | Mapping[str, float] | None = None,
    names: tuple[str, str] = ("a", "b"),
    replicates: int = REPLICATES,
    seed: int = 0,
) -> PredictionComparison:
    """Compare two sets of predictions of the same rows: is `a` better than `b`?

    `a` and `b` are probabilities: (n,) for P(y=1) or (n, K); of S seeds on the same rows, (S, n) or
    (S, n, K). Seeds are paired by position. `labels`, `seeds`, `groups` and `posterior` are those
    of `evaluate`. `metrics` are names, with parameters if need be (`"ece:bins=10"`), by default
    accuracy, ece, nll and brier. `margins` are the differences that do not matter, by metric or one
    for all; by default, those that the metrics declare.

    The result prints as a table. `result["ece"]` has the values, the difference a − b, its interval
    and p-value over seeds and test rows, and a word: "better", "worse", "within" (the margin),
    "cannot tell", or "none" where no inference is possible: one seed speaks of two trained models
    only, not of the methods. Raises `DataError` for invalid or unpaired predictions, and
    `ConfigurationError` for a metric or margin that does not fit.
    """
    from fgbench.evaluation.comparison import compare_predictions
    from fgbench.evaluation.shapes import predictions_of

    first, second = (
        predictions_of(name, side, labels, seeds=seeds, posterior=posterior, groups=groups)
        for name, side in (("a", a), ("b", b))
    )
    return compare_predictions(
        first,
        second,
        Registry.load(),
        metrics=metrics,
        margins=margins,
        names=names,
        replicates=replicates,
        seed=seed,
    )
