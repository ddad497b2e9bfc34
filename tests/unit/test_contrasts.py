"""Contrasts, intervals, families and ranks: hand-worked cases, pairing and refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fgbench import Metric
from fgbench.calibration import predictions_from_probabilities
from fgbench.data import Predictions
from fgbench.errors import DataError, PluginError
from fgbench.inference import (
    ONE_SEED,
    Contrast,
    Evaluation,
    bootstrap_weights,
    compare_evaluations,
    contrast,
    evaluate_metrics,
    holm,
    interval,
    judge,
    pairwise_p_values,
    rank_intervals,
    spread,
    summarize,
    undefined_metrics,
    units_of,
)
from fgbench.plugins.references import PartReference
from fgbench.plugins.registry import Registry

REGISTRY = Registry.load()
METRICS = {
    name: REGISTRY.create("metric", PartReference.parse(name))
    for name in ("accuracy", "ece", "nll", "auroc")
}


def sample(n, seed):
    rng = np.random.default_rng(seed)
    p = rng.uniform(size=n)
    return predictions_from_probabilities(p, (rng.uniform(size=n) < p).astype(int))


def arm(n, slope, seeds=3, spread=0.2, seed=0):
    """Return probabilities (S, n, 2) of S models and the labels; `slope` 1 is calibrated."""
    rng = np.random.default_rng(seed)
    z = 2 * rng.normal(size=n)
    labels = (rng.uniform(size=n) < 1 / (1 + np.exp(-z))).astype(int)
    noise = np.random.default_rng([seed, int(100 * slope)])
    logits = (
        slope * z + spread * noise.normal(size=(seeds, 1)) + 0.3 * noise.normal(size=(seeds, n))
    )
    p = 1 / (1 + np.exp(-logits))
    return np.stack([1 - p, p], axis=2), labels


def compare(a, b, labels, *, groups=None, replicates=1000):
    """Return the contrasts of probabilities (S, n, 2)."""
    sides = (
        [
            evaluate_metrics(
                predictions_from_probabilities(rows, labels, groups=groups),
                METRICS,
                replicates=replicates,
            )
            for rows in side
        ]
        for side in (a, b)
    )
    return compare_evaluations(*sides)


def all_weights(n, replicates, seed, units=None):
    return np.concatenate(list(bootstrap_weights(n, replicates, seed, units)))


class TestResampling:
    def test_replicate_depends_only_on_its_number(self):
        few, many = all_weights(50, 10, 0), all_weights(50, 200, 0)
        np.testing.assert_array_equal(few, many[:10])
        assert not np.array_equal(few, all_weights(50, 10, 1))
        assert (many.sum(axis=1) == 50).all()
        assert len(np.unique(many, axis=0)) == 200

    def test_chunked_weights_equal_whole_weights(self, monkeypatch):
        from fgbench.inference import resampling

        whole = all_weights(300, 64, 5)
        monkeypatch.setattr(resampling, "_MAX_CACHED_BYTES", 0)
        monkeypatch.setattr(resampling, "_WEIGHTS_AT_ONCE", 1000)
        pieces = list(bootstrap_weights(300, 64, 5))
        assert [len(piece) for piece in pieces[:2]] == [3, 3]
        np.testing.assert_array_equal(np.concatenate(pieces), whole)

    def test_rows_of_a_group_are_drawn_together(self):
        units = units_of(["a", "b", "a", "c", "a"], 5)
        weights = all_weights(5, 100, 0, units)
        assert (weights[:, [2, 4]] == weights[:, [0]]).all()
        assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()

    def test_groups_of_one_row_change_nothing(self):
        assert units_of(["d", "c", "b", "a"], 4) is None
        assert units_of(None, 4) is None
        with pytest.raises(DataError, match="one label per row"):
            units_of([1, 2], 4)


class TestEvaluation:
    def test_deterministic(self):
        first = evaluate_metrics(sample(200, 1), METRICS, replicates=50)
        again = evaluate_metrics(sample(200, 1), METRICS, replicates=50)
        assert first.values == again.values
        for name in METRICS:
            np.testing.assert_array_equal(first.replicates[name], again.replicates[name])

    def test_round_trips_through_file(self, tmp_path):
        one_class = predictions_from_probabilities([0.2, 0.9], [1, 1])
        for predictions in (sample(90, 0), one_class):
            evaluation = evaluate_metrics(predictions, METRICS, replicates=7)
            np.savez(tmp_path / "e.npz", **evaluation.to_arrays())
            with np.load(tmp_path / "e.npz", allow_pickle=False) as stored:
                back = Evaluation.from_arrays(dict(stored))
            for field in ("values", "undefined", "noise_floors", "corrected", "limits", "units"):
                assert getattr(back, field) == getattr(evaluation, field)
            for name, values in evaluation.replicates.items():
                np.testing.assert_array_equal(back.replicates[name], values)

    def test_undefined_metric_has_reason_and_no_value(self):
        evaluation = evaluate_metrics(
            predictions_from_probabilities([0.2, 0.9], [1, 1]), METRICS, replicates=5
        )
        assert "auroc" not in evaluation.values
        assert "class" in evaluation.undefined["auroc"]
        assert "auroc" not in summarize([evaluation])
        assert undefined_metrics([evaluation]) == evaluation.undefined

    def test_unusable_input_is_refused(self):
        with pytest.raises(DataError, match="no predictions"):
            evaluate_metrics(Predictions(np.zeros((0, 2)), np.zeros(0)), METRICS)
        with pytest.raises(DataError, match="withheld"):
            evaluate_metrics(sample(5, 0).without_labels(), METRICS)

    def test_metric_contract_violation_is_named(self):
        class Wrong(Metric):
            def evaluate(self, predictions, weights):
                return np.zeros(3)

        class Endless(Metric):
            def evaluate(self, predictions, weights):
                return np.full(len(weights), np.inf)

        with pytest.raises(PluginError, match="metric 'wrong'"):
            evaluate_metrics(sample(5, 0), {"wrong": Wrong()})
        with pytest.raises(PluginError, match="infinity"):
            evaluate_metrics(sample(5, 0), {"endless": Endless()})


class TestSpread:
    def test_identical_seeds_have_the_variance_of_rows(self):
        draws = np.random.default_rng(0).normal(size=400)
        found = spread(np.zeros(3), np.tile(draws, (3, 1)), units=101)
        assert found.variance == pytest.approx(draws.var(ddof=1))
        assert found.degrees_of_freedom == pytest.approx(100)

    def test_independent_row_noise_adds_nothing_to_that_of_seeds(self):
        draws = np.random.default_rng(0).normal(size=(5, 100_000))
        found = spread(np.array([1.0, 2.0, 3.0, 4.0, 5.0]), draws, units=1000)
        assert found.variance == pytest.approx(2.5 / 5, abs=0.01)  # s² = 2.5
        assert found.degrees_of_freedom == pytest.approx(4, rel=0.05)

    def test_both_parts_by_hand(self):
        rng = np.random.default_rng(0)
        shared, own = rng.normal(size=200_000), rng.normal(size=(4, 200_000))
        found = spread(np.array([0.0, 1.0, 2.0, 3.0]), 2 * shared + own, units=51)
        seeds, common = (5 / 3) / 4, 4.0
        assert found.variance == pytest.approx(seeds + common, rel=0.02)
        expected = 1 / (seeds / (seeds + common) / 3 + common / (seeds + common) / 50)
        assert found.degrees_of_freedom == pytest.approx(expected, rel=0.02)

    def test_values_without_row_noise_give_the_paired_t_test(self):
        a, b = np.array([0.1, 0.4, 0.3]), np.array([0.2, 0.7, 0.4])
        still = np.zeros((3, 10))
        found = contrast(a, b, still, still, units=100)
        peer = stats.ttest_rel(a, b)
        assert found.p_value == pytest.approx(peer.pvalue)
        low, high = peer.confidence_interval(0.95)
        assert found.interval == pytest.approx((low, high))


class TestContrast:
    def test_one_seed_has_an_interval_but_no_p_value(self):
        a, labels = arm(300, 1.0)
        b, _ = arm(300, 2.0)
        found = compare(a[:1], b[:1], labels, replicates=200)["ece"]
        assert found.p_value is found.p_equivalence is None
        assert found.reason == ONE_SEED
        assert found.interval[0] < found.difference < found.interval[1]
        (judgment,) = judge([found], higher_is_better=False)
        assert judgment.word == "none"

    def test_few_rows_and_equal_sides_show_nothing(self):
        a, labels = arm(300, 1.0)
        b, _ = arm(300, 2.0)
        for sides, rows, reason in (
            ((a, b), 9, "9 distinct test rows"),
            ((a, a), 300, "same value"),
        ):
            first, second = (side[:, :rows] for side in sides)
            found = compare(first, second, labels[:rows], replicates=50)
            for item in found.values():
                assert reason in item.reason
                assert item.p_value is item.interval is item.standard_error is None
                assert judge([item], higher_is_better=False)[0].word == "none"

    def test_rows_of_one_text_count_once(self):
        a, labels = arm(40, 1.0)
        b, _ = arm(40, 2.0)
        tripled = [np.repeat(side, 3, axis=1) for side in (a, b)]
        groups = np.repeat(np.arange(40), 3)
        once = compare(a, b, labels)["nll"]
        grouped = compare(*tripled, np.repeat(labels, 3), groups=groups)["nll"]
        ungrouped = compare(*tripled, np.repeat(labels, 3))["nll"]
        assert grouped.rows == once.rows == 40
        assert grouped.standard_error == pytest.approx(once.standard_error)
        assert ungrouped.rows == 120
        nine = compare(a[:, :9], b[:, :9], labels[:9], groups=range(9))["nll"]
        assert nine.p_value is None

    def test_different_seeds_rows_and_replicates_are_refused(self):
        few, many = (evaluate_metrics(sample(n, 0), METRICS, replicates=3) for n in (20, 30))
        with pytest.raises(DataError, match="same test rows"):
            compare_evaluations([few], [many])
        with pytest.raises(DataError, match="cannot be paired"):
            compare_evaluations([few], [few, few])
        other = evaluate_metrics(sample(20, 0), METRICS, replicates=4)
        with pytest.raises(DataError, match="cannot be paired"):
            compare_evaluations([few], [other])

    def test_equivalence_is_two_one_sided_tests(self):
        rng = np.random.default_rng(0)
        a, draws = np.array([0.0, 0.002, 0.004, 0.002]), 0.001 * rng.normal(size=(4, 2000))
        zero, still = np.zeros(4), np.zeros((4, 2000))
        found = contrast(a, zero, draws, still, units=500, margin=0.01)
        error, df = found.standard_error, found.degrees_of_freedom
        lower = stats.t.sf((0.002 + 0.01) / error, df)
        upper = stats.t.cdf((0.002 - 0.01) / error, df)
        assert found.p_equivalence == pytest.approx(max(lower, upper))
        assert contrast(a, zero, draws, still, units=500).p_equivalence is None

    def test_undefined_replicates_are_left_out(self):
        rng = np.random.default_rng(0)
        a, draws = np.array([0.3, 0.4, 0.2]), rng.normal(size=(3, 100))
        holes = draws.copy()
        holes[0, :40] = np.nan
        zero, still = np.zeros(3), np.zeros((3, 100))
        expected = contrast(a, zero, draws[:, 40:], still[:, 40:], units=50)
        assert contrast(a, zero, holes, still, units=50) == expected
        holes[1, 40:60] = np.nan
        assert "undefined" in contrast(a, zero, holes, still, units=50).reason

    def test_pairing_removes_shared_noise(self):
        base = sample(400, 3)
        better = base.with_logits(base.logits + np.float32([0.0, 0.02]))
        a = evaluate_metrics(better, METRICS, replicates=300)
        b = evaluate_metrics(base, METRICS, replicates=300)
        paired = compare_evaluations([a], [b])["nll"]
        assert paired.difference == pytest.approx(a.values["nll"] - b.values["nll"])
        assert np.ptp(paired.interval) < np.ptp(summarize([a])["nll"].ci95) / 5


def made(difference, error, margin=0.01, seeds=3, df=20.0):
    """A contrast with this difference and standard error."""
    p = 2 * stats.t.sf(abs(difference) / error, df)
    return Contrast(
        degrees_of_freedom=df,
        difference=difference,
        interval=(0.0, 1.0),
        margin=margin,
        p_equivalence=float(stats.t.sf((margin - abs(difference)) / error, df)),
        p_value=float(p),
        rows=100,
        seeds=seeds,
        standard_error=error,
    )


class TestFamilies:
    def test_holm_by_hand(self):
        assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
        assert holm([]) == []

    @given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
    def test_holm_is_monotone_and_below_bonferroni(self, p):
        adjusted = holm(p)
        for raw, new in zip(p, adjusted, strict=True):
            assert raw <= new <= min(1.0, raw * len(p)) or new == pytest.approx(raw)
        by_raw = [new for _, new in sorted(zip(p, adjusted, strict=True))]
        assert by_raw == sorted(by_raw)

    def test_margin_comes_before_significance(self):
        small, large, unclear = made(0.004, 0.001), made(0.05, 0.005), made(0.02, 0.02)
        words = [item.word for item in judge([small, large, unclear], higher_is_better=False)]
        assert words == ["within", "worse", "cannot tell"]
        words = [item.word for item in judge([small, large, unclear], higher_is_better=True)]
        assert words == ["within", "better", "cannot tell"]

    @given(
        st.lists(
            st.tuples(st.floats(-0.1, 0.1), st.floats(0.001, 0.05), st.floats(2, 500)),
            min_size=1,
            max_size=6,
        )
    )
    def test_printed_interval_never_contradicts_the_word(self, family):
        contrasts = [made(difference, error, df=df) for difference, error, df in family]
        for item in judge(contrasts, higher_is_better=False):
            low, high = item.interval
            assert low <= item.contrast.difference <= high
            if item.word == "within":
                assert -0.01 <= low <= high <= 0.01
            elif item.word == "cannot tell":
                assert low <= 0 <= high
                assert low < -0.01 or high > 0.01
            else:
                assert (high < 0) == (item.word == "better")
                assert (low > 0) == (item.word == "worse")


class TestIntervals:
    def test_share_uses_the_log_odds_scale(self):
        draws = np.random.default_rng(0).normal(0.9, 0.03, size=(1, 5000))
        low, high = interval(np.array([0.9]), draws, 100, (0.0, 1.0))
        error = draws.std(ddof=1) / (0.9 * 0.1)
        half = stats.t.ppf(0.975, 99) * error
        expected = stats.logistic.cdf(np.log(9) + np.array([-half, half]))
        assert (low, high) == pytest.approx(tuple(expected))

    def test_positive_metric_uses_the_log_scale(self):
        draws = np.random.default_rng(0).normal(0.5, 0.1, size=(1, 5000))
        low, high = interval(np.array([0.5]), draws, 100, (0.0, np.inf))
        assert 0.5 / low == pytest.approx(high / 0.5)

    def test_all_correct_is_not_certain(self):
        p = np.full(60, 0.9)
        found = summarize([evaluate_metrics(predictions_from_probabilities(p, [1] * 60), METRICS)])
        low, high = found["accuracy"].ci95
        peer = stats.binomtest(60, 60).proportion_ci(method="wilson")
        assert (low, high) == pytest.approx((peer.low, 1.0), rel=1e-6)

    def test_summary_over_seeds_by_hand(self):
        values = (0.1, 0.2, 0.6)
        evaluations = [
            Evaluation({"m": v}, {"m": np.full(400, v)}, limits={"m": (-np.inf, np.inf)}, units=99)
            for v in values
        ]
        summary = summarize(evaluations)["m"]
        assert summary.mean == pytest.approx(0.3)
        assert summary.std == pytest.approx(np.std(values, ddof=1))
        assert summary.per_seed == list(values)
        error = np.std(values, ddof=1) / np.sqrt(3)
        half = stats.t.ppf(0.975, 2) * error
        assert summary.ci95 == pytest.approx((0.3 - half, 0.3 + half))
        assert summarize(evaluations[:1])["m"].std == 0.0

    def test_metric_without_valid_interval_has_none(self):
        metrics = {
            name: REGISTRY.create("metric", PartReference.parse(name))
            for name in ("mce", "ks", "smooth_ece", "ece_sweep", "brier_refinement")
        }
        for record in summarize([evaluate_metrics(sample(200, 0), metrics)]).values():
            assert record.ci95 is None

    def test_few_rows_per_bin_have_no_interval(self):
        many = REGISTRY.create("metric", PartReference.parse("ece:bins=500"))
        record = summarize([evaluate_metrics(sample(200, 0), {"ece": many})])["ece"]
        assert record.ci95 is record.corrected is None


class TestRanks:
    def test_pairwise_p_values_are_those_of_contrasts(self):
        rng = np.random.default_rng(0)
        values = rng.normal(size=(4, 3))
        draws = values[:, :, None] + 0.3 * rng.normal(size=300) + 0.2 * rng.normal(size=(4, 3, 300))
        found = pairwise_p_values(values, draws, units=80)
        for i in range(4):
            for j in range(4):
                expected = contrast(values[i], values[j], draws[i], draws[j], units=80).p_value
                assert found[i, j] == pytest.approx(1.0 if i == j else expected)

    def test_ranks_by_hand(self):
        rng = np.random.default_rng(0)
        values = np.array([0.1, 0.1, 0.5, 0.9])[:, None] + 0.001 * rng.normal(size=(4, 5))
        draws = values[:, :, None] + 0.001 * rng.normal(size=(4, 5, 200))
        low = rank_intervals(values, draws, 500, higher_is_better=False)
        assert low.tolist() == [[1, 2], [1, 2], [3, 3], [4, 4]]
        high = rank_intervals(values, draws, 500, higher_is_better=True)
        assert high.tolist() == [[3, 4], [3, 4], [2, 2], [1, 1]]
        single = rank_intervals(values[:, :1], draws[:, :1], 500, higher_is_better=False)
        assert single.tolist() == [[1, 4]] * 4
