"""Rank intervals, from the stored intervals and paired comparisons."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fgbench.inference import MetricSummary
from fgbench.leaderboard import ranking
from fgbench.leaderboard.models import ContrastRecord, Contrasts
from fgbench.leaderboard.ranking import half_width, ranks, unpaired
from fgbench.report.view import by_metric
from support.boards import coordinates, make_entry


@pytest.fixture(scope="module")
def entry(tmp_path_factory):
    made, _ = make_entry(tmp_path_factory.mktemp("entry"), coordinates("baseline"))
    return made


def entries_of(entry, values, *, half=0.01, higher=False):
    """Entries with these means and intervals of `half` on each side; None is no interval."""
    halves = half if isinstance(half, list) else [half] * len(values)
    return [
        entry.model_copy(
            update={
                "id": f"e{index}",
                "metrics": {
                    "m": MetricSummary(
                        mean=value,
                        ci95=None if width is None else (value - width, value + width),
                        per_seed=[value],
                    )
                },
                "higher_is_better": ["m"] if higher else [],
                "contrasts": {},
            }
        )
        for index, (value, width) in enumerate(zip(values, halves, strict=True))
    ]


def against(control, difference):
    record = ContrastRecord(difference=difference, p_value=1e-6)
    return {"baseline": Contrasts(entry=control, metrics={"m": record})}


def spans(found):
    return {key: (rank.best, rank.worst) for key, rank in found.items()}


def test_separable_entries_have_distinct_ranks(entry):
    made = entries_of(entry, [0.3, 0.1, 0.104, 0.2])
    assert spans(ranks(made, "m")) == {"e0": (4, 4), "e1": (1, 2), "e2": (1, 2), "e3": (3, 3)}
    assert str(ranks(made, "m")["e1"]) == "1–2"
    assert str(ranks(made, "m")["e0"]) == "4"
    better_high = entries_of(entry, [0.3, 0.1, 0.104, 0.2], higher=True)
    assert spans(ranks(better_high, "m"))["e0"] == (1, 1)


def test_tied_entries_share_a_rank(entry):
    made = entries_of(entry, [0.1, 0.1, 0.1], half=0.0)
    assert set(spans(ranks(made, "m")).values()) == {(1, 3)}
    assert spans(ranks(entries_of(entry, [0.5]), "m")) == {"e0": (1, 1)}
    assert ranks(made, "other") == {}


def test_entries_without_intervals_share_all_ranks(entry):
    made = entries_of(entry, [0.1, 0.9], half=[None, None])
    assert set(spans(ranks(made, "m")).values()) == {(1, 2)}
    one = entries_of(entry, [0.1, 0.9], half=[0.01, None])
    assert spans(ranks(one, "m")) == {"e0": (1, 1), "e1": (2, 2)}


def test_one_seed_is_never_told_apart(entry):
    made = entries_of(entry, [0.1, 0.9])
    single = [item.model_copy(update={"seeds": [0]}) for item in made]
    assert set(spans(ranks(made, "m")).values()) == {(1, 1), (2, 2)}
    assert set(spans(ranks(single, "m")).values()) == {(1, 2)}
    assert set(spans(ranks([made[0], single[1]], "m")).values()) == {(1, 2)}


def test_stored_ranks_are_used_if_all_entries_have_them(entry):
    made = entries_of(entry, [0.1, 0.9])
    stored = {"ranks": {"m": (1, 5)}, "ranked_among": 7}
    ranked = [item.model_copy(update=stored) for item in made]
    assert set(spans(ranks(ranked, "m")).values()) == {(1, 5)}
    assert set(spans(ranks([ranked[0], made[1]], "m")).values()) == {(1, 1), (2, 2)}


def test_stored_paired_comparison_is_used(entry):
    a, b = entries_of(entry, [0.10, 0.11], half=0.05)
    assert set(spans(ranks([a, b], "m")).values()) == {(1, 2)}
    paired = b.model_copy(update={"contrasts": against("e0", 0.01)})
    assert spans(ranks([a, paired], "m")) == {"e0": (1, 1), "e1": (2, 2)}


def test_unpaired_interval_and_p_value_match_z_test():
    a = MetricSummary(mean=0.2, ci95=(0.17, 0.23), per_seed=[0.2])
    b = MetricSummary(mean=0.26, ci95=(0.22, 0.30), per_seed=[0.26])
    (low, high), p_value = unpaired(a, b)
    assert (low, high) == pytest.approx((0.06 - 0.05, 0.06 + 0.05))
    z = 0.06 / (0.05 / stats.norm.ppf(0.975))
    assert p_value == pytest.approx(2 * stats.norm.sf(z))


def test_interval_clipped_at_zero_is_extended():
    assert half_width(MetricSummary(mean=0.02, ci95=(0.0, 0.03), per_seed=[0.02])) == 0.03
    assert half_width(
        MetricSummary(mean=0.02, ci95=(0.01, 0.03), per_seed=[0.02])
    ) == pytest.approx(0.01)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.001, 0.3))
def test_rank_interval_contains_rank_of_mean(entry, values, half):
    made = entries_of(entry, values, half=half)
    found = ranks(made, "m")
    for place, each in enumerate(by_metric(made, "m"), 1):
        assert found[each.id].best <= place <= found[each.id].worst
        assert found[each.id].among == len(values)


@pytest.mark.parametrize("pairs", [1, 7, 30])
def test_blockwise_ranking_equals_direct_ranking(entry, monkeypatch, pairs):
    made = entries_of(entry, [0.3, 0.1, 0.104, 0.2, 0.21, 0.29, 0.5])
    made[2] = made[2].model_copy(update={"contrasts": against("e1", 0.004)})
    whole = ranks(made, "m")
    assert spans(whole)["e1"] == (1, 1)
    monkeypatch.setattr(ranking, "_PAIRS", pairs)
    assert ranks(made, "m") == whole


def test_rank_interval_coverage(entry):
    """Ten entries whose truth is known, measured with noise: coverage is at least nominal."""
    rng = np.random.default_rng(5)
    truth = np.linspace(0.0, 0.09, 10)
    held = 0
    for _ in range(200):
        seen = truth + rng.normal(scale=0.02, size=10)
        found = ranks(entries_of(entry, list(seen), half=1.96 * 0.02), "m")
        held += found["e4"].best <= 5 <= found["e4"].worst
    assert held >= 190
