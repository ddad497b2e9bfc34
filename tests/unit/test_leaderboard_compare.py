"""Comparing two boards: verdicts, removed and new entries, changed data, output formats."""

import csv
import io
import json
import shutil

import pytest

from fgbench.coordinates import Coordinates, DatasetRecord, PartRecord, PublishedRecord, entry_id
from fgbench.differences.compare import compare_boards, compare_files
from fgbench.differences.matching import changes
from fgbench.differences.rendering import as_csv, as_markdown, as_text, as_value
from fgbench.inference import MetricSummary
from fgbench.leaderboard.build import assemble
from fgbench.leaderboard.files import read_board, write_board
from fgbench.leaderboard.models import Entry, Provenance
from support.boards import coordinates, make_run, predictions, registry


@pytest.fixture(scope="module")
def boards(tmp_path_factory):
    """Two runs: `synthesis` is worse in the second, `real` is gone, `synthesis+` is new."""
    folder = tmp_path_factory.mktemp("boards")
    make_run(folder / "old", arms=("baseline", "real", "synthesis"), calibrators=("none",))

    def worse(arm, calibrator, seed, **options):
        made = predictions(arm, calibrator, seed, **options)
        return made.with_logits(made.logits * (1.3 if arm == "synthesis" else 1.0))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("support.boards.predictions", worse)
        make_run(
            folder / "new", arms=("baseline", "synthesis", "synthesis+"), calibrators=("none",)
        )
    return folder


def by_arm(found):
    return {each.new.arm: each for each in found.entries}


def test_compare_reports_worse_equal_new_and_removed_entries(boards):
    found = compare_files(boards / "old", boards / "new", registry())
    entries = by_arm(found)
    assert entries["baseline"].verdict == "identical"
    assert "worse" in entries["synthesis"].verdicts
    assert [each.arm for each in found.appeared] == ["synthesis+"]
    assert [each.arm for each in found.vanished] == ["real"]
    worse = {each.metric for _, each in found.regressions}
    assert "nll" in worse
    assert "accuracy" not in worse  # a scaling of the logits changes no class


def test_paired_interval_is_narrower_than_unpaired(boards):
    paired = compare_files(boards / "old", boards / "new", registry(), metrics=["nll"])
    unpaired = compare_files(
        boards / "old", boards / "new", registry(), metrics=["nll"], paired=False
    )
    (one,) = by_arm(paired)["synthesis"].metrics
    (other,) = by_arm(unpaired)["synthesis"].metrics
    assert (one.how, other.how) == ("paired", "unpaired")
    assert one.delta == pytest.approx(other.delta)
    assert one.ci95[1] - one.ci95[0] < (other.ci95[1] - other.ci95[0]) / 2
    assert (one.verdict, other.verdict) == ("worse", "noise")


def test_swapped_boards_swap_verdict(boards):
    found = compare_files(boards / "new", boards / "old", registry(), metrics=["nll"])
    (one,) = by_arm(found)["synthesis"].metrics
    assert one.verdict == "better"
    assert one.delta < 0
    assert not found.regressions


def test_board_is_identical_to_its_merged_copy(boards):
    found = compare_files(boards / "old", boards / "old", registry())
    assert {each.verdict for each in found.entries} == {"identical"}
    assert not found.appeared + found.vanished + found.refused
    assert "3 identical" in as_text(found)


def with_entries(board, change):
    entries = []
    for entry in board.entries:
        changed = change(entry)
        entries.append(changed.model_copy(update={"id": entry_id(changed)}))
    return board.model_copy(update={"entries": entries})


def test_entries_with_other_data_are_not_compared(boards):
    old = read_board(boards / "old")

    def other_data(entry):
        dataset = entry.dataset.model_copy(update={"digest": "e" * 64})
        return entry.model_copy(update={"dataset": dataset})

    found = compare_boards(old, with_entries(old, other_data))
    assert found.entries == []
    assert len(found.refused) == 3
    assert found.vanished == found.appeared == []
    text = " ".join(as_text(found).split())
    assert "the data differ (digest dddddddddddd → eeeeeeeeeeee)." in text
    assert "3 skipped (different data)" in text


def test_entries_with_other_versions_or_seeds_are_compared(boards):
    old = read_board(boards / "old")

    def newer(entry):
        part = entry.classifier.model_copy(update={"version": "2"})
        facts = entry.provenance.model_copy(
            update={"packages": {"numpy": "9.9"}, "git_commit": "f" * 40}
        )
        return entry.model_copy(update={"classifier": part, "provenance": facts})

    found = compare_boards(old, with_entries(old, newer))
    assert len(found.entries) == 3
    said = {str(change) for change in found.entries[0].changes}
    assert said == {
        "classifier logreg, version 1 → 2",
        "package numpy 2.4 → 9.9",
        f"git commit none → {'f' * 12}",
    }

    def fewer_seeds(entry):
        metrics = {
            name: each.model_copy(update={"per_seed": each.per_seed[:1]})
            for name, each in entry.metrics.items()
        }
        return entry.model_copy(update={"seeds": [0], "metrics": metrics})

    found = compare_boards(old, with_entries(old, fewer_seeds))
    assert len(found.entries) == 3
    assert any(str(change) == "seeds 0, 1 → 0" for change in found.entries[0].changes)


def test_other_metric_version_is_compared_only_if_recomputable(boards):
    def other_metric(entry):
        versions = entry.metric_versions | {"ece": "0"}
        mean = entry.metrics["ece"].mean + 0.1
        metrics = entry.metrics | {"ece": entry.metrics["ece"].model_copy(update={"mean": mean})}
        return entry.model_copy(update={"metric_versions": versions, "metrics": metrics})

    old = read_board(boards / "old")
    found = compare_boards(with_entries(old, other_metric), old, metrics=["ece"])
    assert len(found.entries) == 3
    for entry in found.entries:
        assert entry.metrics == []
        assert "the metric's version differs (0 → 1)" in entry.not_compared["ece"]


def test_equal_predictions_with_other_numbers_suggest_verify(boards):
    def tampered(entry):
        mean = entry.metrics["ece"].mean + 0.1
        metrics = entry.metrics | {"ece": entry.metrics["ece"].model_copy(update={"mean": mean})}
        return entry.model_copy(update={"metrics": metrics})

    old = read_board(boards / "old")
    found = compare_boards(old, with_entries(old, tampered), metrics=["ece"])
    assert "verify both boards" in found.entries[0].not_compared["ece"]


def published(**changes):
    base = coordinates("baseline", seeds=(0, 1))
    where = Coordinates(
        dataset=DatasetRecord(name=base.dataset.name),
        classifier=PartRecord(name=base.classifier.name),
        loss=PartRecord(name=base.loss.name),
        calibrator=PartRecord(name="none"),
        arm="baseline",
        seeds=[],
        published=PublishedRecord(source="Somebody et al. 2024"),
        **changes,
    )
    values = {name: getattr(where, name) for name in Coordinates.model_fields}
    metrics = {"ece": MetricSummary(mean=0.5), "accuracy": MetricSummary(mean=0.78)}
    return Entry(**values, id=entry_id(where), metrics=metrics, provenance=Provenance())


def test_published_figures_are_compared_by_our_interval(boards):
    board = assemble("paper", "", [published()], lambda entry: None)
    found = compare_boards(board, read_board(boards / "old"))
    (entry,) = found.entries
    told = {each.metric: each for each in entry.metrics}
    assert told["ece"].how == "unpaired"
    assert told["ece"].verdict == "better"
    assert told["accuracy"].verdict == "noise"
    assert entry.changes == []
    back = compare_boards(board, assemble("paper", "", [published()], lambda entry: None))
    assert {each.verdict for each in back.entries} == {"identical"}


def test_ambiguous_published_figures_are_not_paired(boards):
    old = read_board(boards / "old")
    twin = old.entries[0].model_copy(
        update={"loss": old.entries[0].loss.model_copy(update={"params": {"weight": 2.0}})}
    )
    several = old.model_copy(
        update={"entries": [*old.entries, twin.model_copy(update={"id": entry_id(twin)})]}
    )
    board = assemble("paper", "", [published()], lambda entry: None)
    assert compare_boards(board, several).entries == []


EVIL = ['=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "\tx", "\rx", "a|b`<script>\x1b[31m"]


@pytest.mark.parametrize("text", EVIL)
def test_data_text_is_escaped_in_every_format(boards, text):
    old = read_board(boards / "old")

    def renamed(entry):
        dataset = entry.dataset.model_copy(update={"name": text})
        return entry.model_copy(update={"dataset": dataset})

    evil = with_entries(old, renamed)
    found = compare_boards(evil, evil.model_copy(update={"entries": evil.entries[:1]}))
    for row in csv.reader(io.StringIO(as_csv(found), newline="")):
        for cell in row:
            if cell.startswith(("=", "+", "-", "@", "\t", "\r")):
                float(cell)  # a number is no formula
    assert "\x1b" not in as_text(found, everything=True) + as_markdown(found)
    assert "<script>" not in as_markdown(found)
    assert json.loads(json.dumps(as_value(found)))["entries"][0]["label"].startswith(text)


def test_compare_text_fits_80_columns_and_tables_are_complete(boards):
    found = compare_files(boards / "old", boards / "new", registry())
    for text in (as_text(found), as_text(found, everything=True)):
        assert max(map(len, text.splitlines())) <= 80
    rows = list(csv.DictReader(io.StringIO(as_csv(found))))
    compared = sum(len(entry.metrics) for entry in found.entries)
    assert sum(row["status"] == "compared" for row in rows) == compared
    assert {row["status"] for row in rows} == {"compared", "appeared", "vanished"}
    assert as_markdown(found).count("\n| ") == compared + 1


def test_comparing_empty_boards_reports_nothing_to_compare():
    empty = assemble("none", "", [], lambda entry: None)
    assert "0 entries compared; 0 appeared" in as_text(compare_boards(empty, empty))


def test_missing_predictions_fall_back_to_stored_intervals(boards, tmp_path):
    shutil.copytree(boards / "new", tmp_path / "new")
    shutil.rmtree(tmp_path / "new" / "predictions")
    found = compare_files(boards / "old", tmp_path / "new", registry(), metrics=["nll"])
    (one,) = by_arm(found)["synthesis"].metrics
    assert one.how == "unpaired"


def test_entry_has_no_changes_from_itself(boards, tmp_path):
    board = read_board(boards / "old")
    write_board(board, tmp_path / "copy.json")
    again = read_board(tmp_path / "copy.json")
    assert all(changes(a, b) == [] for a, b in zip(board.entries, again.entries, strict=True))
