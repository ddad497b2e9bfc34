"""Stage keys are stable: a change of code that changes no result must not orphan a store."""

import json
from pathlib import Path

import pytest

from fgbench.cards import DataFolder
from fgbench.digests import digest
from fgbench.plan.plan import make_plan
from fgbench.plan.suite import Suite
from fgbench.plugins.registry import Registry

PINNED = json.loads((Path(__file__).parent.parent / "stored" / "stage_keys.json").read_text())
"""By suite and stage: the number of stages, and the digest of their sorted keys."""

ENSEMBLES = {
    "dataset": "known-posterior",
    "calibrators": ["ensemble", "isotonic"],
    "bins": [10, 15],
    "selector": "significant",
    "retries": 1,
    "metrics": ["ece", "nll"],
}


def keys_by_stage(suite, folder):
    """Return the pinned form of a suite's stage keys; each key stands in for its output digest."""
    plan = make_plan(suite, Registry.load(), folder)
    keys, by_stage = {}, {}
    for node in plan.graph.nodes.values():
        keys[node.id] = node.key({source: keys[source] for source in node.inputs.values()})
        if node.source:
            continue
        by_stage.setdefault(node.stage, []).append(keys[node.id])
    return {
        stage: [len(stage_keys), digest(sorted(stage_keys))]
        for stage, stage_keys in by_stage.items()
    }


FIRST_ARMS = ["baseline", "real", "resample", "random-bins", "synthesis", "synthesis+"]
"""The arms that suites had by default when these pins were made."""


@pytest.mark.parametrize(("name", "values"), [("default", {}), ("ensembles", ENSEMBLES)])
def test_stage_keys_of_embedded_suites_are_pinned(name, values):
    suite = Suite.build(values | {"arms": FIRST_ARMS})
    assert keys_by_stage(suite, DataFolder.from_environment()) == PINNED[name]


FIRST_QUICK = {
    "datasets": ["tc", "subj", "banking77", "se"],
    "classifiers": ["tfidf-logreg"],
    "generators": ["ngram"],
    "calibrators": ["none", "temperature", "isotonic"],
    "arms": FIRST_ARMS,
    "metrics": [
        *("accuracy", "auroc", "ece", "ece_positive"),
        *("ece_mass", "ece_debiased", "nll", "brier"),
    ],
}
"""The first suite of the board `quick`."""


def test_stage_keys_of_real_data_sets_are_pinned(real_data):
    folder = DataFolder.from_environment(real_data)
    assert keys_by_stage(Suite.build(FIRST_QUICK), folder) == PINNED["quick"]
