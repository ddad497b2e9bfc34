"""The calibrator `ensemble`: the mean of all seeds' models, in a run."""

import numpy as np
import pytest
from scipy.special import softmax

import fgbench
from fgbench.data import Predictions
from fgbench.errors import ConfigurationError


def test_ensemble_is_mean_of_seed_models(tmp_path):
    run = fgbench.run(
        dataset="known-posterior:train=60,validation=80,test=50",
        arms=["baseline", "synthesis+"],
        calibrators=["none", "ensemble"],
        seeds=[0, 1, 2],
        metrics=["accuracy", "nll"],
        replicates=20,
        out=tmp_path,
        store=tmp_path / "store",
    )
    assert not run.failures
    stored = {
        (entry.arm, entry.calibrator.name): [
            Predictions.load(run.folder / record.path) for record in entry.artifacts.predictions
        ]
        for entry in run.leaderboard.entries
    }
    members = stored["synthesis+", "none"]
    mean = np.mean([softmax(each.logits.astype(float), axis=1) for each in members], axis=0)
    assert not np.allclose(members[0].logits, members[1].logits)
    for ensemble in stored["synthesis+", "ensemble"]:
        np.testing.assert_allclose(softmax(ensemble.logits, axis=1), mean, atol=1e-6)
        np.testing.assert_array_equal(ensemble.labels, members[0].labels)


def test_ensemble_of_one_seed_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="several seeds, and the suite has one"):
        fgbench.run(calibrators=["ensemble"], seeds=[0], out=tmp_path, store=tmp_path / "store")
