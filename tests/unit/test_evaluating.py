"""`fgbench evaluate` and `fgbench.evaluate`: anyone's predictions, good and bad."""

import json

import numpy as np
import pytest

from fgbench import evaluate
from fgbench.calibration import predictions_from_probabilities
from fgbench.calibration.grid import BIN_COUNTS, FAMILIES, OTHERS, measure
from fgbench.errors import DataError
from fgbench.evaluating import read_predictions


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)
    p = rng.beta(1, 1, size=300).round(6)
    return p, (rng.random(300) < p).astype(int)


def write_csv(path, header, rows):
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n", "utf-8")
    return path


def test_csv_npz_and_arrays_give_equal_metrics(predictions, tmp_path, fgbench):
    p, y = predictions
    expected = evaluate(p, y)
    one = write_csv(tmp_path / "one.csv", "label,p", zip(y, p, strict=True))
    named = ((1 - b, b, "yes" if a else "no") for a, b in zip(y, p, strict=True))
    two = write_csv(tmp_path / "two.csv", "no,yes,label", named)
    np.savez(tmp_path / "p.npz", probabilities=p, labels=y)
    for file in (one, two, tmp_path / "p.npz"):
        done = fgbench("evaluate", file, "--json")
        found = json.loads(done.stdout)["metrics"]
        assert found.keys() == expected.keys()
        for name, each in expected.items():
            assert found[name]["value"] == pytest.approx(each.mean, abs=1e-9), name
            assert found[name]["ci95"] == pytest.approx(list(each.ci95), abs=1e-9), name


def test_evaluate_table_fits_80_columns_and_grid_is_complete(predictions, tmp_path, fgbench):
    p, y = predictions
    np.savez(tmp_path / "p.npz", logits=np.log(np.stack([1 - p, p], 1) + 1e-9), labels=y)
    done = fgbench("evaluate", tmp_path / "p.npz", "--full", "--replicates", "50")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "noise floor" in done.stdout
    for name in OTHERS:
        assert name in done.stdout
    value = json.loads(fgbench("evaluate", tmp_path / "p.npz", "--full", "--json").stdout)
    assert len(value["grid"]) == len(BIN_COUNTS) * len(FAMILIES) + len(OTHERS)


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
        ({"logits": np.zeros((0, 2)), "labels": np.zeros(0, int)}, "no predictions"),
    ],
)
def test_invalid_arrays_are_refused(tmp_path, arrays, message, fgbench):
    np.savez(tmp_path / "p.npz", **arrays)
    done = fgbench("evaluate", tmp_path / "p.npz", code=2)
    assert done.stderr.count("\n") == 1
    assert message in done.stderr


def test_pickles_and_other_files_are_refused(tmp_path):
    np.savez(tmp_path / "p.npz", labels=np.array([{}], dtype=object))
    with pytest.raises(DataError, match="plain arrays"):
        read_predictions(tmp_path / "p.npz")
    (tmp_path / "p.txt").write_text("x")
    for name, message in (("p.txt", r"\.npz or \.csv"), ("q.npz", "no such file")):
        with pytest.raises(DataError, match=message):
            read_predictions(tmp_path / name)


def test_single_class_metrics_have_values_or_reasons(tmp_path, fgbench):
    np.savez(tmp_path / "p.npz", probabilities=np.full(50, 0.7), labels=np.ones(50, int))
    value = json.loads(fgbench("evaluate", tmp_path / "p.npz", "--json").stdout)
    assert value["metrics"]["ece_positive"]["value"] == pytest.approx(0.3)
    assert "a class does not occur" in value["undefined"]["auroc"]
    assert "all predictions are right" in value["undefined"]["auroc_correctness"]
