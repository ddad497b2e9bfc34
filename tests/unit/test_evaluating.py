"""`fgbench.evaluate` and the files that it reads; the command is in test_evaluate_cli.py."""

import numpy as np
import pytest

from fgbench import evaluate
from fgbench.calibration import predictions_from_probabilities
from fgbench.calibration.grid import measure
from fgbench.errors import DataError
from fgbench.evaluating import read_predictions


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)
    p = rng.beta(1, 1, size=300).round(6)
    return p, (rng.random(300) < p).astype(int)


def test_grid_agrees_with_metrics(predictions):
    p, y = predictions
    grid, metrics = measure(predictions_from_probabilities(p, y)), evaluate(p, y)
    for name in ("ece", "ece_mass", "mce", "classwise_ece"):
        assert grid[f"{name}:bins=15"] == pytest.approx(metrics[name].mean, rel=1e-9)
    for name in ("brier", "nll", "ks"):
        assert grid[name] == pytest.approx(metrics[name].mean, rel=1e-9)


def test_mean_confidence_of_correct_and_wrong_predictions():
    grid = measure(predictions_from_probabilities([0.9, 0.8, 0.3, 0.4], [1, 0, 0, 0]))
    assert grid["confidence_right"] == pytest.approx((0.9 + 0.7 + 0.6) / 3)
    assert grid["confidence_wrong"] == pytest.approx(0.8)
    assert np.isnan(measure(predictions_from_probabilities([0.9], [1]))["confidence_wrong"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1"),
        ("p\n0.5\n", "one column `label`"),
        ("label,p\n", "no predictions"),
        ("label,p\n1\n", "line 2: 1 fields"),
        ("label,p\n1,high\n", "line 2: .* not numbers"),
        ("label,p\n2,0.5\n", "line 2: label '2'"),
        ("label,a,b\nc,0.5,0.5\n", "line 2: label 'c'"),
        ("label,p\n1,1.5\n", r"not in \[0, 1\]"),
        ("label,p\n1,nan\n", r"not in \[0, 1\]"),
        ("label,a,b\na,0.5,0.6\n", "sums to 1.1"),
    ],
)
def test_invalid_csv_error_names_line(tmp_path, text, message):
    path = tmp_path / "p.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(DataError, match=message):
        read_predictions(path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": [0, 1]}, "either `logits` or `probabilities`"),
        ({"probabilities": [0.5, 0.5]}, "must contain `labels`"),
        ({"probabilities": [0.5, 0.5], "labels": [0, 3]}, "3"),
        ({"probabilities": [0.5, 0.5], "labels": [0.0, 0.5]}, "whole numbers"),
        ({"probabilities": [0.5], "labels": [0, 1]}, "1 rows"),
        ({"logits": [[0.0, np.nan]], "labels": [0]}, "NaN"),
        ({"logits": [0.0, 1.0], "labels": [0, 1]}, "shape"),
    ],
)
def test_invalid_arrays_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "p.npz", **arrays)
    with pytest.raises(DataError) as caught:
        read_predictions(tmp_path / "p.npz")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pickles_and_other_files_are_refused(tmp_path):
    np.savez(tmp_path / "p.npz", labels=np.array([{}], dtype=object))
    with pytest.raises(DataError, match="plain arrays"):
        read_predictions(tmp_path / "p.npz")
    (tmp_path / "p.txt").write_text("x")
    for name, message in (("p.txt", r"\.npz or \.csv"), ("q.npz", "no such file")):
        with pytest.raises(DataError, match=message):
            read_predictions(tmp_path / name)
