"""`fgbench evaluate` and `fgbench compare`: anyone's predictions, as CSV and as arrays."""

import json

import numpy as np
import pytest

from fgbench import compare, evaluate
from fgbench.calibration.grid import BIN_COUNTS, FAMILIES, OTHERS
from support.boards import REPLICATES, make_run, unraised


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


@pytest.fixture
def files(predictions, tmp_path):
    """Write predictions of two methods and three seeds each; return p (2, S, n) and the labels."""
    p, y = predictions
    rng = np.random.default_rng(1)
    logit = np.log(p / (1 - p))
    sides = []
    for name, sharpness in (("ours", 1.0), ("theirs", 2.5)):
        noisy = sharpness * logit + rng.normal(scale=0.2, size=(3, len(p)))
        seeds = (1 / (1 + np.exp(-noisy))).round(6)
        sides.append(seeds)
        rows = []
        for seed, q in enumerate(seeds):
            order = rng.permutation(len(p))
            here = [(f"r{i}", y[i], q[i], f"g{i // 2}") for i in order]
            write_csv(tmp_path / f"{name}-{seed}.csv", "id,label,p,group", here)
            rows += [(seed, *row) for row in here]
        write_csv(tmp_path / f"{name}.csv", "seed,id,label,p,group", rows)
    return np.array(sides), y


def sides(name):
    return [part for seed in range(3) for part in (f"--{name[0]}", f"{name[1]}-{seed}.csv")]


def test_seed_column_and_one_file_per_seed_compare_as_arrays_do(files, tmp_path, fgbench):
    (a, b), y = files
    lines = (tmp_path / "ours-0.csv").read_text("utf-8").splitlines()[1:]
    order = [int(line.partition(",")[0].removeprefix("r")) for line in lines]  # of all files
    expected = compare(a[:, order], b[:, order], y[order], groups=[row // 2 for row in order])
    several = [*sides(("a", "ours")), *sides(("b", "theirs"))]
    for arguments in (["ours.csv", "theirs.csv"], several):
        found = json.loads(fgbench("compare", *arguments, "--json").stdout)
        assert (found["n"], found["units"], found["seeds"]) == (300, 150, 3)
        assert list(expected) == ["accuracy", "ece", "nll", "brier"]
        assert found["metrics"].keys() == expected.keys()
        for name, item in expected.items():
            for key in ("a", "b", "difference", "p_value"):
                value = getattr(item, key)
                assert found["metrics"][name][key] == pytest.approx(value, abs=1e-9), (name, key)


def test_compare_table_has_marks_words_and_80_columns(files, fgbench, monkeypatch):
    done = fgbench("compare", "ours.csv", "theirs.csv", "--metric", "ece", "--margin", "ece=.3")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[:3] == [
        "a: ours.csv",
        "b: theirs.csv",
        "300 rows in 150 groups, 3 seeds, 2 classes",
    ]
    assert "◆ within ±.3" in done.stdout
    done = fgbench("compare", "ours-0.csv", "theirs-0.csv")
    assert "– one seed: speaks of these two trained models only." in done.stdout
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = fgbench("compare", "ours.csv", "theirs.csv")
    assert done.stdout.isascii() and "* better" in done.stdout


def test_compare_reads_the_prediction_files_of_a_run(tmp_path, fgbench):
    board = make_run(tmp_path, seeds=(0, 1, 2))
    entry = next(e for e in board.entries if e.arm == "synthesis+" and "calibrator" in e.neutral)
    against = entry.contrasts["baseline"]
    baseline = board.entry(against.entry)
    arguments = []
    for side, of in (("--a", entry), ("--b", baseline)):
        for record in of.artifacts.predictions:
            arguments += [side, record.path]
    done = fgbench("compare", *arguments, "--replicates", REPLICATES, "--json")
    found = json.loads(done.stdout)["metrics"]
    for name in ("accuracy", "ece", "nll", "brier"):
        expected = unraised(entry, against.metrics[name], name)
        assert found[name]["difference"] == pytest.approx(expected.difference, abs=1e-12)
        assert found[name]["p_value"] == pytest.approx(expected.p_value, abs=1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give two files, A and B"),
        (["ours.csv"], "Give two files, A and B"),
        (["--a", "ours.csv"], "Give two files, A and B"),
        (["ours.csv", "theirs.csv", "--a", "ours.csv"], "Give two files, A and B"),
        (["ours.csv", "theirs-0.csv"], "ours.csv: 3 seeds, but theirs-0.csv: one seed"),
        (["ours.csv", "nowhere.csv"], "nowhere.csv: no such file"),
        (["ours.csv", "flipped.csv"], "flipped.csv line 3: label "),
        (["ours.csv", "theirs.csv", "--margin", "x"], "write a number, or METRIC=NUMBER"),
        (["ours.csv", "theirs.csv", "--margin", "-1"], "must be above 0"),
        (["ours.csv", "theirs.csv", "--metric", "ecc"], "Did you mean 'ece'?"),
    ],
)
def test_unusable_comparison_exits_2_with_one_error(files, tmp_path, arguments, message, fgbench):
    lines = (tmp_path / "theirs.csv").read_text("utf-8").splitlines()
    fields = lines[2].split(",")
    lines[2] = ",".join([*fields[:2], str(1 - int(fields[2])), *fields[3:]])
    (tmp_path / "flipped.csv").write_text("\n".join(lines) + "\n", "utf-8")
    done = fgbench("compare", *arguments, code=2)
    assert message in done.stderr
    assert done.stdout == "" and "Traceback" not in done.stderr


def test_evaluate_writes_plot_and_page_and_prints_their_paths(files, tmp_path, fgbench):
    names = [f"ours-{seed}.csv" for seed in range(3)]
    done = fgbench("evaluate", *names, "--plot", "figure.svg", "--html", "page.html")
    assert done.stdout.splitlines()[-2:] == ["page.html", "figure.svg"]
    assert "300 rows in 150 groups, 3 seeds, 2 classes" in done.stdout
    assert (tmp_path / "figure.svg").read_text("utf-8").startswith("<?xml")
    assert "ours-0.csv, ours-1.csv, ours-2.csv" in (tmp_path / "page.html").read_text("utf-8")


def test_unusable_plot_is_refused_before_the_evaluation(files, tmp_path, fgbench):
    done = fgbench("evaluate", "ours.csv", "--plot", "figure.gif", code=2)
    assert done.stderr == "Error: figure.gif: a plot is one of .svg, .pdf, .png.\n"
    assert done.stdout == ""
    (tmp_path / "matplotlib.py").write_text("raise ImportError")
    done = fgbench("evaluate", "ours.csv", "--plot", "figure.pdf", code=2)
    assert done.stderr == "Error: a plot needs matplotlib: pip install 'fgbench[plot]'\n"
