"""What the harness adds to the work of its parts: at most 10 ms a cell."""

import pytest

import fgbench
from support.runs import PROBE

CELLS = 1000
PER_CELL = 0.010
"""Seconds; the promise of the harness for a classifier that does nothing."""


@pytest.mark.slow
def test_overhead_of_a_cell(benchmark, tmp_path):
    """1,000 cells with a classifier and a generator that do nothing, from an empty store.

    Two baselines × 5 calibrators × 20 seeds, and 4 arms × 2 bin counts × 5 calibrators × 20 seeds.
    """
    turns = iter(range(100))

    def setup():
        turn = next(turns)
        return (tmp_path / f"runs{turn}", tmp_path / f"store{turn}"), {}

    def run(out, store):
        return fgbench.run(
            dataset="probe:rows=100",
            calibrators=["none", "halve", "temperature", "platt", "isotonic"],
            bins=[5, 10],
            seeds=list(range(20)),
            out=out,
            store=store,
            plugins=[str(PROBE)],
        )

    outcome = benchmark.pedantic(run, setup=setup, rounds=1, warmup_rounds=0)
    cells = len(outcome.leaderboard.entries) * 20
    assert outcome.failures == ()
    assert cells == CELLS
    benchmark.extra_info["ms_per_cell"] = 1000 * benchmark.stats.stats.min / cells
