"""Bad input: one error on standard error, exit code 2, and nothing is lost."""

import json
import resource
import signal
import textwrap

import pytest

from support.runs import comparable, events

PROBE_RUN = ["run", "--dataset", "probe", "--bins", "5", "--replicates", "20", "--seed", "0"]


def assert_one_message(answer, *words):
    message = answer.stderr.strip()
    assert "Traceback" not in message
    assert len(message.splitlines()) <= 3, message
    for word in words:
        assert word in message
    assert answer.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dataset", "known-posteriro"], ["unknown dataset", "Did you mean 'known-posterior'?"]),
        (["--generator", "ngrams"], ["unknown generator", "Did you mean 'ngram'?"]),
        (["--classifier", "tfidf-logreg:c=3"], ["no parameter 'c'", "Did you mean 'C'?"]),
        (["--classifier", "tfidf-logreg:C=-3"], ["C = '-3'", "greater than 0"]),
        (["--calibrator", "temprature"], ["Did you mean 'temperature'?"]),
        (["--metric", "ecce"], ["unknown metric", "Did you mean"]),
        (["--arm", "synthetis"], ["arms[0]", "synthetis"]),
        (["--bins", "many"], ["bins[0]", "many"]),
        (["--protocol", "lax"], ["protocol", "strict"]),
        (["--seed", "-1"], ["seeds[0]"]),
        (["nowhere.toml"], ["nowhere.toml", "no such file"]),
        (["--plugin", "nowhere.py"], ["nowhere.py", "no such file"]),
        (["--dataset", "csv"], ["dataset 'csv' needs the parameter"]),
        (["--executor", "locale"], ["unknown executor", "Did you mean 'local'?"]),
        (["--jobs", "0"], ["--jobs"]),
        (["--frobnicate"], ["No such option"]),
        (["--dataset", "tc", "--classifier", "logreg"], ["FGBENCH_DATA", "fgbench data fetch tc"]),
    ],
)  # fmt: skip
def test_configuration_errors_are_reported_before_work_starts(fgbench, tmp_path, arguments, words):
    answer = fgbench("run", *arguments, code=2)
    message = answer.stderr
    assert "Traceback" not in message
    for word in words:
        assert word in message
    assert not (tmp_path / "runs").exists()


def test_suite_typo_error_names_file_and_key(fgbench, tmp_path):
    (tmp_path / "mine.toml").write_text(
        'dataset = ["known-posterior"]\nclasifier = "tfidf-logreg"\n'
    )
    assert_one_message(
        fgbench("run", "mine.toml", code=2), "mine.toml", "'clasifier'", "'classifiers'"
    )


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("", ["data.csv"]),
        ("text,label\n", ["data.csv"]),
        ("text,label\n" + "good film,yes\n" * 30, ["class"]),
        ("text,label\ngood film,yes\nbad film\n", ["data.csv", "line 3"]),
        ("text,mark\ngood film,yes\n", ["data.csv", "label"]),
    ],
)
def test_empty_single_class_and_malformed_data_are_refused(fgbench, tmp_path, rows, words):
    (tmp_path / "data.csv").write_text(rows)
    answer = fgbench("run", "--dataset", "csv:path=data.csv,text=text,label=label", code=2)
    assert_one_message(answer, *words)


def test_label_missing_from_card_is_refused(fgbench, tmp_path):
    folder = tmp_path / "data" / "tc"
    folder.mkdir(parents=True)
    (folder / "complaints-data.csv").write_text('1,"hi, there",0,apparel\n2,no,2,apparel\n')
    answer = fgbench(
        "run", "--dataset", "tc", "--classifier", "tfidf-logreg", "--data-dir", tmp_path / "data",
        code=2,
    )  # fmt: skip
    assert_one_message(answer, "complaints-data.csv", "line 2", "'2'")


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_non_numeric_features_are_refused(fgbench, tmp_path, value):
    (tmp_path / "broken.py").write_text(
        textwrap.dedent(
            f"""
            import numpy as np
            from fgbench import Dataset, DatasetLoader, Split, hookimpl

            class Broken(DatasetLoader):
                def load(self, folder):
                    values = np.linspace(0, 1, 20)
                    values[7] = float("{value}")
                    split = Split(values, np.arange(20) % 2)
                    names = ("train", "validation", "test")
                    return Dataset("broken", ("a", "b"), dict.fromkeys(names, split))

            @hookimpl
            def fgbench_datasets(register):
                register("broken", "broken:Broken", "NaN")
            """
        )
    )
    answer = fgbench("run", "--plugin", "broken.py", "--dataset", "broken", code=2)
    assert_one_message(answer, "row 7", "NaN or infinite")


def test_unwritable_output_folder_is_an_error(fgbench, tmp_path):
    (tmp_path / "file").write_text("precious")
    answer = fgbench(*PROBE_RUN, "--out", "file/runs", "--quiet", code=2, probe=True)
    assert_one_message(answer, "file/runs", "cannot be written")
    assert (tmp_path / "file").read_text() == "precious"


def test_unwritable_store_is_an_error(fgbench, tmp_path):
    (tmp_path / "file").write_text("precious")
    answer = fgbench(*PROBE_RUN, "--store", "file/store", "--quiet", code=2, probe=True)
    assert_one_message(answer, "file/store", "cannot be written")


@pytest.mark.parametrize("jobs", [1, 2])
def test_disk_filling_up_during_run_keeps_completed_work(fgbench, tmp_path, jobs):
    """The kernel refuses files over a size, in a stage's process, as a full disk would."""

    def fill():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

    arguments = ["run", "--dataset", "probe", "--bins", "5", "--replicates", "1000", "--seed", "0"]
    full = fgbench(*arguments, "--jobs", jobs, "--quiet", code=2, probe=True, preexec_fn=fill)
    assert_one_message(full, "cannot be written", "ulimit -f")
    kept = {path.parent.name for path in (tmp_path / "store" / "objects").glob("*/*/manifest.json")}
    assert kept, "what had finished is kept"
    fgbench(*arguments, "--quiet", probe=True)
    (folder,) = (tmp_path / "runs").iterdir()
    log = events(folder)
    last = log[max(at for at, e in enumerate(log) if e["event"] == "run_started") :]
    assert not kept & {e["key"] for e in last if e["event"] == "stage_finished"}
    assert json.loads((folder / "leaderboard.json").read_text())["entries"]


@pytest.mark.parametrize("where", ["import", "registration"])
def test_unneeded_broken_plugin_does_not_stop_run(fgbench, tmp_path, where):
    (tmp_path / "broken.py").write_text(
        "raise RuntimeError('boom')"
        if where == "import"
        else "from fgbench import hookimpl\n\n"
        "@hookimpl\ndef fgbench_datasets(register):\n    raise RuntimeError('boom')\n"
    )
    answer = fgbench(*PROBE_RUN, "--plugin", "broken.py", "--quiet", probe=True)
    assert answer.stderr.startswith("Warning: plugin broken.py")
    assert "boom" in answer.stderr
    listed = fgbench("list", "datasets", "--plugin", "broken.py")
    assert "known-posterior" in listed.stdout
    assert "boom" in listed.stderr
    assert "boom" in fgbench("doctor", "--plugin", "broken.py", code=1).stderr


def test_two_plugins_with_one_name_are_an_error(fgbench, tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(
            "from fgbench import hookimpl\n\n@hookimpl\ndef fgbench_datasets(register):\n"
            f"    register('twice', '{name}:X', 'x')\n"
        )
    answer = fgbench(
        "run", "--dataset", "twice", "--plugin", "one.py", "--plugin", "two.py", code=2
    )
    assert "'twice' is registered by one.py" in answer.stderr
    assert "two.py" in answer.stderr


def test_json_option_prints_only_the_board_and_its_verdict(fgbench, tmp_path):
    answer = fgbench(*PROBE_RUN, "--json", probe=True)
    board = json.loads(answer.stdout)
    assert board.pop("verdict")["answers"]
    (folder,) = (tmp_path / "runs").iterdir()
    assert board == json.loads((folder / "leaderboard.json").read_text())
    quiet = fgbench(*PROBE_RUN, "--quiet", probe=True)
    assert quiet.stdout == quiet.stderr == ""


def test_debug_option_shows_traceback(fgbench):
    assert "Traceback" in fgbench("run", "--dataset", "nowhere", "--debug", code=1).stderr


def test_unknown_command_suggests_nearest(fgbench):
    assert "Did you mean 'run'?" in fgbench("rnu", code=2).stderr


def test_plan_runs_nothing_and_reports_stored_stages(fgbench, tmp_path):
    arguments = PROBE_RUN[1:]
    before = json.loads(fgbench("plan", *arguments, "--json", probe=True).stdout)
    assert before["stages"]["train"] == 7
    assert not any(before["cached"].values())
    assert before["generation_requests"]["at_most"] > 0
    assert not (tmp_path / "runs").exists()
    fgbench("run", *arguments, "--quiet", probe=True)
    after = json.loads(fgbench("plan", *arguments, "--json", probe=True).stdout)
    assert after["cached"] == after["stages"] == before["stages"]
    assert after["generation_requests"] == {"known": 0, "at_most": 0, "by_generator": {}}
    table = fgbench("plan", *arguments, probe=True).stdout
    assert "14 cells" in table
    assert max(map(len, table.splitlines())) <= 80


def test_resolved_suite_reproduces_its_run(fgbench, tmp_path):
    fgbench(*PROBE_RUN, "--quiet", probe=True)
    (folder,) = (tmp_path / "runs").iterdir()
    fgbench(
        "run", folder / "suite.toml", "--out", "again", "--store", "other", "--quiet", probe=True
    )
    (second,) = (tmp_path / "again").iterdir()
    assert second.name == folder.name
    assert comparable(second / "leaderboard.json") == comparable(folder / "leaderboard.json")
