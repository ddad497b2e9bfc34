"""Summaries over data sets: effects, sign tests, win rates, ranks, and what they refuse."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fgbench import DataError, Result, summarize_results
from fgbench.inference.across import critical_difference, mean_effect_interval, sign_test
from fgbench.inference.across.ranks import bootstrap_interval, datasets_drawn


def table(values, methods="ABCDEFGHIJ", seed=0):
    """Return rows of an array (tasks, methods)."""
    return [
        Result(methods[j], f"task {i}", seed, float(value))
        for i, row in enumerate(values)
        for j, value in enumerate(row)
    ]


def pair(summary, a, b):
    """Return the effect of a against b."""
    for effect in summary.pairs:
        if (effect.method, effect.reference) == (a, b):
            return effect
        if (effect.method, effect.reference) == (b, a):
            return effect.reversed()
    raise AssertionError((a, b))


def of(summary, method):
    return next(item for item in summary.methods if item.method == method)


def test_mean_effect_is_the_paired_t_test_over_datasets():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(7, 2))
    effect = pair(summarize_results(table(values)), "A", "B")
    expected = stats.ttest_rel(values[:, 0], values[:, 1])
    assert effect.difference == pytest.approx(np.mean(values[:, 0] - values[:, 1]))
    assert effect.p_value == pytest.approx(expected.pvalue)
    assert effect.interval == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_tasks_of_one_dataset_count_once():
    """Repeating every task of a data set adds no evidence."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(5, 3))
    once = summarize_results(table(values))
    repeated = [
        row._replace(task=f"{row.task}, model {copy}", dataset=row.task)
        for copy in range(4)
        for row in table(values)
    ]
    often = summarize_results(repeated)
    assert often.datasets == 5
    assert often.tasks == 20
    assert often.critical_difference == once.critical_difference
    for effect in once.pairs:
        other = pair(often, effect.method, effect.reference)
        assert other.p_value == pytest.approx(effect.p_value)
        assert (other.wins, other.losses) == (effect.wins, effect.losses)
    for method in once.methods:
        other = of(often, method.method)
        assert other.win_rate == pytest.approx(method.win_rate)
        assert other.mean_rank_interval == pytest.approx(method.mean_rank_interval)


def test_sign_test_is_the_binomial_test_and_has_a_limit():
    for wins, losses in [(6, 0), (5, 1), (3, 3), (10, 2)]:
        expected = stats.binomtest(wins, wins + losses).pvalue
        assert sign_test(wins, losses) == pytest.approx(expected)
    six = summarize_results(table([[0.1, 0.2]] * 6))
    effect = pair(six, "A", "B")
    assert (effect.wins, effect.ties, effect.losses) == (6, 0, 0)
    assert effect.p_sign == pytest.approx(2 * 0.5**6)
    assert six.least_p_sign == effect.p_sign
    assert any("6 data sets cannot show p < .031" in note for note in six.notes)


def test_hand_worked_ranks_and_win_rates():
    # A wins the first task, ties with B on the second, and is last on the third.
    values = [[1.0, 2.0, 3.0], [1.0, 1.0, 2.0], [3.0, 1.0, 2.0]]
    summary = summarize_results(table(values))
    assert of(summary, "A").mean_rank == pytest.approx((1 + 1.5 + 3) / 3)
    assert of(summary, "B").mean_rank == pytest.approx((2 + 1.5 + 1) / 3)
    assert of(summary, "C").mean_rank == pytest.approx((3 + 3 + 2) / 3)
    assert of(summary, "A").win_rate == pytest.approx(((1 + 0.5 + 0) / 3 + (1 + 1 + 0) / 3) / 2)
    effect = pair(summary, "A", "B")
    assert (effect.wins, effect.ties, effect.losses) == (1, 1, 1)
    assert effect.p_sign == 1.0


def test_critical_difference_of_demsar():
    """Demšar 2006, section 3.2.2: four methods on 14 data sets, q = 2.569."""
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    assert critical_difference(4, 14) == pytest.approx(2.569 * math.sqrt(20 / 84), abs=5e-4)


def test_groups_are_what_the_critical_difference_joins():
    rng = np.random.default_rng(2)
    values = np.arange(8) * 0.7 + rng.normal(size=(12, 8))
    summary = summarize_results(table(values))
    ranks = {item.method: item.mean_rank for item in summary.methods}
    together = {
        frozenset((a, b)) for group in summary.groups for a in group for b in group if a != b
    }
    for a in ranks:
        for b in ranks:
            if a != b:
                is_close = abs(ranks[a] - ranks[b]) < summary.critical_difference
                assert (frozenset((a, b)) in together) == is_close


def test_nemenyi_finds_nothing_in_most_null_benchmarks():
    """The family-wise error of the diagram, for few data sets too."""
    rng = np.random.default_rng(3)
    false = 0
    for _ in range(300):
        ranks = rng.permuted(np.tile(np.arange(1.0, 8.0), (6, 1)), axis=1).mean(axis=0)
        false += np.ptp(ranks) >= critical_difference(7, 6)
    assert false / 300 <= 0.07


@pytest.mark.parametrize("k", [4, 6, 12])
def test_coverage_over_datasets(k):
    """Intervals of mean effect and of a bootstrapped mean hold the truth of all data sets.

    The plain hierarchical bootstrap, drawn from the same data, does not.
    """
    rng = np.random.default_rng(k)
    draws = datasets_drawn(k, 0)[:2000]
    hits = {"t": 0, "bootstrap": 0, "plain": 0}
    repetitions = 400
    for _ in range(repetitions):
        # An effect of 0.02 that differs between data sets, and noise of seeds within each.
        deltas = 0.02 + 0.03 * rng.normal(size=k) + rng.uniform(0.005, 0.03, k) * rng.normal(size=k)
        replicates = draws @ deltas / k
        _, of_t = mean_effect_interval(deltas)
        intervals = {
            "t": of_t,
            "bootstrap": bootstrap_interval(deltas.mean(), replicates, k, (-1.0, 1.0)),
            "plain": tuple(np.quantile(replicates, [0.025, 0.975])),
        }
        for name, (low, high) in intervals.items():
            hits[name] += low <= 0.02 <= high
    assert hits["t"] / repetitions == pytest.approx(0.95, abs=0.03)
    assert hits["bootstrap"] / repetitions == pytest.approx(0.95, abs=0.03)
    assert hits["plain"] < hits["t"]


def test_margin_separates_equal_from_unknown():
    close = np.array([[0.1, 0.1 + d] for d in (0.001, -0.001, 0.002, 0.0, -0.002, 0.001)])
    wide = np.array([[0.1, 0.1 + d] for d in (0.05, -0.06, 0.07, 0.0, -0.04, 0.03)])
    assert pair(summarize_results(table(close), margin=0.01), "A", "B").word == "within"
    assert pair(summarize_results(table(wide), margin=0.01), "A", "B").word == "cannot tell"


def test_deciding_interval_agrees_with_the_word():
    rng = np.random.default_rng(4)
    values = 0.02 * np.arange(6) + 0.02 * rng.normal(size=(10, 6))
    for effect in summarize_results(table(values), reference="C").effects:
        low, high = effect.deciding_interval
        assert low <= effect.difference <= high
        assert (low <= 0 <= high) == (effect.word == "cannot tell")


def test_named_reference_has_a_smaller_family_than_the_best():
    values = 0.02 * np.arange(5) + 0.02 * np.random.default_rng(5).normal(size=(8, 5))
    chosen, named = (summarize_results(table(values), reference=name) for name in (None, "A"))
    assert chosen.reference == named.reference == "A"
    for a, b in zip(chosen.effects, named.effects, strict=True):
        assert a.p_value == b.p_value
        assert a.p_adjusted >= b.p_adjusted


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.3, math.inf]), min_size=3, max_size=3),
        min_size=2,
        max_size=6,
    )
)
def test_properties_of_any_table(values):
    lower = summarize_results(table(values))
    higher = summarize_results(table([[-v for v in row] for row in values]), higher_is_better=True)
    assert sum(item.mean_rank for item in lower.methods) == pytest.approx(6)
    assert np.mean([item.win_rate for item in lower.methods]) == pytest.approx(0.5)
    for method in lower.methods:
        assert of(higher, method.method).win_rate == pytest.approx(method.win_rate)
        assert method.win_rate == pytest.approx((3 - method.mean_rank) / 2)
    for effect in lower.pairs:
        other = pair(higher, effect.method, effect.reference)
        assert (effect.wins, effect.ties, effect.losses) == (other.wins, other.ties, other.losses)
        assert effect.wins + effect.ties + effect.losses == effect.datasets


def test_rows_in_another_order_change_nothing():
    values = np.random.default_rng(6).normal(size=(6, 4))
    rows = table(values)
    shuffled = [rows[i] for i in np.random.default_rng(7).permutation(len(rows))]
    one, other = summarize_results(rows), summarize_results(shuffled)
    for effect in one.pairs:
        assert pair(other, effect.method, effect.reference).p_value == pytest.approx(effect.p_value)
    assert [item.method for item in one.methods] == [item.method for item in other.methods]


def test_seeds_are_averaged():
    rng = np.random.default_rng(8)
    values = rng.normal(size=(3, 5, 2))
    rows = [row for seed in range(3) for row in table(values[seed], seed=seed)]
    averaged = table(values.mean(axis=0))
    one = pair(summarize_results(rows), "A", "B")
    other = pair(summarize_results(averaged), "A", "B")
    assert one.p_value == pytest.approx(other.p_value)


def test_missing_values_are_left_out_and_reported():
    values = np.random.default_rng(9).normal(size=(6, 3))
    values[4, 2] = math.nan
    rows = [row for row in table(values) if (row.method, row.task) != ("C", "task 5")]
    summary = summarize_results(rows)
    assert summary.tasks == 6
    assert summary.ranked_tasks == 4
    assert pair(summary, "A", "B").datasets == 6
    assert pair(summary, "A", "C").datasets == 4
    assert of(summary, "C").tasks == 4
    notes = " ".join(summary.notes)
    assert "2 of 6 tasks (C has 4)" in notes
    assert "1 row without a value" in notes


def test_no_common_task_gives_no_ranks():
    rows = [Result("A", "x", 0, 0.1), Result("B", "x", 0, 0.2), Result("C", "y", 0, 0.1)]
    summary = summarize_results(rows)
    assert summary.critical_difference is None
    assert of(summary, "C").mean_rank is None
    assert of(summary, "C").win_rate is None
    assert pair(summary, "A", "C").reason == "the two methods have no task in common"
    assert any("no mean ranks" in note for note in summary.notes)


def test_ties_everywhere():
    summary = summarize_results(table([[0.1, 0.1, 0.1]] * 5))
    assert {item.mean_rank for item in summary.methods} == {2.0}
    assert {item.win_rate for item in summary.methods} == {0.5}
    for effect in summary.pairs:
        assert (effect.wins, effect.ties, effect.losses) == (0, 5, 0)
        assert effect.p_value is None
        assert effect.word == "none"
        assert effect.reason == "the difference is the same on all data sets"
    assert summary.groups == [["A", "B", "C"]]
    assert summary.p_friedman is None


def test_rounding_is_a_tie():
    rows = [Result("A", f"t{i}", 0, 0.1 + 0.2) for i in range(4)]
    rows += [Result("B", f"t{i}", 0, 0.3) for i in range(4)]
    assert pair(summarize_results(rows), "A", "B").ties == 4


def test_one_dataset_has_no_inference():
    summary = summarize_results(table([[0.1, 0.2]]))
    effect = pair(summary, "A", "B")
    assert effect.difference == pytest.approx(-0.1)
    assert effect.interval is None
    assert effect.word == "none"
    assert summary.critical_difference is None
    assert of(summary, "A").mean_rank_interval is None
    assert summary.notes == ["One data set (task 0): nothing is known about others."]


def test_infinite_values_are_the_worst_and_have_no_mean():
    values = [[0.1, 0.2], [0.1, math.inf], [math.inf, math.inf], [0.3, 0.2]]
    summary = summarize_results(table(values))
    effect = pair(summary, "A", "B")
    assert effect.difference is None
    assert (effect.wins, effect.ties, effect.losses) == (2, 1, 1)
    assert of(summary, "A").mean_rank == pytest.approx((1 + 1 + 1.5 + 2) / 4)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no rows"),
        ([("A", "x", 0, 0.1)], "only the method 'A'"),
        ([("A", "x", 0, math.nan), ("B", "x", 0, None)], "no values"),
        ([("A", "x", 0, 0.1), ("B", "x", 0, None)], "method 'B' has no values"),
        ([("A", "x", 0, 0.1), ("B", "x", 0, 0.1), ("A", "x", 0, 0.2)], "row 3: .* is in row 1"),
        ([("A", "x", 0, 0.1), ("B", "x", 0, "high")], "row 2: the value 'high' is not a number"),
        ([("A", "x", 0)], r"row 1: expected \(method, task, seed, value\)"),
        ([("A", "x", 0, 0.1, "d"), ("B", "x", 0, 0.1, "e")], "in two data sets, 'd' and 'e'"),
    ],
)
def test_unusable_tables_are_refused_in_one_sentence(rows, message):
    with pytest.raises(DataError, match=message) as caught:
        summarize_results(rows)
    assert "\n" not in str(caught.value)


def test_unknown_reference_is_refused():
    with pytest.raises(DataError, match="Did you mean 'A'"):
        summarize_results(table([[1.0, 2.0]] * 3), reference="a")
    with pytest.raises(DataError, match="margin"):
        summarize_results(table([[1.0, 2.0]] * 3), margin=0.0)
