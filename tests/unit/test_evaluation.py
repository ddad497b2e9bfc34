"""`fgbench.evaluate`, its shapes, and the files of predictions that it reads."""

import sys
from pathlib import Path

import numpy as np
import pytest

from fgbench import evaluate
from fgbench.calibration import predictions_from_probabilities
from fgbench.calibration.grid import measure
from fgbench.errors import ConfigurationError, DataError
from fgbench.evaluation.sets import read_pair, read_predictions
from fgbench.evaluation.shapes import seeds_of


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
        ("label,p\n1,high\n", "line 2: 'high' in the column 'p' is not a number"),
        ("label,p\n2,0.5\n", "line 2: label '2'"),
        ("label,a,b\nc,0.5,0.5\n", "line 2: label 'c'"),
        ("label,p\n0,0.5\n\n1,1.5\n", r"line 4: .* class 1, 1.5, is not in \[0, 1\]"),
        ("label,p\n1,nan\n", r"line 2: .* nan, is not in \[0, 1\]"),
        ("label,a,b\na,1,0\na,0.5,0.6\n", "line 3: it sums to 1.1"),
        ('label,p,group\n1,0.5,"two\nlines"\n1,7,x\n', "line 4: .* class 1, 7"),
        ("label,p,p\n1,0.5,0.5\n", "line 1: two columns are named 'p'"),
        ("label,id,seed\n1,a,0\n", "line 1: the header must have"),
        ("label,p,id\n1,0.5,a\n1,0.5,a\n", "line 3: the id 'a' is also on line 2"),
        ("label,p,group\n1,0.5,\n", "line 2: no value in the column `group`"),
        ("label,p,seed\n1,0.5,1\n1,0.5,1\n1,0.5,2\n", "p.csv: 1 rows, but .* has 2"),
        ("label,p,seed,id\n1,.5,1,a\n1,.5,2,b\n", "line 2: the id 'a' is not in"),
        ("label,p,seed\n1,.5,1\n0,.5,2\n", "line 3: label 0, but .* line 2 has label 1"),
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
        ({"probabilities": [0.5], "labels": [0, 1]}, "shape (1,), but there are 2 labels"),
        ({"probabilities": [0.5, 0.5], "labels": [0, 1], "groups": [1]}, "groups"),
        ({"logits": np.zeros((2, 2)), "labels": [0.5, 1]}, "labels, row 0: the label 0.5"),
        ({"logits": np.zeros((2, 2)), "labels": [0, 2]}, "labels, row 1: the label 2"),
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
    (tmp_path / "folder.csv").mkdir()
    for name, message in (
        ("p.txt", r"\.npz or \.csv"),
        ("q.npz", "no such file"),
        ("folder.csv", "not a regular file"),
    ):
        with pytest.raises(DataError, match=message):
            read_predictions(tmp_path / name)


@pytest.mark.parametrize(
    ("shape", "n", "given", "seeds"),
    [
        ((7,), 7, None, [(7,)]),
        ((7, 3), 7, None, [(7, 3)]),
        ((2, 7), 7, None, [(7,), (7,)]),
        ((2, 7, 3), 7, None, [(7, 3), (7, 3)]),
        ((7, 7, 3), 7, None, [(7, 3)] * 7),
        ((1, 7, 7), 7, None, [(7, 7)]),
        ((7, 7), 7, 1, [(7, 7)]),
        ((7, 7), 7, 7, [(7,)] * 7),
        ((2, 7), 7, 2, [(7,), (7,)]),
    ],
)
def test_number_of_labels_tells_axes_apart(shape, n, given, seeds):
    values = np.arange(np.prod(shape)).reshape(shape)
    found = seeds_of("a", values, n, given).arrays
    assert [array.shape for array in found] == seeds
    assert np.array_equal(np.concatenate(found, axis=0).ravel(), values.ravel())


@pytest.mark.parametrize(
    ("shape", "n", "given", "message"),
    [
        ((7, 7), 7, None, "7 rows of 7 classes or 7 seeds of 7 rows. Pass seeds=1 or seeds=7"),
        ((7, 7), 7, 2, "one seed or 7 seeds, not 2"),
        ((2, 7), 7, 3, "which with 7 labels is 2 seeds, not 3"),
        ((7, 1), 7, None, "(7, 1), but there are 7 labels"),
        ((6,), 7, None, "(6,), but there are 7 labels"),
        ((7, 2, 3), 7, None, "(7, 2, 3), but there are 7 labels"),
        ((1, 2, 7, 3), 7, None, "(1, 2, 7, 3), but"),
        ((), 7, None, "the shape (), but"),
        ((0, 7), 7, None, "(0, 7), but"),
    ],
)
def test_shapes_that_do_not_fit_or_are_ambiguous_are_refused(shape, n, given, message):
    with pytest.raises(DataError) as caught:
        seeds_of("a", np.zeros(shape), n, given)
    assert message in str(caught.value)


def test_evaluation_of_seeds_averages_them_and_counts_groups(predictions):
    p, y = predictions
    other = np.clip(p + 0.1, 0, 1)
    both = evaluate([p, other], y, replicates=50)
    single = [evaluate(each, y, replicates=50) for each in (p, other)]
    assert (both.seeds, both.n, both.units) == (2, 300, 300)
    for name, summary in both.items():
        assert summary.mean == pytest.approx(np.mean([one[name].mean for one in single]))
        assert len(summary.per_seed) == 2
    grouped = evaluate(p, y, groups=[f"text {row // 3}" for row in range(300)], replicates=50)
    assert grouped.units == 100
    assert grouped["accuracy"].mean == single[0]["accuracy"].mean
    thrice = evaluate(np.repeat(p, 3), np.repeat(y, 3), groups=np.repeat(range(300), 3))
    once = evaluate(p, y)
    width = [np.ptp(result["accuracy"].ci95) for result in (thrice, once)]
    assert width[0] == pytest.approx(width[1], rel=1e-9)  # copies of a row add no certainty


def test_assessment_prints_each_value_inside_its_interval(predictions):
    result = evaluate(*predictions, replicates=50)
    text = repr(result)
    assert max(map(len, text.splitlines())) <= 80
    assert "300 rows, 1 seed, 2 classes" in text
    frame = result.to_frame().set_index("metric")
    assert list(frame.index) == list(result)
    with_interval = frame.dropna(subset="ci95_low")
    assert (with_interval["ci95_low"] <= with_interval["value"]).all()
    assert (with_interval["value"] <= with_interval["ci95_high"]).all()
    assert frame.loc["ece", "value"] < frame.loc["ece", "measured"]
    page = result._repr_html_()
    assert page.count("<tr>") == len(result) + 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": [0, 1, 2]}, "labels, row 2: the label 2 is not a class"),
        ({"labels": [0, 1, np.nan]}, "labels, row 2: the label nan"),
        ({"labels": ["no", "yes", "no"]}, "labels must be an array of numbers, not of text"),
        ({"labels": [[0], [1], [1]]}, "labels must have the shape (n,), not (3, 1)"),
        (
            {"probabilities": [0.1, 1.5, 0.2]},
            "probabilities, row 1: the probability of class 1, 1.5",
        ),
        (
            {"probabilities": [[0.1, 0.2, np.nan]]},
            "probabilities, seed 0, row 2: the probability of class",
        ),
        (
            {"probabilities": [[0.5, 0.5], [0.7, 0.2], [1, 0]]},
            "probabilities, row 1: it sums to 0.9",
        ),
        ({"probabilities": [["a", "b"]] * 3}, "not of text"),
        ({"probabilities": [[0.5, 0.5], [1]]}, "not an array of numbers"),
        ({"groups": [1, 2]}, "groups must have one label for each of 3 rows"),
        ({"groups": ["a", None, "b"]}, "groups, row 1: missing"),
        ({"groups": [1.0, np.nan, 2.0]}, "groups, row 1: missing"),
        ({"groups": [[1], [2], [3]]}, "groups must have one label"),
        ({"posterior": [0.5, 0.5, 2]}, "posterior, row 2: the probability of class 1, 2"),
        ({"labels": [], "probabilities": []}, "no predictions"),
    ],
)
def test_invalid_arguments_are_refused_in_one_sentence(arguments, message):
    valid = {"probabilities": [0.1, 0.5, 0.9], "labels": [0, 1, 1]}
    with pytest.raises(DataError) as caught:
        evaluate(**(valid | arguments))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def write(path, *lines):
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def test_seeds_of_a_column_and_of_files_are_the_same(tmp_path):
    one = write(tmp_path / "one.csv", "label,p,seed", "1,.7,5", "0,.2,6", "0,.1,5", "1,.9,6")
    # Seed 6 has the rows in another order, and one file has no ids to tell.
    with pytest.raises(DataError, match=r"one.csv line 3: label 0, but .* line 2 has label 1"):
        read_predictions(one)
    named = write(
        tmp_path / "named.csv", "id,label,p,seed", "a,1,.7,5", "b,0,.2,6", "b,0,.1,5", "a,1,.9,6"
    )
    files = [
        write(tmp_path / "5.csv", "id,label,p", "a,1,.7", "b,0,.1"),
        write(tmp_path / "6.csv", "id,label,p", "b,0,.2", "a,1,.9"),
    ]
    for found in (read_predictions(named), read_predictions(*files)):
        assert [part.given[:, 1].tolist() for part in found.seeds] == [[0.7, 0.1], [0.9, 0.2]]
        assert all(part.labels.tolist() == [1, 0] for part in found.seeds)


def test_pairs_match_rows_by_id_seeds_by_name_and_classes_by_name(tmp_path):
    a = write(
        tmp_path / "a.csv",
        "id,label,no,yes,seed,group",
        "x,yes,.3,.7,1,g",
        "y,no,.8,.2,1,g",
        "x,yes,.4,.6,2,g",
        "y,no,.9,.1,2,g",
    )
    b = write(
        tmp_path / "b.csv",
        "seed,yes,no,label,id",
        "2,.15,.85,no,y",
        "2,.65,.35,yes,x",
        "1,.25,.75,0,x",
    )
    with pytest.raises(DataError, match=r"a.csv line 3: the id 'y' is not in .*b.csv"):
        read_pair([a], [b])
    b.write_text(b.read_text().replace("1,.25,.75,0,x", "1,.25,.75,1,y\n1,.55,.45,0,x"))
    first, second = read_pair([a], [b])  # label 0 of b is its first class, "yes"
    assert [part.given[:, 1].tolist() for part in first.seeds] == [[0.7, 0.2], [0.6, 0.1]]
    assert [part.given[:, 1].tolist() for part in second.seeds] == [[0.55, 0.25], [0.65, 0.15]]
    for part in (*first.seeds, *second.seeds):
        assert part.labels.tolist() == [1, 0]
        assert part.groups.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("b", "message"),
    [
        (["label,p", "1,.5"], "b.csv: 1 rows, but a.csv has 2. Give predictions of the same rows"),
        (["label,p", "1,.5", "0,.5"], "b.csv line 2: label 1, but a.csv line 2 has label 0"),
        (["label,x,y,z", "0,1,0,0", "1,0,1,0"], "b.csv: 3 classes, but a.csv has 2"),
        (["label,no,maybe", "0,1,0", "1,0,1"], "b.csv line 1: a.csv has no column 'maybe'"),
        (["id,label,p", "a,0,.5", "b,1,.5"], "a.csv: no column `id`, but b.csv has one"),
        (
            ["label,p,seed", "0,.5,1", "1,.5,1", "0,.5,2", "1,.5,2"],
            "a.csv: one seed, but b.csv: 2 seeds. Compare predictions of the same seeds",
        ),
        (["label,p,group", "0,.5,x", "1,.5,y"], "b.csv line 3: its group has other rows than"),
        (
            ["label,yes,no", "yes,.5,.5", "no,.5,.5"],
            "line 2: label yes, but a.csv line 2 has label no",
        ),
    ],
)
def test_files_that_cannot_be_paired_are_refused(tmp_path, monkeypatch, b, message):
    monkeypatch.chdir(tmp_path)
    a = write(Path("a.csv"), "label,no,yes,group", "0,.5,.5,g", "1,.5,.5,g")
    with pytest.raises(DataError) as caught:
        read_pair([a], [write(Path("b.csv"), *b)])
    assert message in str(caught.value)


def test_one_seed_in_two_files_and_a_missing_seed_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = write(Path("one.csv"), "label,p,seed", "0,.5,1", "1,.5,1")
    two = write(Path("two.csv"), "label,p,seed", "0,.5,1", "1,.5,1")
    other = write(Path("other.csv"), "label,p,seed", "0,.5,2", "1,.5,2")
    unnamed = write(Path("unnamed.csv"), "label,p", "0,.5", "1,.5")
    for files, message in (
        ([one, two], "two.csv: seed 1 is also in one.csv"),
        ([one, unnamed], "unnamed.csv: no column `seed`, but one.csv has one"),
    ):
        with pytest.raises(DataError, match=message):
            read_predictions(*files)
    with pytest.raises(DataError, match=r"one.csv: seed 1 is not in other.csv"):
        read_pair([one], [other])
    assert len(read_pair([one], [unnamed])[0].seeds) == 1


def test_missing_pandas_is_one_sentence(predictions, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigurationError, match="pip install pandas"):
        evaluate(*predictions, replicates=2).to_frame()
