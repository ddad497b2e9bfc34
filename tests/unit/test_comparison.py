"""`fgbench.compare`: two sets of predictions of the same rows."""

import re
import subprocess
import sys

import numpy as np
import pytest

import fgbench
from fgbench import compare
from fgbench.errors import ConfigurationError, DataError
from fgbench.leaderboard.files import read_board, read_predictions
from support.boards import REPLICATES, make_run, unraised

MARK = re.compile(r"[●■◆◇]")


def made(n=400, seeds=3, classes=2, sharpness=1.0, shift=0):
    """Return probabilities (S, n, K) of a classifier with the given sharpness, and labels."""
    rng = np.random.default_rng(1)
    truth = rng.normal(scale=1.5, size=(n, classes))
    posterior = np.exp(truth) / np.exp(truth).sum(axis=1, keepdims=True)
    labels = (posterior.cumsum(axis=1) < rng.uniform(size=(n, 1))).sum(axis=1)
    noise = np.random.default_rng(10 + shift).normal(scale=0.3, size=(seeds, n, classes))
    logits = sharpness * (truth + noise)
    odds = np.exp(logits - logits.max(axis=2, keepdims=True))
    return odds / odds.sum(axis=2, keepdims=True), np.minimum(labels, classes - 1)


def test_compare_is_the_function_after_every_import():
    script = (
        "import fgbench, fgbench.cli.compare, fgbench.differences.compare, fgbench.inference;"
        "assert callable(fgbench.compare), fgbench.compare;"
        "import sys; assert 'matplotlib' not in sys.modules and 'pandas' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("classes", [2, 4])
def test_calibrated_is_better_than_overconfident(classes):
    a, labels = made(1000, classes=classes)
    b, _ = made(1000, classes=classes, sharpness=2.5, shift=1)
    result = compare(a, b, labels)
    assert list(result) == ["accuracy", "ece", "nll", "brier"]
    assert (result.n, result.seeds, result.classes) == (1000, 3, classes)
    for name in ("ece", "nll", "brier"):
        item = result[name]
        assert item.word == "better"
        assert item.difference == pytest.approx(item.a - item.b)
        assert item.interval[0] < item.difference < item.interval[1] < 0
        assert item.p_value < 0.05 and item.confidence == 0.95
    swapped = compare(b, a, labels)
    for name, item in result.items():
        assert swapped[name].difference == pytest.approx(-item.difference)
        assert swapped[name].p_value == pytest.approx(item.p_value)
    assert {swapped[name].word for name in ("ece", "nll", "brier")} == {"worse"}


def test_difference_of_means_is_the_paired_one():
    a, labels = made()
    b, _ = made(sharpness=1.2, shift=1)
    item = compare(a, b, labels, metrics=["brier"])["brier"]
    outcome = np.eye(2)[labels]
    each = [((side - outcome) ** 2).sum(axis=2).mean(axis=1) for side in (a, b)]
    assert item.a == pytest.approx(each[0].mean())
    assert item.difference == pytest.approx((each[0] - each[1]).mean())


def test_four_shapes_of_binary_predictions_agree():
    a, labels = made(seeds=1)
    b, _ = made(seeds=1, sharpness=2, shift=1)
    results = [
        compare(of(a), of(b), labels, replicates=100)
        for of in (
            lambda p: p[0, :, 1],
            lambda p: p[0],
            lambda p: p[:, :, 1],
            lambda p: p,
        )
    ]
    for result in results[1:]:
        for name, item in result.items():
            assert item.difference == pytest.approx(results[0][name].difference)
            assert item.interval == pytest.approx(results[0][name].interval)


def test_one_seed_has_a_reason_and_no_mark():
    a, labels = made(seeds=1)
    b, _ = made(seeds=1, sharpness=4, shift=1)
    result = compare(a, b, labels)
    for item in result.values():
        assert (item.word, item.p_value, item.p_equivalence) == ("none", None, None)
        assert item.reason == "one seed: speaks of these two trained models only"
        assert item.interval[0] < item.difference < item.interval[1]
    assert not MARK.search(repr(result))
    assert "one seed: speaks of these two trained models only" in repr(result)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda a, b, y: (a[:, :9], b[:, :9], y[:9]), "9 distinct test rows: at least 10"),
        (lambda a, b, y: (a, a, y), "same value in every seed and on all rows"),
        (lambda a, b, y: (np.full_like(a, 0.5), b, y), "predictions of a are the same for every"),
        (lambda a, b, y: (a, np.full_like(a, 0.5), y), "predictions of b are the same for every"),
    ],
)
def test_no_mark_where_nothing_can_be_inferred(change, reason):
    a, labels = made()
    b, _ = made(sharpness=2, shift=1)
    result = compare(*change(a, b, labels))
    for item in result.values():
        assert item.word == "none" and item.p_value is None
        assert reason in item.reason
    assert not MARK.search(repr(result))


def test_few_groups_are_few_rows():
    a, labels = made()
    b, _ = made(sharpness=2, shift=1)
    result = compare(a, b, labels, groups=np.arange(400) % 9)
    assert result.units == 9
    assert all("9 distinct test rows" in item.reason for item in result.values())
    assert "400 rows in 9 groups" in repr(result)


def test_margin_comes_before_significance():
    a, labels = made(n=1500)
    b = np.clip(a + np.array([0.002, -0.002]), 1e-6, None)
    b /= b.sum(axis=2, keepdims=True)
    item = compare(a, b, labels, metrics=["brier"], margins=0.02)["brier"]
    assert item.word == "within" and item.p_equivalence < 0.05 and item.confidence == 0.9
    assert -0.02 < item.interval[0] < item.difference < item.interval[1] < 0.02
    narrow = compare(a, b, labels, metrics=["brier"], margins={"brier": 1e-9})["brier"]
    assert narrow.word != "within"
    declared = compare(a, b, labels)
    assert declared["accuracy"].margin == 0.01 and declared["nll"].margin is None


def test_result_is_a_table_a_frame_and_json():
    a, labels = made(1000)
    b, _ = made(1000, sharpness=2.5, shift=1)
    result = compare(a, b, labels, metrics=["ece", "ece:bins=10"])
    text = repr(result)
    assert max(map(len, text.splitlines())) <= 80
    assert "● better" in text and "Lower is better: ece, ece:bins=10." in text
    frame = result.to_frame().set_index("metric")
    assert list(frame.index) == ["ece", "ece:bins=10"]
    assert frame.loc["ece", "difference"] == result["ece"].difference
    assert frame.loc["ece", "word"] == "better"
    value = result.to_value()["metrics"]["ece"]
    assert value["word"] == "better" and value["interval"] == list(result["ece"].interval)
    named = compare(a, b, labels, metrics=["ece"], names=("<b>ours</b>", "theirs"))
    assert "&lt;b&gt;ours" in named._repr_html_() and "<b>" not in named._repr_html_()
    assert repr(named).startswith("a: <b>ours</b>\nb: theirs\n")


def test_metric_undefined_on_one_side_has_its_reason():
    a, labels = made()
    b = np.stack([np.where(np.eye(2)[labels] > 0, 0.9, 0.1)] * 3)  # always right
    result = compare(a, b, labels, metrics=["accuracy", "auroc_correctness"])
    assert list(result) == ["accuracy"]
    assert "all predictions are right" in result.undefined["auroc_correctness"]
    assert "auroc_correctness: undefined" in repr(result)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"b": np.full((2, 12), 0.5)}, "a has 3 seeds, b has 2: compare predictions of the same"),
        ({"b": np.full((3, 11), 0.5)}, "b has the shape (3, 11), but there are 12 labels"),
        ({"b": np.full((3, 12, 3), 1 / 3)}, "a has 2 classes, b has 3"),
        (
            {"a": np.full((3, 12), 2.0)},
            "a, seed 0, row 0: the probability of class 1, 2, is not in [0, 1]",
        ),
        ({"a": np.full((3, 12), np.nan)}, "a, seed 0, row 0: the probability of class 1, nan"),
        ({"b": np.full((3, 12, 2), 0.6)}, "b, seed 0, row 0: it sums to 1.2, not to 1"),
        ({"labels": np.arange(12)}, "labels, row 2: the label 2 is not a class"),
        ({"labels": np.arange(12) - 1}, "labels, row 0: the label -1 is not a class"),
        ({"groups": [1, 2]}, "groups must have one label for each of 12 rows"),
        ({"a": np.eye(12), "b": np.eye(12)}, "Pass seeds=1 or seeds=12"),
        ({"metrics": ["ecc"]}, "Did you mean 'ece'?"),
        ({"margins": 0}, "must be above 0"),
        ({"margins": {"ece": float("nan")}}, "must be above 0"),
        ({"margins": {"ecc": 0.1}}, "margin of 'ecc': that metric is not compared"),
        ({"metrics": ["true_calibration_error"]}, "needs posterior"),
    ],
)
def test_invalid_comparisons_are_refused_in_one_sentence(arguments, message):
    valid = {
        "a": np.linspace(0.1, 0.9, 36).reshape(3, 12),
        "b": np.linspace(0.9, 0.2, 36).reshape(3, 12),
        "labels": np.arange(12) % 2,
    }
    with pytest.raises((DataError, ConfigurationError)) as caught:
        compare(**(valid | arguments))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_square_predictions_compare_once_seeds_are_given():
    rng = np.random.default_rng(0)
    a, b = (rng.dirichlet(np.ones(12), size=12) for _ in range(2))
    result = compare(a, b, np.arange(12), seeds=1, replicates=50)
    assert (result.seeds, result.classes) == (1, 12)
    assert compare(a[None], b[None], np.arange(12), replicates=50).classes == 12


def test_compare_agrees_with_the_contrast_of_a_board(tmp_path):
    make_run(tmp_path, seeds=(0, 1, 2))
    board = read_board(tmp_path / "leaderboard.json")
    entry = next(e for e in board.entries if e.arm == "synthesis+" and "calibrator" in e.neutral)
    against = entry.contrasts["baseline"]
    sides = [
        [read_predictions(tmp_path, record) for record in side.artifacts.predictions]
        for side in (entry, board.entry(against.entry))
    ]
    result = compare(
        *([part.probabilities() for part in side] for side in sides),
        sides[0][0].labels,
        metrics=list(against.metrics),
        posterior=sides[0][0].posterior,
        replicates=REPLICATES,
    )
    assert len(result) == len(against.metrics) > 15
    for name, record in against.metrics.items():
        item, expected = result[name], unraised(entry, record, name)
        assert item.difference == pytest.approx(record.difference, abs=1e-6), name
        assert item.p_value == pytest.approx(expected.p_value, abs=1e-4), name
        if item.confidence == 0.95:
            assert item.interval == pytest.approx(expected.interval, abs=1e-5), name


def test_public_names_are_typed():
    assert isinstance(compare(*[np.full(12, 0.5)] * 2, [0, 1] * 6), fgbench.PredictionComparison)
