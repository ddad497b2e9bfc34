"""Runs with several jobs from scripts, and outputs that cannot be written."""

import os
import resource
import subprocess
import sys

import pytest

from fgbench import ConfigurationError
from fgbench_plugins.executors.local import LocalExecutor
from support.runs import ENTRY

SCRIPT = """
import fgbench
print("imported", __name__)
run = fgbench.run(
    dataset="known-posterior", limit=60, arms=["baseline"], seeds=[0, 1], calibrators=["none"],
    metrics=["ece"], replicates=50, jobs=2, out="runs", store="store",
)
print(run.failures, len(run.leaderboard.entries))
"""


def run(*command, place, **options):
    return subprocess.run(
        command, cwd=place, text=True, capture_output=True, timeout=120, **options
    )


@pytest.mark.parametrize("from_stdin", [True, False], ids=["stdin", "file"])
def test_script_without_main_guard_runs_with_several_jobs(tmp_path, from_stdin):
    if from_stdin:
        answer = run(sys.executable, "-", place=tmp_path, input=SCRIPT)
    else:
        (tmp_path / "script.py").write_text(SCRIPT)
        answer = run(sys.executable, "script.py", place=tmp_path)
    assert answer.stdout.splitlines() == ["imported __main__", "() 1"], answer.stderr
    assert answer.returncode == 0
    assert "Traceback" not in answer.stderr


def test_run_inside_a_starting_process_is_one_sentence(tmp_path):
    (tmp_path / "script.py").write_text(
        "import multiprocessing, fgbench\n"
        "if multiprocessing.current_process().name != 'MainProcess':\n"
        "    fgbench.run(dataset='known-posterior', limit=60, out='runs', store='store')\n"
        "elif __name__ == '__main__':\n"
        "    child = multiprocessing.get_context('spawn').Process(target=print)\n"
        "    child.start()\n"
        "    child.join()\n"
    )
    answer = run(sys.executable, "script.py", place=tmp_path)
    assert 'put the call under `if __name__ == "__main__":`' in answer.stderr
    assert not (tmp_path / "runs").exists()


def test_missing_shared_memory_is_named(monkeypatch):
    def fail(*arguments, **options):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("multiprocessing.synchronize.SemLock.__init__", fail)
    with pytest.raises(ConfigurationError, match=r"no shared memory.*--jobs 1"):
        LocalExecutor(jobs=2).open(_Setup())


class _Setup:
    def _replace(self, **changes):
        return self


def test_output_that_cannot_be_written_is_no_internal_error(tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))

    with (tmp_path / "out").open("w") as stream:
        answer = subprocess.run(
            [*ENTRY, "list"],
            stdout=stream,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=limit,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        )
    assert answer.returncode == 1
    assert answer.stderr.splitlines() == [
        "Error: the output could not be written (File too large); completed work is kept. Free "
        "some space, then rerun."
    ]
