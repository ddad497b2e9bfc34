"""Bootstrap, paired comparison and Holm: determinism, pairing, coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fgbench import Metric
from fgbench.data import Predictions
from fgbench.errors import DataError, PluginError
from fgbench.inference import (
    Evaluation,
    compare,
    evaluate_metrics,
    holm,
    predictions_from_probabilities,
    summarize,
    undefined_metrics,
)
from fgbench.inference.resampling import bootstrap_weights
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


def all_weights(n, replicates, seed):
    return np.concatenate(list(bootstrap_weights(n, replicates, seed)))


def test_replicate_depends_only_on_its_number():
    few, many = all_weights(50, 10, 0), all_weights(50, 200, 0)
    np.testing.assert_array_equal(few, many[:10])
    assert not np.array_equal(few, all_weights(50, 10, 1))
    assert (many.sum(axis=1) == 50).all()
    assert len(np.unique(many, axis=0)) == 200


def test_chunked_weights_equal_whole_weights(monkeypatch):
    from fgbench.inference import resampling as bootstrap

    whole = all_weights(300, 64, 5)
    monkeypatch.setattr(bootstrap, "_MAX_CACHED_BYTES", 0)
    monkeypatch.setattr(bootstrap, "_WEIGHTS_AT_ONCE", 1000)
    pieces = list(bootstrap_weights(300, 64, 5))
    assert [len(piece) for piece in pieces[:2]] == [3, 3]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


def test_evaluation_is_deterministic():
    first = evaluate_metrics(sample(200, 1), METRICS, replicates=50)
    again = evaluate_metrics(sample(200, 1), METRICS, replicates=50)
    assert first.values == again.values
    for name in METRICS:
        np.testing.assert_array_equal(first.replicates[name], again.replicates[name])


def test_evaluation_round_trips_through_file(tmp_path):
    one_class = predictions_from_probabilities([0.2, 0.9], [1, 1])
    for predictions in (sample(50, 0), one_class):
        evaluation = evaluate_metrics(predictions, METRICS, replicates=7)
        np.savez(tmp_path / "e.npz", **evaluation.to_arrays())
        with np.load(tmp_path / "e.npz", allow_pickle=False) as stored:
            back = Evaluation.from_arrays(dict(stored))
        assert back.values == evaluation.values
        assert back.undefined == evaluation.undefined
        for name, values in evaluation.replicates.items():
            np.testing.assert_array_equal(back.replicates[name], values)


def test_undefined_metric_has_reason_and_no_value():
    evaluation = evaluate_metrics(
        predictions_from_probabilities([0.2, 0.9], [1, 1]), METRICS, replicates=5
    )
    assert "auroc" not in evaluation.values
    assert "class" in evaluation.undefined["auroc"]
    assert "auroc" not in summarize([evaluation])
    assert undefined_metrics([evaluation]) == evaluation.undefined


def test_undefined_replicates_are_excluded():
    rare = Evaluation({"m": 1.0}, {"m": np.array([np.nan, 1.0, 3.0])})
    assert summarize([rare])["m"].ci95 == pytest.approx((1.05, 2.95))
    mostly = Evaluation({"m": 1.0}, {"m": np.array([np.nan, np.nan, 3.0])})
    assert summarize([mostly])["m"].ci95 is None
    assert compare([mostly], [rare])["m"].p_value is None


def test_summary_over_seeds_by_hand():
    evaluations = [Evaluation({"m": v}, {"m": np.full(400, v)}) for v in (0.1, 0.2, 0.6)]
    summary = summarize(evaluations)["m"]
    assert summary.mean == pytest.approx(0.3)
    assert summary.std == pytest.approx(np.std([0.1, 0.2, 0.6], ddof=1))
    assert summary.per_seed == [0.1, 0.2, 0.6]
    low, high = summary.ci95  # only the draw of seeds varies
    assert 0.1 <= low < 0.3 < high <= 0.6
    assert summarize(evaluations[:1])["m"].std == 0.0


def test_pairing_removes_shared_noise():
    base = sample(400, 3)
    better = base.with_logits(base.logits + np.float32([0.0, 0.02]))
    a = evaluate_metrics(better, METRICS, replicates=300)
    b = evaluate_metrics(base, METRICS, replicates=300)
    paired = compare([a], [b])["nll"]
    alone = summarize([a])["nll"]
    assert paired.delta == pytest.approx(a.values["nll"] - b.values["nll"])
    assert np.ptp(paired.ci95) < np.ptp(alone.ci95) / 5


def test_identical_predictions_have_p_value_one():
    evaluation = evaluate_metrics(sample(100, 2), METRICS, replicates=100)
    same = compare([evaluation, evaluation], [evaluation, evaluation])["ece"]
    assert (same.delta, same.ci95, same.p_value) == (0.0, (0.0, 0.0), 1.0)


def difference(replicates):
    zero = Evaluation({"m": 0.0}, {"m": np.zeros(len(replicates))})
    return compare([Evaluation({"m": 1.0}, {"m": replicates})], [zero])["m"].p_value


def test_p_value_counts_replicates_of_opposite_sign():
    assert difference(np.ones(99)) == pytest.approx(0.02)  # no spread: nothing to extrapolate
    assert difference(np.r_[np.ones(95), -np.ones(4)]) == pytest.approx(0.10)


def test_p_value_tail_is_normal_beyond_replicates():
    normal = np.random.default_rng(0).normal(6.0, 1.0, 999)
    standardised = 6 + (normal - normal.mean()) / normal.std()
    assert difference(standardised) == pytest.approx(2 * 9.8659e-10, rel=1e-3)  # 2 Φ(−6)
    assert difference(standardised - 3.5) > 0.002  # some replicates are there: they are counted


def test_bootstrap_interval_coverage():
    # Accuracy of a classifier that is right with probability 0.7.
    accuracy = {"accuracy": METRICS["accuracy"]}
    covered = 0
    for seed in range(200):
        right = np.random.default_rng(seed).uniform(size=150) < 0.7
        evaluation = evaluate_metrics(
            predictions_from_probabilities(np.full(150, 0.9), right.astype(int)),
            accuracy,
            replicates=200,
        )
        low, high = summarize([evaluation])["accuracy"].ci95
        covered += low <= 0.7 <= high
    assert 0.90 <= covered / 200 <= 0.99


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_is_monotone_and_below_bonferroni(p):
    adjusted = holm(p)
    for raw, new in zip(p, adjusted, strict=True):
        assert raw <= new <= min(1.0, raw * len(p)) or new == pytest.approx(raw)
    by_raw = [new for _, new in sorted(zip(p, adjusted, strict=True))]
    assert by_raw == sorted(by_raw)


def test_unusable_input_is_refused():
    empty = Predictions(np.zeros((0, 2)), np.zeros(0))
    with pytest.raises(DataError, match="no predictions"):
        evaluate_metrics(empty, METRICS)
    with pytest.raises(DataError, match="withheld"):
        evaluate_metrics(sample(5, 0).without_labels(), METRICS)
    evaluation = evaluate_metrics(sample(5, 0), METRICS, replicates=3)
    with pytest.raises(DataError, match="cannot be paired"):
        compare([evaluation], [])
    with pytest.raises(DataError, match="cannot be paired"):
        compare([evaluation], [evaluate_metrics(sample(5, 0), METRICS, replicates=4)])


def test_metric_contract_violation_is_named():
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
