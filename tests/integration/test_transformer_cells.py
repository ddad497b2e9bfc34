"""Runs of a tiny BERT: several jobs at once, and cells that fail beside others that do not."""

from __future__ import annotations

import csv
import json

import pytest

import fgbench as package
from support.runs import comparable, events
from support.tiny_bert import training_set

pytest.importorskip("torch", reason="transformer classifiers need fgbench[transformers]")
pytest.importorskip("transformers")


@pytest.fixture
def texts(tmp_path):
    """Write a small data set, and return the reference to it."""
    made = training_set(160)
    path = tmp_path / "texts.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        rows = zip(made.inputs, made.labels, strict=True)
        writer.writerows([f"{text} no {at}", label] for at, (text, label) in enumerate(rows))
    return f"csv:path={path},text=text,label=label"


def test_transformer_cells_with_several_jobs_give_same_board(tmp_path, texts, tiny):
    """Trainings on all cores take turns; those with one thread run side by side."""
    hf = {"name": "hf", "model": str(tiny), "steps": 6, "passes": 2, "device": "cpu"}
    folders = []
    for jobs in (1, 2):
        outcome = package.run(
            out=tmp_path / f"runs-{jobs}", store=tmp_path / f"store-{jobs}", jobs=jobs,
            dataset=texts, classifiers=[hf | {"threads": threads} for threads in (0, 1)],
            arms=["baseline", "real", "synthesis+"], bins=5, calibrators=["none", "mc-dropout"],
            seeds=[0, 1], replicates=20,
        )  # fmt: skip
        assert not outcome.failures
        assert len(outcome.leaderboard.entries) == 2 * 3 * 2
        folders.append(outcome.folder)
    boards = [comparable(folder / "leaderboard.json") for folder in folders]
    assert boards[0] == boards[1]
    predictions = [
        {path.name: path.read_bytes() for path in (folder / "predictions").iterdir()}
        for folder in folders
    ]
    assert predictions[0] == predictions[1]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("learning_rate=0", "learning_rate=0 does not train the model: set a positive value"),
        ("learning_rate=1e30", "the loss is not finite at step"),
    ],
)
def test_failing_training_leaves_other_cells(fgbench, tmp_path, texts, tiny, options, sentence):
    hf = f"hf:model={tiny},device=cpu,threads=1,steps=3"
    answer = fgbench(
        "run", "--dataset", texts, "--classifier", f"{hf},{options}", "--classifier", hf,
        "--arm", "baseline", "--calibrator", "none", "--seed", 0, "--replicates", 20, code=1,
    )  # fmt: skip
    assert sentence in answer.stderr
    assert "Traceback (most recent call last)" not in answer.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    (entry,) = json.loads((folder / "leaderboard.json").read_text())["entries"]
    assert entry["classifier"]["params"]["learning_rate"] == 2e-5
    (failed,) = (event for event in events(folder) if event["event"] == "cell_failed")
    assert failed["error"].count("\n") == 0 and sentence in failed["error"]


@pytest.mark.parametrize("rate", ["-0.1", "nan"])
def test_invalid_learning_rate_stops_plan(fgbench, tmp_path, texts, tiny, rate):
    answer = fgbench(
        "run", "--dataset", texts, "--classifier", f"hf:model={tiny},learning_rate={rate}", code=2
    )
    assert "learning_rate" in answer.stderr
    assert not (tmp_path / "runs").exists()
