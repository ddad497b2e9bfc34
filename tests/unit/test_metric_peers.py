"""Metrics against other libraries, where those are correct and installed.

Known faults of the peers are kept away from, and named: torchmetrics and relplot put p = 1.0 and
scores on an edge in another bin, netcal takes one column as P(y=1), and relplot's default mesh of
200 points is up to 2e-4 off the integral that it approximates.
"""

import numpy as np
import pytest

from fgbench.calibration import (
    binned_calibration_error,
    classwise_calibration_error,
    debiased_calibration_error,
    ece,
    kolmogorov_smirnov_error,
    maximum_calibration_error,
    maximum_mean_calibration_error,
    predictions_from_probabilities,
    smooth_ece,
)

ONCE = np.ones((1, 1500))

ECE, MMCE = 0.04622930721353322, 0.028202405247678117
MASS, DEBIASED = 0.046070940319015194, 0.03119026303420165
SMOOTH = 0.04341614990062304


@pytest.fixture(scope="module", params=[0, 1, 2])
def binary(request):
    rng = np.random.default_rng(request.param)
    z = 2 * rng.normal(size=1500)
    p = 1 / (1 + np.exp(-z))
    return p, (rng.random(1500) < 1 / (1 + np.exp(-0.7 * z))).astype(int)


@pytest.fixture(scope="module")
def seven_classes():
    rng = np.random.default_rng(5)
    p = rng.dirichlet(np.full(7, 0.4), size=1500)
    return p, (p.cumsum(axis=1) < rng.random((1500, 1))).sum(axis=1)


def test_binned_errors_match_netcal(binary):
    netcal = pytest.importorskip("netcal.metrics")
    p, y = binary
    ours = predictions_from_probabilities(p, y)
    for bins in (10, 15, 20):
        assert ece(p, y, bins=bins) == pytest.approx(netcal.ECE(bins).measure(p, y), abs=1e-7)
        worst = maximum_calibration_error(ours, ONCE, bins=bins, label=1)[0]
        assert worst == pytest.approx(netcal.MCE(bins).measure(p, y), abs=1e-7)


def test_mmce_matches_netcal(binary):
    netcal = pytest.importorskip("netcal.metrics")
    p, y = binary
    theirs = netcal.MMCE().measure(np.stack([1 - p, p], axis=1), y)
    ours = maximum_mean_calibration_error(predictions_from_probabilities(p, y), ONCE)
    assert ours[0] == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("norm", ["l1", "max"])
def test_binned_errors_match_torchmetrics(binary, seven_classes, norm):
    functional = pytest.importorskip("torchmetrics.functional.classification")
    torch = pytest.importorskip("torch")
    ours = binned_calibration_error if norm == "l1" else maximum_calibration_error
    p, y = binary
    theirs = functional.binary_calibration_error(
        torch.from_numpy(p), torch.from_numpy(y), n_bins=15, norm=norm
    )
    found = ours(predictions_from_probabilities(p, y), ONCE, bins=15, label=1)
    assert found[0] == pytest.approx(float(theirs), abs=1e-6)
    p, y = seven_classes
    theirs = functional.multiclass_calibration_error(
        torch.from_numpy(p), torch.from_numpy(y), num_classes=7, n_bins=15, norm=norm
    )
    found = ours(predictions_from_probabilities(p, y), ONCE, bins=15)
    assert found[0] == pytest.approx(float(theirs), abs=1e-6)


def test_smooth_ece_matches_relplot(binary, monkeypatch):
    relplot = pytest.importorskip("relplot")
    monkeypatch.setattr(relplot.config, "smECE_mesh_pts", 20_001)
    p, y = binary
    assert smooth_ece(p, y) == pytest.approx(relplot.smECE(p, y), abs=1e-4)


def test_equal_mass_errors_match_uncertainty_calibration(binary):
    peer = pytest.importorskip("calibration")
    p, y = binary
    ours = predictions_from_probabilities(p, y)
    settings = {"num_bins": 15, "binning_scheme": peer.get_equal_bins}
    plain = peer.lower_bound_scaling_ce(p, y, p=1, debias=False, **settings)
    found = binned_calibration_error(ours, ONCE, bins=15, scheme="mass", label=1)
    assert found[0] == pytest.approx(plain, rel=1e-9)
    debiased = peer.lower_bound_scaling_ce(p, y, p=2, debias=True, **settings)
    found = debiased_calibration_error(ours, ONCE, bins=15, label=1)
    assert found[0] == pytest.approx(debiased, rel=1e-9)


def test_metrics_match_stored_peer_values():
    """The libraries' values for the first sample, for environments without them.

    netcal 1.4.0 (ECE, MMCE), uncertainty-calibration 0.1.4 (equal mass, debiased), relplot 1.0.3
    with a mesh of 20,001 points.
    """
    rng = np.random.default_rng(0)
    z = 2 * rng.normal(size=1500)
    p = 1 / (1 + np.exp(-z))
    y = (rng.random(1500) < 1 / (1 + np.exp(-0.7 * z))).astype(int)
    ours = predictions_from_probabilities(p, y)
    assert ece(p, y) == pytest.approx(ECE, abs=1e-7)
    assert maximum_mean_calibration_error(ours, ONCE)[0] == pytest.approx(MMCE, abs=1e-9)
    mass = binned_calibration_error(ours, ONCE, bins=15, scheme="mass", label=1)
    assert mass[0] == pytest.approx(MASS, rel=1e-9)
    debiased = debiased_calibration_error(ours, ONCE, bins=15, label=1)
    assert debiased[0] == pytest.approx(DEBIASED, rel=1e-9)
    assert smooth_ece(p, y) == pytest.approx(SMOOTH, abs=1e-4)


def test_classwise_ece_and_ks_by_hand(seven_classes):
    p, y = seven_classes
    ours = predictions_from_probabilities(p, y)
    by_class = [ece(p[:, k], y == k) for k in range(7)]
    found = classwise_calibration_error(ours, ONCE, bins=15)
    assert found[0] == pytest.approx(np.mean(by_class), rel=1e-9)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    order = np.argsort(confidence)
    drift = np.cumsum(right[order] - confidence[order]) / len(y)
    assert kolmogorov_smirnov_error(ours, ONCE)[0] == pytest.approx(np.abs(drift).max(), rel=1e-9)
