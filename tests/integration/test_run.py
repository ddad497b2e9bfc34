"""Running a matrix: sharing, order, failures, resume, two runs at once."""

import itertools
import json
import random
import shutil
import subprocess

import pytest

import fgbench as package
from fgbench.data import Predictions
from fgbench.errors import ConfigurationError, IncompatiblePartsError
from fgbench.leaderboard.models import Provenance
from fgbench.leaderboard.verify import verify_board
from fgbench.plugins.registry import Registry
from fgbench.runs import session
from support.runs import ENTRY, PROBE, comparable, events, stage_counts

SMALL = ["--replicates", "20", "--bins", "5"]


def run(out, store, **matrix):
    matrix = {"datasets": ["probe"], "replicates": 20, "bins": [5], "seeds": [0]} | matrix
    return package.run(out=out, store=store, **{"plugins": [str(PROBE)]} | matrix)


def test_run_folder_contents(tmp_path):
    matrix = {"seeds": [0, 1], "name": "mine", "threshold": 0.4}  # leaves bins to other-bins
    outcome = run(tmp_path / "runs", tmp_path / "store", **matrix)
    folder = outcome.folder
    assert folder.name.startswith("mine-")
    names = {path.name for path in folder.iterdir()} - {".lock", ".receipt.json"}
    assert names == {
        "suite.toml", "plan.json", "events.jsonl", "samples", "predictions", "leaderboard.json",
        "models.json", "samples.json", "diagnostics.json", "report.html",
    }  # fmt: skip
    board = json.loads((folder / "leaderboard.json").read_text())
    assert board["schema"] == "fgbench.leaderboard/2"
    arms = [entry["arm"] for entry in board["entries"]]
    assert sorted(set(arms)) == [
        "baseline", "no-shift", "other-bins", "real", "resample", "synthesis", "synthesis+",
    ]  # fmt: skip
    entry = next(each for each in board["entries"] if each["arm"] == "synthesis+")
    assert entry["seeds"] == [0, 1]
    assert len(entry["metrics"]["ece"]["per_seed"]) == 2
    assert entry["usage"]["requests"] == entry["synthetic"]["requested"] > 0
    assert entry["usage"]["prompt_tokens"] == 7 * entry["usage"]["requests"]
    assert [item["seed"] for item in entry["artifacts"]["predictions"]] == [0, 1]
    control = entry["contrasts"]["baseline"]["entry"]
    baseline = next(each for each in board["entries"] if each["id"] == control)
    assert (baseline["arm"], baseline["generator"], baseline["bins"]) == ("baseline", None, None)
    samples = [
        json.loads(line)
        for path in (folder / "samples").iterdir()
        for line in path.read_text().splitlines()
    ]
    used = [sample["used_in"] for sample in samples if sample["verdict"] == "accepted"]
    assert sorted({tuple(arms) for arms in used}) == [
        ("no-shift",), ("other-bins",), ("synthesis", "synthesis+"),
    ]  # fmt: skip
    index = json.loads((folder / "samples.json").read_text())
    named = {entry["id"]: entry["arm"] for entry in board["entries"]}
    assert {named[entry] for entry in index} == {
        "no-shift", "other-bins", "synthesis", "synthesis+",
    }  # fmt: skip
    for entry, files in index.items():
        assert len(files) == 2  # one a seed
        for file in files:
            lines = (folder / file).read_text().splitlines()
            arms = {arm for line in lines for arm in json.loads(line)["used_in"]}
            assert named[entry] in arms


def test_each_baseline_trains_once(tmp_path):
    """2 data sets × 2 generators × 3 bin counts × 7 arms × 4 calibrators × 3 seeds."""
    outcome = run(
        tmp_path / "runs",
        tmp_path / "store",
        datasets=["probe", "probe:tag=other"],
        generators=["probe-generator", "probe-generator:tag=second"],
        bins=[5, 10, 15],
        calibrators=["none", "temperature", "platt", "halve"],
        seeds=[0, 1, 2],
    )
    assert outcome.failures == ()
    log = events(outcome.folder)
    trained = [e for e in log if e["event"] == "stage_finished" and e["stage"] == "train"]
    baselines = [e["label"] for e in trained if "· baseline ·" in e["label"]]
    assert len(baselines) == len(set(baselines)) == 2 * 3
    # `real` differs by data set and seed alone.
    assert sum("· real ·" in e["label"] for e in trained) == 2 * 3
    keys = [e["key"] for e in log if e["event"] == "stage_finished"]
    assert len(keys) == len(set(keys)), "no stage runs twice"
    # baseline and real: 4 calibrators × 2 data sets; each other arm: × 2 generators × 3 bins.
    assert len(outcome.leaderboard.entries) == 4 * 2 * (2 + 5 * 2 * 3)
    assert sum(e["event"] == "cell_finished" for e in log) == 3 * len(outcome.leaderboard.entries)


def test_results_do_not_depend_on_matrix_order_or_jobs(tmp_path):
    matrix = {
        "datasets": ["probe", "probe:classes=3"],
        "generators": ["probe-generator", "probe-generator:tag=second"],
        "bins": [5, 10],
        "seeds": [0, 1, 2],
        "calibrators": ["none", "halve", "temperature"],
    }
    first = run(tmp_path / "a", tmp_path / "store-a", **matrix)
    shuffled = {key: random.Random(3).sample(value, len(value)) for key, value in matrix.items()}
    assert shuffled != matrix
    second = run(tmp_path / "b", tmp_path / "store-b", arms=list(reversed(
        ["baseline", "synthesis", "synthesis+", "real", "resample", "other-bins", "no-shift"]
    )), jobs=2, **shuffled)  # fmt: skip
    assert first.id == second.id
    boards = [comparable(each.folder / "leaderboard.json") for each in (first, second)]
    assert boards[0] == boards[1]
    predictions = [
        {path.name: path.read_bytes() for path in (each.folder / "predictions").iterdir()}
        for each in (first, second)
    ]
    assert predictions[0] == predictions[1]
    finished = [
        {e["key"] for e in events(each.folder) if e["event"] == "stage_finished"}
        for each in (first, second)
    ]
    assert finished[0] == finished[1]


def test_exclusive_stages_take_turns_beside_others(tmp_path, monkeypatch):
    matrix = {
        "classifiers": [f"probe-classifier:whole={each},seconds=0.3" for each in ("true", "false")],
        "arms": ["baseline", "real"],
        "seeds": [0, 1],
        "calibrators": ["none"],
        "metrics": ["ece"],
    }
    one = run(tmp_path / "a", tmp_path / "store-a", **matrix)
    marks = tmp_path / "marks"
    marks.mkdir()
    monkeypatch.setenv("FGBENCH_PROBE_MARKS", str(marks))
    three = run(tmp_path / "b", tmp_path / "store-b", jobs=3, **matrix)
    assert not one.failures and not three.failures
    boards = [comparable(each.folder / "leaderboard.json") for each in (one, three)]
    assert boards[0] == boards[1]

    trained = [json.loads(path.read_text()) for path in marks.iterdir()]
    whole, other = ([each for each in trained if each["whole"] is kind] for kind in (True, False))
    assert len(whole) == len(other) == 4
    whole.sort(key=lambda each: each["began"])
    assert all(a["ended"] <= b["began"] for a, b in itertools.pairwise(whole))
    assert any(a["began"] < b["ended"] and b["began"] < a["ended"] for a in whole for b in other), (
        "those that do not take it whole run beside"
    )


def test_second_run_reuses_every_stage(tmp_path):
    first = run(tmp_path / "runs", tmp_path / "store")
    before = comparable(first.folder / "leaderboard.json")
    counts = stage_counts(first.folder)
    second = run(tmp_path / "runs", tmp_path / "store")
    assert comparable(second.folder / "leaderboard.json") == before
    again = stage_counts(second.folder) - counts
    assert {event for event, _ in again} <= {"stage_cached", "stage_shared"}


def test_failed_stage_fails_only_its_cells(fgbench, tmp_path):
    answer = fgbench(
        "run", "--dataset", "probe", "--classifier", "probe-classifier:fail_on_synthetic=true",
        "--seed", 0, "--threshold", 0.4, *SMALL, code=1, probe=True,
    )  # fmt: skip
    assert "the classifier broke down" in answer.stderr
    assert "Traceback (most recent call last)" not in answer.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    board = json.loads((folder / "leaderboard.json").read_text())
    assert {entry["arm"] for entry in board["entries"]} == {"baseline", "real", "resample"}
    failed = [event for event in events(folder) if event["event"] == "stage_failed"]
    assert "RuntimeError" in failed[0]["traceback"]
    # A failure is never stored: it fails again, and works once the cause is gone.
    fgbench(
        "run", "--dataset", "probe", "--classifier", "probe-classifier:fail_on_synthetic=true",
        "--seed", 0, *SMALL, code=1, probe=True,
    )  # fmt: skip


def test_entry_with_missing_seed_is_omitted(tmp_path):
    outcome = run(
        tmp_path / "runs", tmp_path / "store", generators=["probe-generator:fail=true"],
        seeds=[0, 1],
    )  # fmt: skip
    assert {entry.arm for entry in outcome.leaderboard.entries} == {"baseline", "real"}
    assert len(outcome.failures) == 5 * 2 * 2
    assert "the endpoint is gone" in outcome.failures[0].error


def test_dead_worker_fails_only_its_cells(fgbench, tmp_path):
    answer = fgbench(
        "run", "--dataset", "probe", "--classifier", "probe-classifier:kill_on_synthetic=true",
        "--arm", "baseline", "--arm", "real", "--arm", "synthesis+", "--seed", 0, "--jobs", 2,
        *SMALL, code=1, probe=True,
    )  # fmt: skip
    assert "the worker process was killed" in answer.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    board = json.loads((folder / "leaderboard.json").read_text())
    assert {entry["arm"] for entry in board["entries"]} == {"baseline", "real"}


def test_calibrator_contract_violation_fails_its_cells(tmp_path):
    outcome = run(tmp_path / "runs", tmp_path / "store", calibrators=["none", "liar"])
    assert {entry.calibrator.name for entry in outcome.leaderboard.entries} == {"none"}
    assert "declares preserves_accuracy but changed" in outcome.failures[0].error


def test_paper_protocol_refuses_calibrators_after_retraining(tmp_path):
    matrix = {"protocol": "paper", "calibrators": ["none", "temperature"]}
    with pytest.raises(IncompatiblePartsError, match="cannot be fitted on it"):
        run(tmp_path / "runs", tmp_path / "store", **matrix)
    assert not (tmp_path / "runs").exists()
    plain = run(tmp_path / "runs", tmp_path / "store", protocol="paper")
    assert {entry.calibrator.name for entry in plain.leaderboard.entries} == {"none"}
    outcome = run(tmp_path / "runs", tmp_path / "store", incompatible="skip", **matrix)
    calibrated = {e.arm for e in outcome.leaderboard.entries if e.calibrator.name != "none"}
    assert calibrated == {"baseline"}
    assert len(outcome.leaderboard.entries) == 7 + 1


def test_incompatible_parts_are_refused_before_work_starts(tmp_path):
    with pytest.raises(IncompatiblePartsError, match="generator 'oracle' needs sampling"):
        run(tmp_path / "runs", tmp_path / "store", generator="oracle")
    with pytest.raises(IncompatiblePartsError, match="classifier 'logreg' needs numeric"):
        run(tmp_path / "runs", tmp_path / "store", classifier="logreg")
    with pytest.raises(ConfigurationError, match=r"Did you mean 'probe-generator'"):
        run(tmp_path / "runs", tmp_path / "store", generator="probe-generater")
    assert not (tmp_path / "runs").exists()


def test_concurrent_runs_sharing_a_store_agree(tmp_path):
    command = [
        *ENTRY, "run", "--plugin", str(PROBE), "--dataset", "probe", "--classifier",
        "probe-classifier:seconds=0.05", *SMALL, "--quiet",
    ]  # fmt: skip
    workers = [
        subprocess.Popen([*command, "--out", f"out{n}"], cwd=tmp_path, stderr=subprocess.PIPE)
        for n in range(3)
    ]
    for worker in workers:
        assert worker.communicate()[1] == b""
        assert worker.returncode == 0
    folders = [next((tmp_path / f"out{n}").iterdir()) for n in range(3)]
    assert len({comparable(folder / "leaderboard.json") for folder in folders}) == 1
    finished = [e["key"] for f in folders for e in events(f) if e["event"] == "stage_finished"]
    assert len(finished) == len(set(finished)), "what one has finished the others take"


def test_run_folder_is_locked(fgbench, tmp_path):
    slow = [
        "run", "--plugin", str(PROBE), "--dataset", "probe", "--classifier",
        "probe-classifier:seconds=3", "--arm", "baseline", "--seed", "0", *SMALL, "--quiet",
    ]  # fmt: skip
    first = subprocess.Popen([*ENTRY, *slow], cwd=tmp_path)
    while not list(tmp_path.glob("runs/*/events.jsonl")):
        assert first.poll() is None
    answer = fgbench(*slow, code=2)
    assert "another fgbench run is writing here" in answer.stderr
    assert first.wait() == 0


def test_corrupt_artifact_is_rebuilt(tmp_path):
    first = run(tmp_path / "runs", tmp_path / "store")
    before = comparable(first.folder / "leaderboard.json")
    damaged = []
    for path in sorted((tmp_path / "store" / "objects").glob("*/*/test.npz"))[:3]:
        path.write_bytes(path.read_bytes()[:-7])
        damaged.append(path.parent.name)
    second = run(tmp_path / "runs", tmp_path / "store")
    assert second.failures == ()
    assert comparable(second.folder / "leaderboard.json") == before
    log = events(second.folder)
    assert {e["key"] for e in log if e["event"] == "artifact_corrupt"} == set(damaged)


@pytest.mark.parametrize("jobs", [1, 2])
def test_flipped_bits_in_inputs_are_rebuilt_within_the_run(tmp_path, jobs):
    """Same size, same manifest: the damage shows only when a stage or the results use the file."""
    run(tmp_path / "runs", tmp_path / "store")
    flipped = set()
    for name in ("dataset.npz", "validation.npz", "samples.jsonl", "evaluation.npz"):
        for path in (tmp_path / "store" / "objects").glob(f"*/*/{name}"):
            content = bytearray(path.read_bytes())
            if not content:  # no row is outside the targeted bins
                continue
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
            flipped.add(path.parent.name)
    more = {"calibrators": ["none", "temperature", "isotonic"]}
    repaired = run(tmp_path / "runs", tmp_path / "store", jobs=jobs, **more)
    assert repaired.failures == ()
    fresh = run(tmp_path / "fresh", tmp_path / "new", **more)
    boards = [comparable(outcome.folder / "leaderboard.json") for outcome in (repaired, fresh)]
    assert boards[0] == boards[1]
    log = events(repaired.folder)
    corrupt = {event["key"] for event in log if event["event"] == "artifact_corrupt"}
    rebuilt = {event["key"] for event in log if event["event"] == "stage_rebuilt"}
    assert rebuilt and rebuilt < flipped and corrupt <= flipped


NONDETERMINISTIC = """
import random

from fgbench import Calibrator, hookimpl

class Shaky(Calibrator):
    def fit(self, held_out):
        pass
    def transform(self, predictions):
        return predictions.with_logits(predictions.logits * random.SystemRandom().uniform(1, 2))

@hookimpl
def fgbench_calibrators(register):
    register("shaky", f"{__name__}:Shaky", "Another result each time")
"""


def test_results_follow_from_rebuilt_artifact_of_nondeterministic_part(fgbench, tmp_path):
    plugin = tmp_path / "shaky_part.py"
    plugin.write_text(NONDETERMINISTIC)
    matrix = {"calibrators": ["shaky"], "arms": ["baseline"], "plugins": [str(PROBE), str(plugin)]}
    first = run(tmp_path / "runs", tmp_path / "store", **matrix)
    (predictions,) = (first.folder / "predictions").iterdir()
    for path in (tmp_path / "store" / "objects").glob("*/*/test.npz"):
        if path.read_bytes() == predictions.read_bytes():
            path.write_bytes(path.read_bytes()[::-1])
    shutil.rmtree(first.folder)
    second = run(tmp_path / "runs", tmp_path / "store", **matrix)
    assert second.failures == ()
    fgbench("leaderboard", "verify", second.folder, "--plugin", plugin, probe=True)


def test_corrupt_data_set_is_stored_again(tmp_path):
    run(tmp_path / "runs", tmp_path / "store")
    (data,) = (tmp_path / "store" / "objects").glob("*/*/dataset.npz")
    manifest = data.parent / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"digest": "', '"digest": "z', 1))
    assert run(tmp_path / "runs", tmp_path / "store", bins=[7]).failures == ()


PRINTER = """
from fgbench import Calibrator, hookimpl

class Printer(Calibrator):
    def fit(self, held_out):
        print("a line of a part's own")
    def transform(self, predictions):
        return predictions

@hookimpl
def fgbench_calibrators(register):
    register("printer", f"{__name__}:Printer", "Talks")
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_json_stdout_is_only_the_board(fgbench, tmp_path, jobs):
    plugin = tmp_path / "local_printer.py"
    plugin.write_text(PRINTER)
    answer = fgbench(
        "run", "--dataset", "probe", "--arm", "baseline", "--calibrator", "printer", "--json",
        "--jobs", jobs, "--plugin", plugin, *SMALL, probe=True,
    )  # fmt: skip
    assert len(json.loads(answer.stdout)["entries"]) == 1
    assert "a line of a part's own" in answer.stderr


SCALE = """
from fgbench import Calibrator, hookimpl

class Scale(Calibrator):
    def fit(self, held_out): ...
    def transform(self, predictions):
        return predictions.with_logits(predictions.logits * {factor})

@hookimpl
def fgbench_calibrators(register):
    register("scale", f"{{__name__}}:Scale", "Multiply the logits")
"""


MEDDLER = """
import sys
from fgbench import Classifier, Outputs, hookimpl

class Meddler(Classifier):
    how: str = "write"

    def fit(self, training, *, loss, seed):
        if self.how == "exit":
            sys.exit("gave up")

    def predict(self, inputs, outputs):
        inputs -= inputs.mean()
        return Outputs(inputs @ [[0.0, 1.0]])

@hookimpl
def fgbench_classifiers(register):
    register("meddler", f"{__name__}:Meddler", "Changes what is not its own, or ends the process")
"""


@pytest.mark.parametrize(("how", "error"), [("write", "read-only"), ("exit", "gave up")])
def test_classifier_that_breaks_process_fails_only_its_cells(tmp_path, how, error):
    plugin = tmp_path / f"local_meddler_{how}.py"
    plugin.write_text(MEDDLER)
    outcome = package.run(
        out=tmp_path / "runs", store=tmp_path / "store", plugins=[str(plugin)], seed=0, arm="real",
        dataset="logistic-1d", classifiers=[f"meddler:how={how}", "logreg"], calibrator="none",
    )  # fmt: skip
    assert ["meddler" in failure.label for failure in outcome.failures] == [True]
    assert error in outcome.failures[0].error
    assert len(outcome.leaderboard.entries) == 1


def test_edited_local_plugin_is_reloaded_between_runs(tmp_path):
    plugin = tmp_path / "local_scale.py"

    def brier(factor):
        plugin.write_text(SCALE.format(factor=factor))
        outcome = run(
            tmp_path / "runs", tmp_path / "store", plugins=[str(PROBE), str(plugin)],
            arms=["baseline"], calibrators=["scale"], metrics=["brier"],
        )  # fmt: skip
        assert outcome.failures == ()
        return outcome.leaderboard.entries[0].metrics["brier"].mean

    first, other = brier(1), brier(-1)
    assert first != other
    assert brier(1) == first


def test_local_plugin_edited_during_run_fails_its_stages(tmp_path):
    plugin = tmp_path / "local_scale_too.py"
    plugin.write_text(SCALE.format(factor=1))

    def edit(event):
        if event.name == "run_started":
            plugin.write_text(SCALE.format(factor=-1))

    outcome = run(
        tmp_path / "runs", tmp_path / "store", plugins=[str(PROBE), str(plugin)],
        arms=["baseline"], calibrators=["scale", "none"], observers=[edit],
    )  # fmt: skip
    assert [failure.label.split(" · ")[-2] for failure in outcome.failures] == ["scale"]
    assert "changed during the run" in outcome.failures[0].error
    assert len(outcome.leaderboard.entries) == 1


def test_one_metric_with_two_settings_is_two_metrics(fgbench, tmp_path):
    outcome = run(
        tmp_path / "runs", tmp_path / "store", arms=["baseline"],
        metrics=["ece", "ece:bins=5", "accuracy"],
    )  # fmt: skip
    (first, _) = outcome.leaderboard.entries
    assert set(first.metrics) == {"ece", "ece:bins=5", "accuracy"}
    assert first.higher_is_better == ["accuracy"]
    fgbench("leaderboard", "verify", outcome.folder / "leaderboard.json")


def test_explicit_default_gives_same_run(tmp_path):
    plain = run(tmp_path / "runs", tmp_path / "store", metrics=["ece"], arms=["baseline"])
    spelt = run(
        tmp_path / "runs", tmp_path / "store", metrics=["ece:bins=15"], arms=["baseline"],
        datasets=["probe:rows=40,tag=probe"],
    )  # fmt: skip
    assert plain.id == spelt.id
    assert set(spelt.leaderboard.entries[0].metrics) == {"ece"}


def test_unused_broken_metric_does_not_stop_run(tmp_path, monkeypatch):
    plugin = tmp_path / "broken_metric.py"
    plugin.write_text(
        "from fgbench import hookimpl\n\n@hookimpl\ndef fgbench_metrics(register):\n"
        "    register('broken', 'broken_metric:Missing', 'cannot be imported')\n"
    )
    options = {
        "out": tmp_path / "runs", "store": tmp_path / "store", "dataset": "probe", "seed": 0,
        "arm": "baseline", "plugins": [str(PROBE), str(plugin)],
    }  # fmt: skip
    outcome = package.run(**options)
    assert outcome.failures == ()
    assert any("metric broken" in warning for warning in outcome.warnings)
    with pytest.raises(package.PluginError, match="metric 'broken'"):
        package.run(**options, metric="broken")
    monkeypatch.setenv("FGBENCH_PLUGINS", str(plugin))
    assert set(package.evaluate([0.2, 0.9], [0, 1])) >= {"accuracy", "ece"}


def test_file_location_is_not_part_of_result(tmp_path):
    rows = [f"{'good fine' if n % 2 else 'bad poor'} text number {n},{n % 2}" for n in range(60)]
    entries = []
    for place in ("here", "there"):
        folder = tmp_path / place
        folder.mkdir()
        (folder / "own.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
        outcome = run(
            tmp_path / f"runs-{place}", tmp_path / "store", arms=["baseline", "synthesis+"],
            datasets=[f"csv:path={folder / 'own.csv'},text=text,label=label"],
        )  # fmt: skip
        board = (outcome.folder / "leaderboard.json").read_text()
        assert str(tmp_path) not in board
        assert str(folder / "own.csv") in (outcome.folder / "suite.toml").read_text()
        entries.append([entry.id for entry in outcome.leaderboard.entries])
    assert entries[0] == entries[1]


def test_rerun_of_a_finished_run_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(session, "provenance", lambda started: Provenance(started=started))
    first = run(tmp_path / "runs", tmp_path / "store")
    log = first.folder / "events.jsonl"

    def written():
        return {
            path: path.stat().st_mtime_ns
            for path in first.folder.rglob("*")
            if path.is_file() and path.name not in (log.name, "plan.json", "suite.toml", ".lock")
        }

    before = written()
    again = run(tmp_path / "runs", tmp_path / "store")
    assert written() == before
    assert again.leaderboard == first.leaderboard
    report = first.folder / "report.html"
    content = report.read_bytes()
    report.write_bytes(content[:-1])
    run(tmp_path / "runs", tmp_path / "store")
    assert len(report.read_bytes()) == len(content)  # rewritten, with the time of this attempt


def test_test_rows_with_equal_texts_are_one_unit(tmp_path):
    words = [("good", "bad")[number % 2] for number in range(300)]
    lines = [f"{word} text {number % 100},{word}" for number, word in enumerate(words)]
    data = tmp_path / "texts.csv"
    data.write_text("\n".join(["text,label", *lines]))
    outcome = package.run(
        dataset=f"csv:path={data},text=text,label=label",
        arms=["baseline", "real"],
        seeds=[0, 1],
        replicates=20,
        out=tmp_path / "runs",
        store=tmp_path / "store",
    )
    assert outcome.failures == ()
    entry = outcome.leaderboard.entries[0]
    stored = Predictions.load(outcome.folder / entry.artifacts.predictions[0].path)
    assert len(stored) > len(set(stored.groups.tolist())) > 10
    assert verify_board(outcome.folder, Registry.load()).ok
