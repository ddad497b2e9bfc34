"""The summary of a benchmark over data sets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fgbench.errors import DataError, did_you_mean
from fgbench.inference.across import ranks
from fgbench.inference.across.effects import Effect, effect, judged
from fgbench.inference.across.results import ResultTable, result_table
from fgbench.numbers import count, number, plural
from fgbench.records import Interval, Record

if TYPE_CHECKING:
    from fgbench.inference.across.results import Result

Floats = NDArray[np.float64]

_SMALL_P = 0.001


class MethodSummary(Record):
    """One method over all tasks.

    `win_rate` is the mean over the other methods of the share of common tasks on which it is better
    (ties count ½), `mean_rank` the mean rank from 1 (best). The intervals are 95 % bootstrap
    intervals over whole data sets.
    """

    mean_rank: float | None = None
    mean_rank_interval: Interval | None = None
    method: str
    tasks: int
    win_rate: float | None = None
    win_rate_interval: Interval | None = None


class ResultsSummary(Record):
    """A benchmark over data sets: methods, best first, effects, and what cannot be told apart.

    `effects` are those against the `reference`, `pairs` those of all methods (a better-ranked one
    against a worse one). `declared` says whether the reference was named. `groups` are the largest
    sets of methods that cannot be told apart by their mean ranks. `ranked_tasks` are the tasks that
    have all methods; ranks are over those only. `least_p_sign` is the smallest p-value that a sign
    test of so many data sets can have.
    """

    critical_difference: float | None = None
    datasets: int
    declared: bool = False
    effects: list[Effect]
    groups: list[list[str]]
    higher_is_better: bool
    least_p_sign: float
    methods: list[MethodSummary]
    notes: list[str] = Field(default_factory=list)
    p_friedman: float | None = None
    pairs: list[Effect]
    ranked_tasks: int
    reference: str
    tasks: int


def summarize_results(
    results: Iterable[Result | tuple[object, ...]],
    *,
    higher_is_better: bool = False,
    reference: str | None = None,
    margin: float | None = None,
    seed: int = 0,
) -> ResultsSummary:
    """Summarize a long table of results over data sets.

    `results` are rows (method, task, seed, value) or (method, task, seed, value, dataset); see
    `Result`. Values of several seeds are averaged first. A missing value (NaN) leaves out its row.
    Effects and win rates are over the tasks that both methods have, ranks over those that all have.
    An infinite value is the worst or the best there is; it has a rank, but no mean. `reference` is
    the method that all others are compared with, by default the best-ranked. p-values against a
    named reference are adjusted over its m − 1 comparisons; otherwise over all pairs, because the
    best one was chosen by looking. A difference is `within` a `margin` by two one-sided tests.

    Raises `DataError` for fewer than two methods, no values, duplicate rows, a task in two data
    sets, or an unknown reference.
    """
    if margin is not None and not margin > 0:
        raise DataError(f"the margin must be above 0, not {margin}.")
    table = result_table(results)
    if reference is not None and reference not in table.methods:
        raise DataError(
            f"no method {reference!r} in the results. {did_you_mean(reference, table.methods)}"
        )
    cost = -table.values if higher_is_better else table.values
    ranked = ~np.isnan(cost).any(axis=1)
    blocks = ranks.block_ranks(cost[ranked], table.dataset[ranked])
    k = len(table.datasets)
    wins, matches = ranks.wins_of(cost, table.dataset, k)
    win_rates = ranks.win_rates(wins.sum(axis=0), matches.sum(axis=0))
    mean_ranks = blocks.mean(axis=0) if len(blocks) else None
    order = np.argsort(-win_rates if mean_ranks is None else mean_ranks, kind="stable")
    methods = [table.methods[index] for index in order]
    pairs = judged(
        [
            effect(table, cost, order[i], order[j], higher_is_better, margin)
            for i in range(len(order))
            for j in range(i + 1, len(order))
        ],
        higher_is_better,
    )
    chosen = methods[0] if reference is None else reference
    against = [
        pair if pair.reference == chosen else pair.reversed()
        for pair in pairs
        if chosen in (pair.method, pair.reference)
    ]
    difference = ranks.critical_difference(len(methods), len(blocks)) if len(blocks) > 1 else None
    groups: list[list[str]] = []
    if difference is not None and mean_ranks is not None:
        groups = ranks.inseparable(methods, mean_ranks[order], difference)
    return ResultsSummary(
        critical_difference=difference,
        datasets=k,
        declared=reference is not None,
        effects=against if reference is None else judged(against, higher_is_better),
        groups=groups,
        higher_is_better=higher_is_better,
        least_p_sign=min(1.0, 2.0 * 0.5**k),
        methods=_method_summaries(
            table,
            order,
            win_rates,
            ranks.resampled_win_rates(wins, matches, ranks.datasets_drawn(k, seed)),
            blocks,
            ranks.datasets_drawn(len(blocks), seed),
        ),
        notes=_notes(table, int(ranked.sum()), len(blocks)),
        p_friedman=ranks.friedman(blocks),
        pairs=pairs,
        ranked_tasks=int(ranked.sum()),
        reference=chosen,
        tasks=len(table.tasks),
    )


def _method_summaries(
    table: ResultTable,
    order: NDArray[np.intp],
    win_rates: Floats,
    resampled_win_rates: Floats,
    blocks: Floats,
    draws_of_blocks: Floats,
) -> list[MethodSummary]:
    k, ranked = len(table.datasets), len(blocks)
    resampled_ranks = draws_of_blocks @ blocks / max(ranked, 1)
    valued = (~np.isnan(table.values)).sum(axis=0)
    summaries = []
    for index in order.tolist():
        rank = float(blocks[:, index].mean()) if ranked else None
        rate = None if np.isnan(win_rates[index]) else float(win_rates[index])
        ranks_drawn, rates_drawn = resampled_ranks[:, index], resampled_win_rates[:, index]
        summaries.append(
            MethodSummary(
                mean_rank=rank,
                mean_rank_interval=None
                if rank is None
                else ranks.bootstrap_interval(
                    rank, ranks_drawn, ranked, (1.0, float(len(table.methods)))
                ),
                method=table.methods[index],
                tasks=int(valued[index]),
                win_rate=rate,
                win_rate_interval=None
                if rate is None
                else ranks.bootstrap_interval(rate, rates_drawn, k, (0.0, 1.0)),
            )
        )
    return summaries


def _notes(table: ResultTable, ranked_tasks: int, ranked_datasets: int) -> list[str]:
    """Return what a reader must know, a sentence each."""
    tasks, k = len(table.tasks), len(table.datasets)
    notes = []
    if k == 1:
        notes.append(f"One data set ({table.datasets[0]}): nothing is known about others.")
    elif 2.0 * 0.5**k > _SMALL_P:
        least = number(2.0 * 0.5**k)
        notes.append(f"{k} data sets cannot show p < {least} in a sign test, whatever the results.")
    if ranked_tasks < tasks:
        valued = (~np.isnan(table.values)).sum(axis=0)
        worst = int(np.argmin(valued))
        notes.append(
            f"Not every method has a value on {count(tasks - ranked_tasks)} of "
            f"{plural(tasks, 'task')} ({table.methods[worst]} has {count(int(valued[worst]))}). "
            + (
                f"Ranks are over the other {plural(ranked_tasks, 'task')} of "
                f"{plural(ranked_datasets, 'data set')}; effects and win rates are over the tasks "
                "that both methods have."
                if ranked_tasks
                else "No task has all methods, so there are no mean ranks."
            )
        )
    if table.missing:
        notes.append(f"{plural(table.missing, 'row')} without a value left out.")
    if table.uneven:
        notes.append(
            f"Methods have different seeds on {plural(table.uneven, 'task')}: each one's mean is "
            "over its own."
        )
    if np.isinf(table.values).any():
        notes.append("Infinite values have a rank, but no mean.")
    return notes
