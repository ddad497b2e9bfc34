"""The tables of a board: width, controls, words, escaping."""

import io
import re

import pytest
from rich.console import Console

from fgbench.coordinates import PublishedRecord
from fgbench.inference import MetricSummary
from fgbench.leaderboard.models import Leaderboard
from fgbench.numbers import interval, number, signed
from fgbench.primary import Primary
from fgbench.report.layout import Charset
from fgbench.report.table import results_html, results_table
from fgbench.report.view import (
    CHANCE,
    MARKS,
    cell_text,
    comparisons,
    default_metrics,
    filtered,
    groups,
)
from support.boards import make_run


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"))


def rendered(board, width, *, options=None, **console):
    stream = io.StringIO()
    output = Console(file=stream, width=width, **console)
    output.print(results_table(board, width=width, **(options or {})), soft_wrap=True)
    return stream.getvalue()


@pytest.mark.parametrize("width", [60, 80, 100, 132, 200])
def test_table_fits_terminal_without_cutting_numbers(board, width):
    text = rendered(board, width)
    assert max(map(len, text.splitlines())) <= width
    for entry in board.entries:
        (line,) = [line for line in text.splitlines() if entry.id[:6] in line]
        assert cell_text(entry, "ece").value in line
        assert interval(entry.metrics["ece"].ci95).replace("\N{NO-BREAK SPACE}", " ") in line


def test_intervals_never_break_across_lines(board):
    for width in range(60, 140, 7):
        for line in rendered(board, width).splitlines():
            assert len(re.findall(r"\[[+−]?[.\d]", line)) == len(re.findall(r"[.\d]\]", line))


def test_table_has_row_per_arm_and_calibrator_with_controls(board):
    (group,) = groups(board)
    assert [(e.arm, e.calibrator.name) for e in group.entries] == [
        (arm, calibrator)
        for arm in ("baseline", "real", "synthesis", "synthesis+")
        for calibrator in ("none", "temperature")
    ]
    assert "oracle, 15 bins" in group.title


def test_differences_from_any_control(board):
    (entry,) = [e for e in board.entries if e.arm == "synthesis+" and e.calibrator.name == "none"]
    for control in ("real", "baseline", "post-hoc"):
        text = rendered(board, 200, options={"against": control})
        assert f"− {control}" in text
        (line,) = [line for line in text.splitlines() if entry.id[:6] in line]
        record = entry.contrast(control, "ece")
        assert f"{signed(record.difference)} [" in line
        assert MARKS[record.word] in line
    (line,) = [line for line in rendered(board, 80).splitlines() if line.startswith("real ")][:1]
    assert "control" in line


def test_every_number_has_the_same_digits_in_text_html_and_board(board):
    metrics = sorted({name for entry in board.entries for name in entry.metrics})
    text = "".join(rendered(board, 400, options={"metrics": [name]}) for name in metrics)
    html = results_html(board, metrics)
    for entry in board.entries:
        lines = [line for line in text.splitlines() if entry.id[:6] in line]
        for name, line in zip(metrics, lines, strict=True):
            if name not in entry.metrics:
                continue
            record = entry.metrics[name]
            shown = [number(record.estimate)]
            shown += [] if record.ci95 is None else [interval(record.ci95)]
            contrast = entry.contrast("real", name)
            if contrast is not None:
                shown.append(signed(contrast.difference))
                if contrast.interval is not None:
                    shown.append(interval(contrast.interval, differs=True))
            for item in shown:
                assert item.replace("\N{NO-BREAK SPACE}", " ") in line, (entry.label, name)
                assert item in html


def test_ascii_table_has_ascii_only_and_the_same_digits(board):
    charset = Charset(ascii_only=True)
    text = rendered(board, 120, options={"charset": charset})
    assert text.isascii()
    assert "-.0" in text
    whole = rendered(board, 120)
    assert re.findall(r"\d+", text) == re.findall(r"\d+", whole)


@pytest.mark.parametrize(
    ("encoding", "ascii_only"),
    [("utf-8", False), ("cp1252", True), ("latin-1", True), ("ascii", True), (None, True)],
)
def test_encodings_without_the_marks_get_ascii(encoding, ascii_only):
    assert Charset.of(encoding).ascii_only == ascii_only
    assert Charset.of(encoding, ascii_only=True).ascii_only


def test_default_metrics_are_the_primary_one_and_those_that_declare_it(board):
    assert default_metrics(board) == ["ece", "accuracy", "nll", "true_calibration_error"]
    other = board.model_copy(update={"primary": Primary(metric="brier"), "shown": ["nll"]})
    assert default_metrics(other) == ["brier", "nll"]


def test_id_is_as_long_as_needed(board):
    entries = [
        entry.model_copy(update={"id": f"aaaaaaaa{index}{'0' * 7}"})
        for index, entry in enumerate(board.entries)
    ]
    text = rendered(board.model_copy(update={"entries": entries}), 120)
    assert "aaaaaaaa0" in text
    assert "aaaaaaaa00" not in text


def test_chance_is_marked_and_leaves_digits_aligned(board):
    entry = board.entries[0]
    noise = entry.metrics["ece"].model_copy(update={"corrected": 0.0, "chance_limit": 0.9})
    marked = entry.model_copy(update={"metrics": {**entry.metrics, "ece": noise}})
    rest = board.entries[1:]
    text = rendered(board.model_copy(update={"entries": [marked, *rest]}), 100)
    lines = [line for line in text.splitlines() if any(e.id[:6] in line for e in board.entries)]
    assert sum(CHANCE in line for line in lines) >= 1
    columns = {line.index(".") for line in lines}
    assert len(columns) == 1


def test_filters_keep_the_controls(board):
    some = filtered(board, generator=("oracle",), calibrator=("none",))
    assert {entry.arm for entry in some.entries} == {"baseline", "real", "synthesis", "synthesis+"}
    assert {entry.calibrator.name for entry in some.entries} == {"none"}


def test_data_text_is_not_interpreted_as_markup(board):
    evil = "<script>[bold]x[/bold]"
    entry = board.entries[0]
    dataset = entry.dataset.model_copy(update={"name": evil})
    one = board.model_copy(update={"entries": [entry.model_copy(update={"dataset": dataset})]})
    assert evil in rendered(one, 200)
    assert "<script>" not in results_html(one)
    assert "&lt;script&gt;" in results_html(one)


def test_empty_board_is_reported():
    assert "no entries" in rendered(Leaderboard(name="x", created="", entries=[]), 80)


def test_part_names_show_only_distinguishing_parameters(board):
    def with_params(entry, **params):
        part = entry.classifier.model_copy(update={"params": params})
        return entry.model_copy(update={"classifier": part})

    entry = board.entries[0]
    alike = board.model_copy(update={"entries": [with_params(entry, C=1.0, max_iter=100)]})
    assert " logreg ·" in groups(alike)[0].title
    two = [with_params(entry, C=1.0, max_iter=100), with_params(entry, C=9.0, max_iter=100)]
    titles = [group.title for group in groups(board.model_copy(update={"entries": two}))]
    assert ["logreg:C=1.0 " in titles[0], "logreg:C=9.0 " in titles[1]] == [True, True]


def test_data_set_versions_are_distinguished_by_digest(board):
    entry = board.entries[0]
    other = entry.dataset.model_copy(update={"digest": "e" * 64})
    two = [entry, entry.model_copy(update={"dataset": other})]
    titles = [group.title for group in groups(board.model_copy(update={"entries": two}))]
    assert [title.split(" · ")[0] for title in titles] == ["demo@dddddddd", "demo@eeeeeeee"]
    assert comparisons(board)[0].title.startswith("demo · ")


def test_differing_settings_are_shown(board):
    (entry,) = [e for e in board.entries if e.arm == "synthesis+" and e.calibrator.name == "none"]
    wider = entry.model_copy(update={"threshold": 0.1, "settings": {"retries": 9, "same": 1}})
    plain = entry.model_copy(update={"settings": {"retries": 2, "same": 1}})
    (group,) = comparisons(board.model_copy(update={"entries": [board.entries[0], plain, wider]}))
    said = [group.distinguishing_settings(each) for each in group.entries]
    assert said == ["", "gap > 0.03, retries=2", "gap > 0.1, retries=9"]
    lacking = wider.model_copy(update={"threshold": 0.03, "settings": {"same": 1}})
    (group,) = comparisons(board.model_copy(update={"entries": [plain, lacking]}))
    assert sorted(group.distinguishing_settings(each) for each in group.entries) == [
        "",
        "retries=2",
    ]
    (group,) = comparisons(board)
    assert {group.distinguishing_settings(each) for each in group.entries} == {""}


def test_published_figures_show_standard_deviation(board):
    entry = board.entries[0].model_copy(
        update={
            "seeds": [],
            "published": PublishedRecord(source="a paper"),
            "metrics": {"ece": MetricSummary(mean=0.058, std=0.02)},
            "contrasts": {},
        }
    )
    assert cell_text(entry, "ece").value == ".058"
    three = entry.model_copy(update={"settings": {"number_of_seeds": 3}})
    assert cell_text(three, "ece").value == ".058 ±.020"
