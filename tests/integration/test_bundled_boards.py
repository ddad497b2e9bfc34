"""Bundled boards: their numbers follow from the predictions beside them, and their suites plan."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from fgbench.leaderboard.bundled import board_path
from fgbench.leaderboard.verify import verify_board
from fgbench.plugins.registry import Registry


@pytest.mark.slow
def test_quick_board_verifies():
    result = verify_board(board_path(Path("quick")), Registry.load([]))
    assert result.problems == []
    assert (result.entries, result.files) == (126, 630)
    assert result.numbers > 5000


@pytest.mark.skipif(
    bool(find_spec("torch") and find_spec("vllm")), reason="torch and vllm are both installed"
)
def test_paper_suite_plan_without_engines_is_one_error(fgbench, real_data):
    suite = board_path(Path("paper-table4")).with_name("suite.toml")
    answer = fgbench("plan", suite, "--data-dir", real_data, code=2)
    assert re.fullmatch(r"Error: .*(torch|transformers|bert-base|vllm).*\n", answer.stderr)
