"""What identifies an entry is stable: ids, labels, groups and orders of the stored boards."""

import json
from pathlib import Path

import pytest

from fgbench.cards import DataFolder
from fgbench.digests import digest
from fgbench.leaderboard.build import assemble
from fgbench.leaderboard.bundled import bundled_boards
from fgbench.leaderboard.files import read_board
from fgbench.leaderboard.models import entry_id
from fgbench.plan.plan import make_plan
from fgbench.plan.suite import Suite
from fgbench.plugins.registry import Registry
from fgbench.report.view import comparisons, groups

STORED = Path(__file__).parents[1] / "stored"
PINNED = json.loads((STORED / "coordinates.json").read_text())
"""By board: its ids with their labels in the order of the file, and its groups; by suite: its run
id, and the labels and the coordinates of its cells."""

BOARDS = {"leaderboard-1": STORED / "leaderboard-1" / "leaderboard.json", **bundled_boards()}

SUITES = {
    "default": {},
    "paper": {"dataset": "known-posterior", "protocol": "paper", "seeds": [3], "bins": [10, 15]},
}


def board_pins(path):
    """Return the pinned form of a board."""
    board = read_board(path)
    return {
        "entries": [[entry_id(entry), entry.label] for entry in board.entries],
        "groups": [[group.title, [entry.id for entry in group.entries]] for group in groups(board)],
        "comparisons": [
            [group.title, [entry.id for entry in group.entries]] for group in comparisons(board)
        ],
        "controls": [[entry.baseline, entry.real] for entry in board.entries],
    }


def suite_pins(values):
    """Return the pinned form of a suite's plan."""
    plan = make_plan(Suite.build(values), Registry.load(), DataFolder.from_environment())
    value = plan.to_value()
    return {
        "run": plan.run_id,
        "labels": [cell.label for cell in plan.cells],
        "cells": digest(value["cells"]),
        "keys": [list(cell) for cell in value["cells"][:1]],
    }


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_ids_labels_and_groups_of_stored_boards_are_pinned(name):
    assert board_pins(BOARDS[name]) == PINNED["boards"][name]


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_order_and_controls_of_stored_boards_do_not_depend_on_the_order_of_their_sources(name):
    board = read_board(BOARDS[name])
    rebuilt = assemble(board.name, board.created, reversed(board.entries), lambda entry: None)
    assert [[entry.id, entry.label] for entry in rebuilt.entries] == PINNED["boards"][name][
        "entries"
    ]
    controls = [[entry.baseline, entry.real] for entry in rebuilt.entries]
    assert controls == PINNED["boards"][name]["controls"]


@pytest.mark.parametrize("name", sorted(SUITES))
def test_run_ids_and_cells_of_suites_are_pinned(name):
    assert suite_pins(SUITES[name]) == PINNED["suites"][name]
