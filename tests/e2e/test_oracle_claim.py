"""The upper bound: with perfect generation and labels, synthesis beats its matched controls.

An overconfident classifier (weak regularisation) on `known-posterior`, the `oracle` generator, ten
draws of the data. The differences are paired by draw and must exceed their own spread, in ECE and
against the true posterior. What drives them, and at which sizes they are absent, is told in
docs/known-posterior.md.
"""

import statistics

import pytest

import fgbench

DRAWS = range(20, 30)


@pytest.fixture(scope="module")
def metrics(tmp_path_factory):
    """Return {arm: {draw: {metric: value}}}."""
    folder = tmp_path_factory.mktemp("oracle")
    outcome = fgbench.run(
        datasets=[f"known-posterior:validation=3000,test=2000,draw={draw}" for draw in DRAWS],
        classifier="tfidf-logreg:C=100",
        generator="oracle",
        arms=["baseline", "real", "resample", "synthesis", "synthesis+"],
        calibrator="none",
        seed=0,
        replicates=50,
        jobs=2,
        out=folder / "runs",
        store=folder / "store",
    )
    assert outcome.failures == ()
    found = {}
    for entry in outcome.leaderboard.entries:
        values = {name: metric.mean for name, metric in entry.metrics.items()}
        found.setdefault(entry.arm, {})[entry.dataset.params["draw"]] = values
    return found


def differences(metrics, arm, control, name):
    return [metrics[arm][draw][name] - metrics[control][draw][name] for draw in DRAWS]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ece", "true_calibration_error"])
@pytest.mark.parametrize("control", ["real", "resample"])
@pytest.mark.parametrize("arm", ["synthesis", "synthesis+"])
def test_oracle_synthesis_beats_controls_by_more_than_spread(metrics, arm, control, name):
    found = differences(metrics, arm, control, name)
    assert statistics.mean(found) < -statistics.stdev(found)


@pytest.mark.slow
def test_oracle_synthesis_keeps_accuracy(metrics):
    for arm in ("synthesis", "synthesis+"):
        found = differences(metrics, arm, "real", "accuracy")
        assert statistics.mean(found) > statistics.stdev(found) / 2


@pytest.mark.slow
def test_real_data_alone_do_not_fix_overconfidence(metrics):
    assert statistics.mean(row["ece"] for row in metrics["baseline"].values()) > 0.08
    found = differences(metrics, "real", "baseline", "ece")
    assert abs(statistics.mean(found)) < 0.03
