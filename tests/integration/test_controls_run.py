"""A suite with every arm and several doses: what arms add, and what they leave out."""

import json
from collections import Counter

import pytest

import fgbench
from fgbench.cli import run_command
from fgbench.data import Predictions
from fgbench.errors import ConfigurationError, IncompatiblePartsError
from fgbench.leaderboard.files import read_board
from fgbench.leaderboard.verify import verify_board
from fgbench.loop.arms import ARMS, DEFAULT_ARMS, DESIGNS
from fgbench.plugins.registry import Registry
from fgbench.runs.regenerate import suite_of

DOSES = [0.5, 1.0, 2.0, 4.0]
MATRIX = {
    "dataset": "known-posterior:train=400,validation=800,test=300",
    "classifier": "tfidf-logreg:C=100",
    "generator": "oracle",
    "bins": [10],
    "calibrators": ["none"],
    "metrics": ["ece", "accuracy"],
    "replicates": 20,
    "seeds": [0],
    "arms": list(ARMS),
    "doses": DOSES,
    "reserve": 0.5,
    "selector": "significant",
    "threshold": 0.15,
}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    folder = tmp_path_factory.mktemp("controls")
    outcome = fgbench.run(out=folder / "runs", store=folder / "store", **MATRIX)
    assert not outcome.failures
    return outcome


@pytest.fixture(scope="module")
def entries(outcome):
    """The entries of generating arms, by arm and dose."""
    board = read_board(outcome.folder)
    return {(entry.arm, entry.dose): entry for entry in board.entries if entry.arm in DESIGNS}


def added(entries, arm, dose):
    return entries[arm, dose].synthetic.added


def test_every_arm_has_an_entry_for_every_dose(outcome, entries):
    assert set(entries) == {(arm, dose) for arm in DESIGNS for dose in DOSES}
    board = read_board(outcome.folder)
    without = [entry for entry in board.entries if entry.arm not in DESIGNS]
    assert {(entry.arm, entry.dose) for entry in without} == {("baseline", None), ("real", None)}


def test_dose_is_the_number_of_texts_for_each_targeted_point(entries):
    for dose in DOSES:
        for arm in ("synthesis", "synthesis+"):
            for item in added(entries, arm, dose):
                assert item.targeted_bins > 0
                assert item.n_asked == int(item.targeted_points * dose + 0.5)
                assert item.n_used == item.n_asked


@pytest.mark.parametrize("arm", ["resample", "other-bins", "no-shift", "reversed", "fresh-real"])
def test_control_has_size_and_classes_of_synthesis_or_a_recorded_shortage(entries, arm):
    for dose in DOSES:
        treatment = added(entries, "synthesis+", dose)
        for item, matched in zip(added(entries, arm, dose), treatment, strict=True):
            assert item.asked == matched.used
            assert all(used <= asked for used, asked in zip(item.used, item.asked, strict=True))
            if arm == "reversed":  # texts of the opposite request seldom have their source's label
                assert item.n_used >= 0.9 * item.n_asked
            elif dose <= 1 or arm in ("resample", "no-shift"):
                assert item.used == item.asked


def test_unfiltered_has_the_size_of_synthesis_and_the_labels_of_relabeling(entries):
    for dose in DOSES:
        treatment = added(entries, "synthesis+", dose)
        for item, matched in zip(added(entries, "unfiltered", dose), treatment, strict=True):
            assert item.n_used == matched.n_used
            assert item.asked == matched.used


def test_overlap_with_the_targeted_points(entries):
    for dose in DOSES:
        for arm in ("synthesis+", "resample", "no-shift", "reversed"):
            assert all(item.shared == 1 for item in added(entries, arm, dose))
        assert all(item.overlap == 0 for item in added(entries, "other-bins", dose))
        assert all(item.source_points == 0 for item in added(entries, "fresh-real", dose))


def test_shifts_of_the_designs(entries):
    for dose in DOSES:
        designs = (added(entries, arm, dose) for arm in ("synthesis+", "no-shift", "reversed"))
        for treatment, unshifted, opposite in zip(*designs, strict=True):
            assert unshifted.mean_shift == 0
            assert treatment.mean_shift > 0.05
            assert 0 < opposite.mean_shift <= treatment.mean_shift + 1e-9
            assert opposite.wrong_way > 0.9 * opposite.requests
            assert treatment.wrong_way < 0.2 * treatment.requests


def test_samples_name_the_arms_that_were_trained_on_them(outcome, entries):
    index = json.loads((outcome.folder / "samples.json").read_text())
    named = {entry.id: entry for entry in entries.values()}
    assert {named[name].arm for name in index} == set(DESIGNS) - {"resample", "fresh-real"}
    for name, files in index.items():
        entry = named[name]
        lines = [
            line for file in files for line in (outcome.folder / file).read_text().splitlines()
        ]
        samples = [json.loads(line) for line in lines]
        assert {sample.get("dose", 1) for sample in samples} <= {entry.dose}
        used = Counter(
            sample["relabeled"] if entry.arm == "unfiltered" else sample["source"]["label"]
            for sample in samples
            if entry.arm in sample["used_in"]
        )
        of_seeds = [item.used for item in entry.synthetic.added]
        assert [used[0], used[1]] == [sum(column) for column in zip(*of_seeds, strict=True)]


def test_no_arm_but_fresh_real_sees_the_reserve(outcome):
    board = read_board(outcome.folder)
    assert {entry.dataset.n_train for entry in board.entries} == {200}
    assert {entry.settings["reserve"] for entry in board.entries} == {0.5}


def test_board_verifies_and_a_changed_fact_is_detected(outcome):
    registry = Registry.load()
    assert verify_board(outcome.folder, registry).ok
    file = outcome.folder / "leaderboard.json"
    text = file.read_text()
    board = json.loads(text)
    entry = next(entry for entry in board["entries"] if entry["arm"] == "other-bins")
    entry["synthetic"]["added"][0]["shared_points"] = 7
    try:
        file.write_text(json.dumps(board))
        result = verify_board(outcome.folder, registry, numbers=False)
    finally:
        file.write_text(text)
    assert any("synthetic was changed" in problem for problem in result.problems)


def test_entry_says_with_which_suite_it_can_be_made_again(entries):
    suite = suite_of([entries["fresh-real", 2.0]])
    assert (suite.doses, suite.reserve, suite.arms) == ([2.0], 0.5, ["fresh-real"])


def test_page_shows_what_arms_added(outcome):
    page = (outcome.folder / "report.html").read_text(encoding="utf-8")
    assert "wrong way" in page
    assert "dose 0.5" in page
    assert "Jaccard" in page


def test_fresh_real_needs_a_reserve(tmp_path):
    with pytest.raises(IncompatiblePartsError, match=r"add --reserve 0\.2"):
        fgbench.run(out=tmp_path, store=tmp_path / "store", arms=["fresh-real"])
    with pytest.raises(ConfigurationError, match="reserve"):
        fgbench.run(out=tmp_path, store=tmp_path / "store", reserve=1.5)


def test_run_without_targeted_bins_records_it(tmp_path):
    changes = {"arms": list(DEFAULT_ARMS), "doses": [1], "threshold": 1.0}
    outcome = fgbench.run(out=tmp_path / "runs", store=tmp_path / "store", **MATRIX | changes)
    generating = [entry for entry in read_board(outcome.folder).entries if entry.arm in DESIGNS]
    assert len(generating) == 5
    for entry in generating:
        (item,) = entry.synthetic.added
        assert (item.targeted_bins, item.n_asked, item.n_used) == (0, 0, 0)
        assert (item.overlap, item.labels_from_bins) == (None, None)


REPETITIVE = '''
import numpy as np

from fgbench import Dataset, DatasetLoader, Split, hookimpl


class Repetitive(DatasetLoader):
    """30 test rows with three texts that differ in case and punctuation alone."""

    default_classifier = "tfidf-logreg"
    default_generator = "ngram"

    def load(self, folder):
        def split(name, texts):
            return Split(texts, np.arange(len(texts)) % 2)

        words = ["red", "blue"]
        return Dataset("repetitive", ("no", "yes"), {
            "train": split("train", [f"{words[i % 2]} train {i}" for i in range(20)]),
            "validation": split("validation", [f"{words[i % 2]} seen {i}" for i in range(20)]),
            "test": split("test", ["Red one!", "blue, two", "red three"] * 5
                          + ["red one", "Blue Two", "RED THREE."] * 5),
        })


@hookimpl
def fgbench_datasets(register):
    register("repetitive", f"{__name__}:Repetitive", "three texts")
'''


def test_plan_run_and_predictions_know_rows_with_equal_texts(tmp_path, capsys):
    plugin = tmp_path / "repetitive.py"
    plugin.write_text(REPETITIVE)
    matrix = ["--plugin", str(plugin), "--dataset", "repetitive", "--arm", "baseline", "--store",
              str(tmp_path / "store"), "--replicates", "20", "--calibrator", "none",
              "--seed", "0"]  # fmt: skip
    assert run_command(["plan", *matrix]) == 0
    assert "repetitive: 30 test rows, 3 distinct" in capsys.readouterr().out
    assert run_command(["plan", *matrix, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["test_rows"] == {"repetitive": {"rows": 30, "distinct": 3}}
    assert run_command(["run", *matrix, "--out", str(tmp_path / "runs")]) == 0
    assert "repetitive: 30 test rows, 3 distinct" in capsys.readouterr().out
    (folder,) = (tmp_path / "runs").iterdir()
    (file,) = (folder / "predictions").iterdir()
    assert Predictions.load(file).groups.tolist() == [0, 1, 2] * 10
    assert verify_board(folder, Registry.load([str(plugin)])).ok


def test_predictions_of_distinct_rows_have_no_groups(outcome):
    file = next((outcome.folder / "predictions").iterdir())
    assert Predictions.load(file).groups is None
