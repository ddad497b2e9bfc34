"""Summaries over data sets against TabArena's engine and scikit-posthocs, where installed.

bencheval ranks and compares within each seed and fgbench averages seeds first, so there is one seed
here. With missing values, bencheval's win rate averages over opponents as fgbench's does.
"""

import numpy as np
import pytest

from fgbench import Result, summarize_results


@pytest.fixture(scope="module", params=["complete", "ties", "missing"])
def values(request):
    values = np.random.default_rng(0).normal(size=(9, 5)) + 0.4 * np.arange(5)
    if request.param == "ties":
        values = values.round(0)
    if request.param == "missing":
        values[2, 1] = values[7, 4] = np.nan
    return values


def rows(values):
    return [
        Result(f"m{j}", f"t{i}", 0, float(values[i, j]))
        for i in range(values.shape[0])
        for j in range(values.shape[1])
    ]


def frame(values):
    pandas = pytest.importorskip("pandas")
    data = pandas.DataFrame(rows(values))
    return data[data["value"].notna()]


def test_win_rates_match_bencheval(values):
    winrates = pytest.importorskip("bencheval.winrate_utils")
    theirs = winrates.compute_winrate(frame(values), error_col="value")
    for item in summarize_results(rows(values)).methods:
        assert item.win_rate == pytest.approx(theirs[item.method], abs=1e-6)


def test_mean_ranks_match_bencheval(values):
    evaluator = pytest.importorskip("bencheval.evaluator")
    if np.isnan(values).any():
        pytest.skip("bencheval needs complete results for ranks")
    engine = evaluator.BenchmarkEvaluator(
        task_col="task", error_col="value", columns_to_agg_extra=None, negative_error_threshold=-99
    )
    theirs = engine.compute_rank(engine.compute_results_per_task(frame(values)))
    for item in summarize_results(rows(values)).methods:
        assert item.mean_rank == pytest.approx(theirs[item.method], abs=1e-9)


def test_critical_difference_matches_scikit_posthocs(values):
    posthocs = pytest.importorskip("scikit_posthocs")
    complete = values[~np.isnan(values).any(axis=1)]
    p_values = posthocs.posthoc_nemenyi_friedman(complete).to_numpy()
    summary = summarize_results(rows(complete))
    joined = {(a, b) for group in summary.groups for a in group for b in group}
    for i in range(len(p_values)):
        for j in range(i):
            assert ((f"m{i}", f"m{j}") in joined) == (p_values[i, j] > 0.05)
