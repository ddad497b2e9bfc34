"""Start-up: `fgbench --help` and `fgbench list` beside `python -c "import click"`, the floor.

The promise is at most twice the floor; docs/benchmarks.md says what was seen.
"""

import subprocess
import sys

import pytest

MAIN = "from fgbench.cli import main; main()"
COMMANDS = {
    "import click": [sys.executable, "-c", "import click"],
    "fgbench --help": [sys.executable, "-c", MAIN, "--help"],
    "fgbench list": [sys.executable, "-c", MAIN, "list"],
}


@pytest.mark.benchmark(group="start-up")
@pytest.mark.parametrize("name", COMMANDS)
def test_start_up(benchmark, name):
    answer = benchmark.pedantic(
        subprocess.run,
        args=(COMMANDS[name],),
        kwargs={"capture_output": True, "check": True},
        rounds=15,
        warmup_rounds=1,
    )
    assert answer.returncode == 0
