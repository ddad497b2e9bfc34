"""The numbers of the bundled boards follow from the predictions beside them."""

from pathlib import Path

import pytest

from fgbench.leaderboard.bundled import board_path
from fgbench.leaderboard.verify import verify_board
from fgbench.plugins.registry import Registry


@pytest.mark.slow
def test_quick_board_verifies():
    result = verify_board(board_path(Path("quick")), Registry.load([]))
    assert result.problems == []
    assert (result.entries, result.files) == (72, 216)
    assert result.numbers > 5000
