"""The browser, and pages that are opened in it and monitored."""

from pathlib import Path

import pytest

from fgbench.leaderboard.bundled import board_path
from fgbench.leaderboard.files import read_board
from fgbench.report import write_board_page
from support.browser import Visit, chromium


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def quick():
    return read_board(board_path(Path("quick")))


@pytest.fixture(scope="module")
def quick_page(tmp_path_factory):
    return write_board_page(board_path(Path("quick")), tmp_path_factory.mktemp("quick")).file


@pytest.fixture
def visit(browser):
    """Open pages; at the end, assert that they logged nothing and requested nothing."""
    visits = []

    def open_page(file, **options):
        visits.append(Visit(browser, file, **options))
        return visits[-1]

    yield open_page
    for each in visits:
        each.close()
    assert [each.said for each in visits] == [[]] * len(visits)
    assert [each.dialogs for each in visits] == [[]] * len(visits)
    assert all(url.startswith("file:") for each in visits for url in each.asked)
