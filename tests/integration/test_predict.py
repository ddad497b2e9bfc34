"""`fgbench predict`: the model of a finished run on new texts."""

import json

import numpy as np
import pytest

from fgbench.data import Predictions
from fgbench.samples import RunSample, load_samples

RUN = [
    "run", "--dataset", "known-posterior:train=80,validation=60,test=40", "--arm", "baseline",
    "--arm", "synthesis+", "--calibrator", "none", "--calibrator", "isotonic", "--seed", "0",
    "--seed", "1", "--replicates", "10", "--quiet",
]  # fmt: skip


@pytest.fixture
def finished(fgbench, tmp_path):
    fgbench(*RUN)
    (folder,) = (tmp_path / "runs").iterdir()
    entries = json.loads((folder / "leaderboard.json").read_text())["entries"]
    return folder, {(entry["arm"], entry["calibrator"]["name"]): entry for entry in entries}


def test_predict_matches_stored_predictions(fgbench, finished):
    """The test split's own texts, sent through the command, come back as they were predicted."""
    from fgbench.cards import DataFolder
    from fgbench.plugins.references import PartReference
    from fgbench.plugins.registry import Registry

    folder, entries = finished
    loader = Registry.load().create("dataset", PartReference.parse(RUN[2]))
    texts = loader.load(DataFolder.from_environment()).splits["test"].inputs
    for entry in entries.values():
        for seed in (0, 1):
            answer = fgbench(
                "predict", folder, "--cell", entry["id"][:10], "--seed", seed,
                input="\n".join(texts) + "\n",
            )  # fmt: skip
            rows = [json.loads(line) for line in answer.stdout.splitlines()]
            got = np.array([list(row["probabilities"].values()) for row in rows])
            path = folder / f"predictions/{entry['id']}-seed{seed}.npz"
            assert got == pytest.approx(Predictions.load(path).probabilities(), abs=1e-5)
            assert {row["label"] for row in rows} == {"access", "network"}


def test_predict_accepts_odd_texts(fgbench, finished):
    folder, entries = finished
    cell = entries["baseline", "none"]["id"]
    answer = fgbench("predict", folder, "--cell", cell, input="\n🎉🎉\na\x00b\n" + "x" * 100_000)
    assert len(answer.stdout.splitlines()) == 4
    assert fgbench("predict", folder, "--cell", cell, input="").stdout == ""


def test_predict_refuses_invalid_input(fgbench, finished, tmp_path):
    folder, entries = finished
    cell = entries["baseline", "none"]["id"]
    assert "no entry" in fgbench("predict", folder, "--cell", "xyz", code=2, input="").stderr
    assert "several entries" in fgbench("predict", folder, "--cell", "", code=2, input="").stderr
    wrong = fgbench("predict", folder, "--cell", cell, "--seed", 7, code=2, input="")
    assert "has no seed 7" in wrong.stderr
    elsewhere = fgbench("predict", folder, "--cell", cell, "--store", "other", code=2, input="")
    assert "not in this store" in elsewhere.stderr


SMALL = [
    "run", "--dataset", "logistic-1d", "--limit", "150", "--arm", "baseline", "--replicates", "10",
    "--metric", "ece", "--seed", "0", "--quiet",
]  # fmt: skip


def test_received_models_lead_nowhere_and_damage_is_named(fgbench, tmp_path):
    """A key is not a path, even where the store holds the artifact that it begins with."""
    fgbench(*SMALL)
    (folder,) = (tmp_path / "runs").iterdir()
    entry = json.loads((folder / "leaderboard.json").read_text())["entries"][0]
    models = json.loads((folder / "models.json").read_text())
    key = models[entry["id"]]["0"]
    store = tmp_path / "store"
    assert (store / "objects" / key[:2] / key).is_dir()
    thesis = tmp_path / "victim/thesis.txt"
    thesis.parent.mkdir()
    thesis.write_text("precious")
    others = {path.parent.name: path for path in (store / "objects").glob("*/*/manifest.json")}
    dataset = next(key for key, path in others.items() if '"stage": "dataset"' in path.read_text())
    for received, message in [
        (f"{key}/../../../../victim", "64 hexadecimal digits"),
        (f"../../../{thesis.parent}", "64 hexadecimal digits"),
        (["x"], "64 hexadecimal digits"),
        (dataset, "has no folder 'model'"),
        ("0" * 64, "is not in this store"),
    ]:
        (folder / "models.json").write_text(json.dumps({entry["id"]: {"0": received}}))
        answer = fgbench("predict", folder, "--cell", entry["id"], code=2, input="0\n")
        assert message in answer.stderr
        assert answer.stderr.count("\n") == 1
        assert thesis.read_text() == "precious"
    (folder / "models.json").write_text(json.dumps(models))
    model = store / "objects" / key[:2] / key
    (next(path for path in (model / "model").iterdir())).write_bytes(b"")
    answer = fgbench("predict", folder, "--cell", entry["id"], code=2, input="0\n")
    assert "was corrupt and has been removed. Rerun the suite to rebuild it." in answer.stderr


def test_predict_without_saved_weights_is_an_error(fgbench, tmp_path):
    fgbench("run", "--dataset", "probe", "--arm", "baseline", "--seed", 0, "--quiet", probe=True)
    (folder,) = (tmp_path / "runs").iterdir()
    entry = json.loads((folder / "leaderboard.json").read_text())["entries"][0]
    answer = fgbench("predict", folder, "--cell", entry["id"], code=2, probe=True, input="x")
    assert "stores no weights" in answer.stderr


def test_samples_record_baseline_probabilities(finished):
    folder, _ = finished
    paths = sorted((folder / "samples").iterdir())
    samples = [sample for path in paths for sample in load_samples(path, RunSample)]
    usable = [sample for sample in samples if sample.has_input]
    assert usable
    for sample in usable:
        assert sum(sample.baseline_probabilities) == pytest.approx(1)
    assert ">baseline classifier</th>" in (folder / "report.html").read_text()
