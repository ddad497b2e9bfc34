"""Small run folders, built without running the loop: miscalibrated predictions and a board."""

import json
from functools import cache

import numpy as np

from fgbench.coordinates import Coordinates, DatasetRecord, PartRecord, entry_id
from fgbench.data import Predictions
from fgbench.digests import digest_file
from fgbench.inference import Contrast, applicable, evaluate_metrics
from fgbench.leaderboard.build import assemble, build_entry
from fgbench.leaderboard.contrasts import allowance, restored
from fgbench.leaderboard.files import write_board
from fgbench.leaderboard.models import Artifacts, PredictionsFile, Provenance, SyntheticRecord
from fgbench.plugins.references import PartReference
from fgbench.plugins.registry import Registry
from fgbench.primary import Primary

SHARPNESS = {
    "baseline": 2.5,
    "real": 2.4,
    "synthesis": 1.7,
    "synthesis+": 1.4,
    "resample": 1.9,
    "other-bins": 1.8,
    "no-shift": 1.75,
}
"""By how much each arm's logits are too large; 1 is calibrated."""

ARMS = ("baseline", "real", "synthesis", "synthesis+")
CONTROL_ARMS = ("resample", "other-bins", "no-shift")
"""With `ARMS`, all that a verdict needs."""

REPLICATES = 60


@cache
def registry():
    return Registry.load()


@cache
def metrics():
    names = registry().names("metric")
    return {name: registry().create("metric", PartReference.parse(name)) for name in names}


def predictions(arm, calibrator, seed, *, n=300, classes=2):
    rng = np.random.default_rng(7)  # one test set for all
    truth = rng.normal(scale=1.5, size=(n, classes))
    posterior = np.exp(truth) / np.exp(truth).sum(axis=1, keepdims=True)
    labels = (posterior.cumsum(axis=1) < rng.uniform(size=(n, 1))).sum(axis=1)
    sharpness = SHARPNESS[arm] if calibrator == "none" else 1.1
    noise = np.random.default_rng(seed).normal(scale=0.3, size=truth.shape)
    return Predictions(
        sharpness * (truth + noise), np.minimum(labels, classes - 1), posterior=posterior
    )


def coordinates(arm, calibrator="none", *, seeds=(0, 1), dataset="demo", classes=2, **changes):
    generating = arm not in ("baseline", "real")
    values = {
        "dataset": DatasetRecord(
            name=dataset,
            digest="d" * 64,
            n_train=500,
            n_validation=200,
            n_test=300,
            label_names=[f"label {k}" for k in range(classes)],
        ),
        "classifier": PartRecord(name="logreg"),
        "loss": PartRecord(name="cross-entropy"),
        "generator": PartRecord(name="oracle") if generating else None,
        "calibrator": PartRecord(name=calibrator),
        "arm": arm,
        "bins": 15 if generating else None,
        "threshold": 0.03 if generating else None,
        "selector": "threshold" if generating else None,
        "seeds": list(seeds),
    }
    return Coordinates(**(values | changes))


def make_entry(folder, where, *, classes=2, provenance=None):
    """Write an entry's predictions into `folder`; return the entry and its evaluations."""
    name = entry_id(where)
    files, evaluations = [], []
    for seed in where.seeds:
        path = folder / "predictions" / f"{name}-seed{seed}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        made = predictions(where.arm, where.calibrator.name, seed, classes=classes)
        made.save(path)
        files.append(
            PredictionsFile(seed=seed, path=f"predictions/{path.name}", sha256=digest_file(path))
        )
        usable = applicable(metrics(), made)
        evaluations.append(evaluate_metrics(made, usable, replicates=REPLICATES))
    entry = build_entry(
        where,
        evaluations,
        provenance=provenance
        or Provenance(
            fgbench="0.1.0",
            python="3.12.1",
            started="2026-01-02T03:04:05Z",
            platform="Linux",
            packages={"numpy": "2.4"},
        ),
        metric_versions={key: metric.version for key, metric in metrics().items()},
        margins={key: metric.margin for key, metric in metrics().items() if metric.margin},
        higher_is_better=[key for key, metric in metrics().items() if not metric.lower_is_better],
        neutral=["loss", "calibrator"] if where.calibrator.name == "none" else ["loss"],
        replicates=REPLICATES,
        synthetic=SyntheticRecord(
            requested=12,
            accepted=10,
            shortage=2,
            rejected_by={"relabeled": 3, "duplicate of test": 1},
        )
        if where.generator
        else None,
        artifacts=Artifacts(predictions=files),
    )
    return entry, evaluations


def make_run(
    folder,
    *,
    arms=ARMS,
    calibrators=("none", "temperature"),
    seeds=(0, 1),
    dataset="demo",
    classes=2,
    name="demo run",
    text="plain text",
):
    """Write a run folder and return its board; `text` goes wherever data puts text."""
    entries, evaluations = [], {}
    for arm in arms:
        for calibrator in calibrators:
            where = coordinates(arm, calibrator, seeds=seeds, dataset=dataset, classes=classes)
            entry, values = make_entry(folder, where, classes=classes)
            entries.append(entry)
            evaluations[entry.id] = values
    calibrator = next((name for name in calibrators if name != "none"), None)
    board = assemble(
        name,
        "2026-01-02T03:04:05Z",
        entries,
        lambda entry: evaluations.get(entry.id),
        Primary(calibrator=calibrator),
        [name for name, metric in metrics().items() if metric.shown_by_default],
    )
    write_board(board, folder / "leaderboard.json")
    write_samples(folder, dataset=dataset, text=text)
    write_sample_index(folder, board)
    write_events(folder, text=text)
    return board


def unraised(entry, record, metric):
    """Return the contrast of a record as it was before the board raised its standard error."""
    raised = restored(entry, record, metric)
    if raised.standard_error is None:
        return raised
    return Contrast.of(
        difference=raised.difference,
        standard_error=raised.standard_error / allowance(entry.statistics.replicates),
        degrees_of_freedom=raised.degrees_of_freedom,
        margin=raised.margin,
        seeds=raised.seeds,
        rows=raised.rows,
    )


def write_samples(folder, *, dataset="demo", text="plain text"):
    lines = []
    for number in range(8):
        accepted = number % 4 != 3
        lines.append(
            {
                "dataset": dataset,
                "generator": "oracle",
                "seed": 0,
                "bins": 15,
                "design": "targeted",
                "draw": 0,
                "bin": 9 + number % 2,
                "source": {
                    "split": "validation",
                    "index": number,
                    "label": 1,
                    "input": f"source {number}: {text}",
                },
                "bin_probabilities": [0.35, 0.65],
                "asked_probabilities": [0.45, 0.55],
                "messages": [],
                "raw": f"raw {text}",
                "input": f"synthetic {number}: {text}",
                "claimed_probabilities": [0.4, 0.6],
                "relabeled": 1 if accepted else 0,
                "achieved_probabilities": [0.44, 0.56],
                "verdict": "accepted" if accepted else "rejected",
                "reason": None if accepted else f"relabeled {text}",
                "used_in": ["synthesis", "synthesis+"] if accepted else [],
            }
        )
    accepted_ones = [line for line in lines if line["verdict"] == "accepted"]
    lines += [line | {"verdict": "surplus", "used_in": []} for line in accepted_ones]
    path = folder / "samples" / f"{dataset}-oracle-15-seed0.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def write_sample_index(folder, board):
    (path,) = (folder / "samples").iterdir()
    users = [entry.id for entry in board.entries if entry.arm.startswith("synthesis")]
    index = {entry: [f"samples/{path.name}"] for entry in users}
    (folder / "samples.json").write_text(json.dumps(index), encoding="utf-8")


def write_events(folder, *, text="plain text"):
    events = [
        {"time": "2026-01-02T03:04:05Z", "event": "run_started", "run": "r1", "cells": 17},
        {
            "time": "2026-01-02T03:05:05Z",
            "event": "cell_failed",
            "cell": f"demo · {text}",
            "seed": 0,
            "error": f"the plugin raised: {text}",
        },
        {"time": "2026-01-02T03:06:05Z", "event": "run_finished", "run": "r1", "status": "failed"},
    ]
    body = "".join(json.dumps(event) + "\n" for event in events)
    (folder / "events.jsonl").write_text(body + '{"half a li', encoding="utf-8")
