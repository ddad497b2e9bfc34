"""What identifies an entry is stable: ids, labels, groups and orders of the stored boards."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from fgbench.cards import DataFolder
from fgbench.coordinates import (
    AXES,
    PARTS,
    Coordinates,
    DatasetRecord,
    PartRecord,
    entry_id,
)
from fgbench.digests import digest
from fgbench.leaderboard.build import assemble
from fgbench.leaderboard.bundled import bundled_boards
from fgbench.leaderboard.files import read_board
from fgbench.plan.cells import Cell
from fgbench.plan.plan import make_plan
from fgbench.plan.suite import Suite
from fgbench.plugins.registry import KINDS, Registry
from fgbench.report.view import comparisons, groups

STORED = Path(__file__).parents[1] / "stored"
PINNED = json.loads((STORED / "coordinates.json").read_text())
"""By board: its ids with their labels in the order of the file, and its groups; by suite: its run
id, and the labels and the coordinates of its cells."""

BOARDS = {
    "leaderboard-1": STORED / "leaderboard-1" / "leaderboard.json",
    **bundled_boards(Registry.load()),
}

FIRST_ARMS = ["baseline", "real", "resample", "random-bins", "synthesis", "synthesis+"]
"""The arms that suites had by default when these pins were made."""

SUITES = {
    "default": {"arms": FIRST_ARMS},
    "paper": {
        "dataset": "known-posterior",
        "protocol": "paper",
        "seeds": [3],
        "bins": [10, 15],
        "arms": FIRST_ARMS,
    },
}


def links(entry):
    """Return the ids of an entry's baseline and `real` control."""
    found = [entry.contrasts.get(kind) for kind in ("baseline", "real")]
    return [against and against.entry for against in found]


def board_pins(path):
    """Return the pinned form of a board."""
    board = read_board(path)
    return {
        "entries": [[entry_id(entry), entry.label] for entry in board.entries],
        "groups": [[group.title, [entry.id for entry in group.entries]] for group in groups(board)],
        "comparisons": [
            [group.title, [entry.id for entry in group.entries]] for group in comparisons(board)
        ],
        "controls": [links(entry) for entry in board.entries],
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
    controls = [links(entry) for entry in rebuilt.entries]
    assert controls == PINNED["boards"][name]["controls"]


@pytest.mark.parametrize("name", sorted(SUITES))
def test_run_ids_and_cells_of_suites_are_pinned(name):
    assert suite_pins(SUITES[name]) == PINNED["suites"][name]


def test_cells_and_suites_have_a_field_for_every_axis():
    cell = {field.name for field in fields(Cell)}
    assert cell == {"seed" if name == "seeds" else name for name in AXES}
    assert {axis.suite for axis in AXES.values()} <= set(Suite.model_fields)
    assert set(PARTS) < set(KINDS)


def entry(**changes):
    values = {
        "dataset": DatasetRecord(name="d", digest="0" * 64, n_train=4, n_validation=2, n_test=2),
        "classifier": PartRecord(name="c", params={"l2": 0.5}),
        "loss": PartRecord(name="l"),
        "arm": "synthesis",
        "generator": PartRecord(name="g"),
        "bins": 15,
        "calibrator": PartRecord(name="none"),
        "seeds": [2, 0, 1],
    }
    return Coordinates(**(values | changes))


OTHER = {
    "dataset": DatasetRecord(name="e", digest="1" * 64, n_train=4, n_validation=2, n_test=2),
    "classifier": PartRecord(name="c", params={"l2": 0.25}),
    "loss": PartRecord(name="l", version="2"),
    "arm": "baseline",
    "generator": None,
    "bins": None,
    "dose": 2,
    "calibrator": PartRecord(name="temperature"),
    "protocol": "paper",
    "seeds": [0],
}


@pytest.mark.parametrize("name", list(AXES))
def test_every_axis_is_part_of_the_id_and_can_be_left_out_of_a_key(name):
    other = entry(**{name: OTHER[name]})
    assert entry_id(other) != entry_id(entry())
    assert other.without(name) == entry().without(name)
    assert other.without() != entry().without()


@pytest.mark.parametrize("name", list(AXES))
def test_the_setting_is_what_an_entry_shares_with_its_controls(name):
    other = entry(**{name: OTHER[name]})
    assert (other.setting() != entry().setting()) == (AXES[name].role == "setting")


def test_neutral_dose_is_left_out_of_ids_and_labels():
    assert "dose" not in entry().identity()
    assert entry_id(entry(dose=1)) == entry_id(entry(dose=None)) == entry_id(entry())
    assert entry().dose == 1, "an entry from before the axis has one input per point"
    assert entry(generator=None, bins=None, arm="real").dose is None
    assert entry(dose=0.5).label == "d · c · synthesis · g/15 bins, dose 0.5 · none"
    assert entry(dose=2).label == "d · c · synthesis · g/15 bins, dose 2 · none"
    assert entry(dose=2).labels()["dose"] == "2"
    with pytest.raises(ValueError, match="greater than 0"):
        entry(dose=0)


def test_the_order_of_seeds_changes_no_id_but_their_number_does():
    assert entry_id(entry(seeds=[0, 1, 2])) == entry_id(entry())
    with pytest.raises(ValueError, match="duplicate"):
        entry(seeds=[0, 0])


def test_texts_of_an_entry():
    assert entry().label == "d · c · synthesis · g/15 bins · none"
    assert entry(generator=None, bins=None, arm="real").label == "d · c · real · none"
    assert entry().labels()["classifier"] == "c:l2=0.5"
    assert entry(generator=None).labels()["generator"] == ""
    assert entry(bins=None).names()["bins"] is None
