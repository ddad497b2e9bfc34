"""Runs of classifiers that load a large model: when it is loaded, and when it is released."""

from itertools import count

import pytest

import fgbench
from support.runs import PROBE

HEAVY = """
import os
from pathlib import Path
import numpy as np
from fgbench import Classifier, Outputs, hookimpl, resident

LOG = Path({log!r})

def note(what):
    with LOG.open("a") as stream:
        stream.write(f"{{what}}\\n")

def release(thing):
    note("release")
    if thing == "sticky":
        raise OSError("it does not let go")

class Heavy(Classifier):
    tag: str = ""
    fail: bool = False
    exclusive = True

    def load_model(self):
        note("load")
        return self.tag

    def fit(self, training, *, loss, seed):
        resident("model", self.load_model, release)
        if self.fail:
            raise RuntimeError("the classifier broke down")
        self.n_classes = training.n_classes

    def predict(self, inputs, outputs):
        return Outputs(np.zeros((len(inputs), self.n_classes)))

@hookimpl
def fgbench_classifiers(register):
    register("heavy", f"{{__name__}}:Heavy", "Loads something large")
"""


_NUMBER = count()
"""Two plugins of one process have two names."""


@pytest.fixture
def heavy(tmp_path):
    """Run classifiers that load something, and return the run and its loads and releases."""

    def run(*classifiers, jobs=1):
        plugin = tmp_path / f"local_heavy_{next(_NUMBER)}.py"
        log = plugin.with_suffix(".log")
        plugin.write_text(HEAVY.format(log=str(log)))
        outcome = fgbench.run(
            out=tmp_path / f"runs-{log.name}", store=tmp_path / f"store-{log.name}", jobs=jobs,
            plugins=[str(PROBE), str(plugin)], dataset="probe", classifiers=list(classifiers),
            arm="baseline", seeds=[0, 1, 2], calibrator="none", metric="accuracy", replicates=20,
        )  # fmt: skip
        return outcome, log.read_text().split()

    return run


def test_classifier_loads_once_in_one_process(heavy):
    outcome, log = heavy("heavy:tag=a", "heavy:tag=b", "probe-classifier")
    assert not outcome.failures
    assert log == ["load", "release"] * 2


def test_several_processes_keep_no_resident_and_give_same_board(heavy):
    one, _ = heavy("heavy:tag=a", "heavy:tag=b")
    two, log = heavy("heavy:tag=a", "heavy:tag=b", jobs=2)
    assert not two.failures
    assert log == ["load", "release"] * 6
    metrics = [[entry.metrics for entry in each.leaderboard.entries] for each in (one, two)]
    assert metrics[0] == metrics[1]


def test_failed_stage_releases_resident(heavy):
    outcome, log = heavy("heavy:fail=true", "heavy:tag=a")
    assert len(outcome.failures) == 3
    assert log == ["load", "release"] * 4


def test_release_error_fails_only_its_stage(heavy):
    outcome, log = heavy("heavy:tag=sticky", "heavy:tag=a", jobs=2)
    assert "OSError: it does not let go" in outcome.failures[0].error
    assert len(outcome.leaderboard.entries) == 1
    assert log == ["load", "release"] * 6
