"""`fgbench evaluate`: anyone's predictions, as CSV and as arrays."""

import json

import numpy as np
import pytest

from fgbench import evaluate
from fgbench.calibration.grid import BIN_COUNTS, FAMILIES, OTHERS


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
            ends = each.ci95 and pytest.approx(list(each.ci95), abs=1e-9)
            assert found[name]["ci95"] == ends, name


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


def test_single_class_metrics_have_values_or_reasons(tmp_path, fgbench):
    np.savez(tmp_path / "p.npz", probabilities=np.full(50, 0.7), labels=np.ones(50, int))
    value = json.loads(fgbench("evaluate", tmp_path / "p.npz", "--json").stdout)
    assert value["metrics"]["ece_positive"]["value"] == pytest.approx(0.3)
    assert "a class does not occur" in value["undefined"]["auroc"]
    assert "all predictions are right" in value["undefined"]["auroc_correctness"]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": [0, 1]}, "either `logits` or `probabilities`"),
        ({"logits": np.zeros((0, 2)), "labels": np.zeros(0, int)}, "no predictions"),
    ],
)
def test_invalid_arrays_exit_2_with_one_error(tmp_path, arrays, message, fgbench):
    np.savez(tmp_path / "p.npz", **arrays)
    done = fgbench("evaluate", tmp_path / "p.npz", code=2)
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
