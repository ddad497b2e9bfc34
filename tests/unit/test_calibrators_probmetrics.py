"""probmetrics: the optional back end, where it is installed."""

from importlib.util import find_spec

import numpy as np
import pytest

from fgbench import DataError, PluginError
from fgbench.plugins.references import PartReference
from fgbench.plugins.registry import Registry
from fgbench.testing import check_calibrator
from support.calibrators import fitted, nll, overconfident

INSTALLED = all(find_spec(name) for name in ("probmetrics", "numba"))
needs_it = pytest.mark.skipif(not INSTALLED, reason="probmetrics (with numba) is not installed")


def made(reference):
    return Registry.load().create("calibrator", PartReference.parse(reference))


@pytest.mark.skipif(INSTALLED, reason="probmetrics is installed")
def test_missing_extra_error_names_install_command():
    with pytest.raises(
        PluginError, match=r"is not installed: pip install 'fgbench\[probmetrics\]'"
    ):
        made("probmetrics")


@needs_it
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", ["sms", "svs"])
def test_probmetrics_calibrator_contract_and_values(method):
    from probmetrics.calibrators import get_calibrator

    check_calibrator(made(f"probmetrics:method={method}"))
    held_out, test = (overconfident(1000, 4, 3.0, seed) for seed in (0, 1))
    theirs = get_calibrator(method)
    theirs.fit(held_out.probabilities(), held_out.labels)
    ours = fitted(made(f"probmetrics:method={method}"), held_out).transform(test.without_labels())
    expected = theirs.predict_proba(test.probabilities())
    np.testing.assert_allclose(ours.probabilities(), expected, atol=1e-5)
    assert nll(ours, test.labels) < nll(test, test.labels) - 0.1


@needs_it
@pytest.mark.filterwarnings("ignore")
def test_class_absent_from_held_out_stays_possible():
    held_out = overconfident(300, 3, 1.0)
    two = held_out.take(np.flatnonzero(held_out.labels != 2))
    result = fitted(made("probmetrics"), two).transform(held_out).probabilities()
    assert result.shape == (300, 3)
    assert 0 < result[:, 2].min() <= result[:, 2].mean() < 0.1


@needs_it
def test_probmetrics_calibrator_refuses_single_class():
    held_out = overconfident(50, 2, 1.0)
    one = held_out.take(np.flatnonzero(held_out.labels == 1))
    with pytest.raises(DataError, match="held-out rows have the label 1, but it needs two"):
        made("probmetrics").fit(one)
