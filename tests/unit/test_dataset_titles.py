"""What tables call a data set, and that its entry's id does not depend on it."""

import pytest

from fgbench.coordinates import Coordinates, DatasetRecord, entry_id
from fgbench.report.view import Names, filtered, groups, known_names
from support.boards import make_run


def record(name="csv", digest="0" * 64, **params):
    return DatasetRecord(
        name=name, params=params, digest=digest, n_train=1, n_validation=1, n_test=300
    )


@pytest.mark.parametrize(
    ("name", "params", "title"),
    [
        ("csv", {"path": "reviews.csv"}, "reviews"),
        ("jsonl", {"path": "my.reviews.jsonl"}, "my.reviews"),
        ("hf", {"path": "me/data-v1.5"}, "data-v1.5"),
        ("hf", {"path": "imdb"}, "imdb"),
        ("tc", {"split_seed": 0}, "tc"),
        ("csv", {"path": ""}, "csv"),
        ("odd", {"path": 3}, "odd"),
    ],
)
def test_title_is_the_file_or_the_name(name, params, title):
    assert record(name, **params).title == title


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"))


def entries(board, *records):
    return [board.entries[0].model_copy(update={"dataset": item}) for item in records]


def titles(board, *records):
    listed = entries(board, *records)
    names = Names(listed)
    return [names.dataset(entry.dataset) for entry in listed]


def test_titles_are_distinguished_only_where_they_are_equal(board):
    one, two = record(path="a.csv", text="t"), record(path="b.csv", text="u")
    assert titles(board, one, two) == ["a", "b"]
    other_column = record(path="a.csv", text="u", digest="1" * 64)
    assert titles(board, one, other_column) == ["a:text=t", "a:text=u"]
    other_content = record(path="a.csv", text="t", digest="2" * 64)
    assert titles(board, one, other_content) == ["a@00000000", "a@22222222"]
    own, registered = record(path="tc.csv"), record("tc", split_seed=0)
    assert titles(board, own, registered) == ["csv:tc", "tc"]


def test_title_heads_tables_and_selects_entries(board):
    listed = entries(board, record(path="a.csv"), record(path="b.csv"))
    both = board.model_copy(update={"entries": listed})
    assert [group.title.split(" · ")[0] for group in groups(both)] == ["a", "b"]
    assert [entry.dataset.title for entry in filtered(both, dataset=["b"]).entries] == ["b"]
    assert len(filtered(both, dataset=["csv"]).entries) == 2
    assert known_names(listed)["dataset"] == {"a", "b", "csv"}
    assert listed[0].label.startswith("a · ")


def test_id_covers_the_name_and_the_path_that_make_the_title(board):
    values = {name: getattr(board.entries[0], name) for name in Coordinates.model_fields}
    ids = {
        entry_id(Coordinates(**values | {"dataset": item}))
        for item in (record(path="a.csv"), record(path="b.csv"), record("jsonl", path="a.csv"))
    }
    assert len(ids) == 3
    assert "title" not in Coordinates(**values).identity()["dataset"]
