"""The tables of a board: width, controls, verdicts, escaping."""

import io

import pytest
from rich.console import Console

from fgbench.coordinates import PublishedRecord
from fgbench.inference import Comparison, MetricSummary
from fgbench.leaderboard.models import Leaderboard
from fgbench.report.table import results_html, results_table
from fgbench.report.view import cell_text, comparisons, filtered, groups, signed, verdict
from support.boards import make_run


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"))


def rendered(board, width, **options):
    stream = io.StringIO()
    console = Console(file=stream, width=width, **options)
    console.print(results_table(board, width=width))
    return stream.getvalue()


@pytest.mark.parametrize("width", [40, 80, 100, 132, 200])
def test_table_fits_terminal_without_cutting_numbers(board, width):
    text = rendered(board, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    accuracy = cell_text(board.entries[0], "accuracy").value
    assert accuracy in text


def test_table_without_terminal_has_no_control_codes(board):
    assert "\x1b" not in rendered(board, 80)
    assert "\x1b" in rendered(board, 80, force_terminal=True)


def test_table_has_row_per_arm_and_calibrator_with_controls(board):
    (group,) = groups(board)
    assert [(e.arm, e.calibrator.name) for e in group.entries] == [
        (arm, calibrator)
        for arm in ("baseline", "real", "synthesis", "synthesis+")
        for calibrator in ("none", "temperature")
    ]
    assert "oracle, 15 bins" in group.title


@pytest.mark.parametrize(
    ("delta", "p", "higher", "expected"),
    [
        (-0.1, 0.01, False, "better"),
        (-0.1, 0.01, True, "worse"),
        (0.1, 0.01, False, "worse"),
        (-0.1, 0.05, False, "not separable"),
        (-0.1, None, False, ""),
        (0.0, 0.01, False, "not separable"),
    ],
)
def test_verdict_requires_significance_and_direction(delta, p, higher, expected):
    record = Comparison(delta=delta, ci95=None, p_value=p, p_adjusted=p)
    assert verdict(record, higher) == expected


def test_difference_rounding_to_zero_has_no_sign():
    assert [signed(x) for x in (-0.0001, 0.0, 0.0004, -0.0123, 1.5)] == [
        "0.000", "0.000", "0.000", "−0.012", "+1.500",
    ]  # fmt: skip


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


def test_differences_from_real_have_own_table(board):
    text = rendered(board, 80)
    after = text[text.index("Difference from `real`") :]
    assert "synthesis+" in after
    assert "baseline" not in after.split("Mean ±")[0]
    assert "Difference from" in results_html(board)


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
            "versus_baseline": {},
        }
    )
    assert cell_text(entry, "ece").value == "0.058"
    three = entry.model_copy(update={"settings": {"number_of_seeds": 3}})
    assert cell_text(three, "ece").value == "0.058 ±0.020"
