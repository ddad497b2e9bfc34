"""`fgbench plan`: what a run will detect, from which pilot, and what it says without one."""

import json

import pytest

from fgbench.cli import run_command

SMALL = ["--dataset", "known-posterior:train=60,validation=120,test=150"]


@pytest.fixture
def plan(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    def plan(*arguments, expected=0):
        store = ["--store", str(tmp_path / "store")]
        assert run_command(["plan", *arguments, *store]) == expected
        return capsys.readouterr()

    return plan


def power(captured):
    return json.loads(captured.out)["power"]


def test_plan_says_what_it_detects_without_a_pilot(plan):
    text = plan("--dataset", "known-posterior").out
    assert "in ECE (80 % power, 1,000 test texts, 3 seeds); 10 seeds would detect ." in text
    assert "Pilot: none, so assumed: accuracy .850, ECE .050" in text
    (found,) = power(plan("--dataset", "known-posterior", "--json"))
    assert f"detects {found['detectable_ece_difference']:.3f}".replace("0.", ".") in text
    assert found["detectable_with_further_seeds"] < found["detectable_ece_difference"]
    assert (found["test_rows"], found["distinct_test_rows"], found["seeds"]) == (1000, 1000, 3)


def test_one_seed_detects_nothing(plan):
    arguments = ["--dataset", "known-posterior", "--seed", "0"]
    assert (
        "one seed shows no difference of methods (1,000 test texts); 10 seeds"
        in plan(*arguments).out
    )
    (found,) = power(plan(*arguments, "--json"))
    assert found["detectable_ece_difference"] is None
    assert found["detectable_with_further_seeds"] > 0


def test_power_can_be_skipped(plan):
    assert power(plan("--dataset", "known-posterior", "--json", "--no-power")) == []
    assert "Pilot" not in plan("--dataset", "known-posterior", "--no-power").out


def test_stored_baseline_is_the_pilot(plan, tmp_path, capsys):
    arguments = [*SMALL, "--arm", "baseline", "--arm", "real"]
    run = ["--metric", "ece", "--replicates", "20", "--store", str(tmp_path / "store")]
    (before,) = power(plan(*arguments, "--json"))
    assert "assumed" in before["pilot"]
    assert run_command(["run", *arguments, *run, "--out", str(tmp_path / "runs")]) == 0
    capsys.readouterr()
    (after,) = power(plan(*arguments, "--json"))
    assert after["pilot"].startswith("stored baseline, 3 seeds")
    assert after["detectable_ece_difference"] != before["detectable_ece_difference"]


def test_unusable_pilots_are_refused(plan):
    other = plan(
        "--dataset", "known-posterior", "--classifier", "tfidf-logreg", "--pilot", "quick",
        expected=2,
    )  # fmt: skip
    assert "none of the plan's data sets with its classifier. It has banking77" in other.err
    missing = plan("--dataset", "known-posterior", "--pilot", "absent.json", expected=2)
    assert "absent.json: no such file" in missing.err
    published = plan("--dataset", "known-posterior", "--pilot", "paper-table4", expected=2)
    assert "no pilot: it has no predictions of an uncalibrated baseline" in published.err


def test_board_with_the_data_set_is_used(plan, real_data):
    arguments = ["--dataset", "tc", "--data-dir", str(real_data), "--pilot", "quick", "--json"]
    (found,) = power(plan(*arguments, "--classifier", "tfidf-logreg", "--generator", "ngram"))
    assert found["pilot"] == "7 arms of quick, 5 seeds"
    assert 0 < found["detectable_with_further_seeds"] < 0.2
