"""The verdict: each rule on a constructed board, and its text in a terminal."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from fgbench.cli import run_command
from fgbench.coordinates import PublishedRecord
from fgbench.inference.power import detectable, seeds_to_detect
from fgbench.leaderboard.bundled import board_path
from fgbench.leaderboard.contrasts import allowance, contrasts_with, judged
from fgbench.leaderboard.files import parse_board, read_board, write_board
from fgbench.leaderboard.models import Leaderboard
from fgbench.leaderboard.recompute import Recomputed
from fgbench.leaderboard.verdict import verdict_of
from fgbench.numbers import interval, number, signed
from fgbench.report.layout import Charset
from fgbench.report.verdict_panel import verdict_panel
from fgbench.report.verdict_text import verdict_text
from support.boards import make_run, registry
from support.verdicts import BETTER, FOUR, board_of, entries_of

OPEN = {**BETTER, "resample": (-0.01, 0.02)}
"""By control, the difference and its standard error."""

AS_GOOD = {
    "real": (-0.036, 0.001),
    "resample": (0.001, 0.006),
    "other-bins": (0.002, 0.003),
    "no-shift": (-0.003, 0.003),
}


def answer(differences, **options):
    (found,) = verdict_of(board_of(entries_of(differences, **options))).answers
    return found


def words(found):
    return {finding.control: finding.word for finding in found.contrasts}


def text_of(board, width=80, **options):
    return str(verdict_text(verdict_of(board), width, **options))


# The rules, in their order.


def test_better_than_all_controls_is_yes():
    found = answer(BETTER)
    assert found.code == "yes"
    assert found.reason == "Better than all four controls, by .050 or more."
    assert set(words(found).values()) == {"better"}


def test_worse_than_one_control_is_no():
    found = answer({**BETTER, "no-shift": (0.05, 0.004)})
    assert found.code == "no"
    assert found.reason == "Texts asked for without a shift do better, by .050."


def test_equal_to_one_control_within_the_margin_is_no():
    found = answer(AS_GOOD)
    assert found.code == "no"
    assert found.reason == "Texts aimed at other bins do as well, to within .01."
    assert words(found) == {
        "real": "better",
        "resample": "cannot tell",
        "other-bins": "within",
        "no-shift": "within",
    }


def test_margin_comes_before_significance():
    """A difference of five standard errors that is too small to matter is never "better"."""
    found = answer({**BETTER, "resample": (-0.005, 0.001)})
    (finding,) = [f for f in found.contrasts if f.control == "resample"]
    assert finding.word == "within"
    assert finding.interval[1] < 0
    assert found.code == "no"


def test_neither_is_cannot_tell_and_says_what_would_do():
    found = answer(OPEN)
    assert found.code == "cannot_tell"
    assert found.reason.startswith("1,000 test texts and 3 seeds detect .057")
    assert "test texts detect .01" in found.reason


def test_margin_is_that_of_the_suite():
    loose = board_of(entries_of(BETTER, margin=0.1), margin=0.1)
    (found,) = verdict_of(loose).answers
    assert found.code == "no"
    assert "to within .1." in found.reason


def test_higher_is_better_turns_the_direction():
    up = dict.fromkeys(FOUR, (0.05, 0.004))
    assert answer(up, higher=["ece"]).code == "yes"
    assert answer(BETTER, higher=["ece"]).code == "no"


# No verdict.


@pytest.mark.parametrize(
    ("options", "reason", "further"),
    [
        ({"seeds": (0,)}, "One seed describes these two trained models only.", "--seed 2"),
        ({"texts": (54, 4, 50)}, "almost nothing usable: 4 of 54 texts", "rejected texts"),
        ({"texts": (75, 0, 75)}, "produced nothing usable: 0 of 75 texts", "rejected texts"),
        ({"texts": (100, 49, 60)}, "filled under half of the texts: 49 of 100", "rejected"),
        ({"texts": (0, 0, 0)}, "No bin was targeted", "--threshold .015"),
    ],
)
def test_no_verdict_says_why_and_what_next(options, reason, further):
    found = answer(BETTER, **options)
    assert found.code == "none"
    assert reason in found.reason
    assert further in found.next
    assert "\n" not in found.reason


@pytest.mark.parametrize("control", FOUR)
def test_missing_control_gives_no_verdict(control):
    found = answer({kind: value for kind, value in BETTER.items() if kind != control})
    assert found.code == "none"
    assert found.reason.startswith(f"The control {control} is missing")
    assert f"--arm {control}" in found.next


def with_few_texts(entries, arm):
    few = next(entry for entry in entries if entry.arm == arm)
    scarce = few.synthetic.model_copy(update={"accepted": 80})
    return [few.model_copy(update={"synthetic": scarce}) if e is few else e for e in entries]


def test_without_a_control_with_half_of_its_texts_there_is_no_yes():
    (found,) = verdict_of(board_of(with_few_texts(entries_of(BETTER), "other-bins"))).answers
    assert found.code == "none"
    assert found.reason == "The control other-bins got only 80 of 1,416 texts."


def test_another_control_can_show_a_no_beside_one_with_few_texts():
    (found,) = verdict_of(board_of(with_few_texts(entries_of(AS_GOOD), "other-bins"))).answers
    assert found.code == "no"
    assert found.reason == "Texts asked for without a shift do as well, to within .01."
    (few,) = [finding for finding in found.contrasts if finding.control == "other-bins"]
    assert (few.word, few.interval, few.reason) == ("none", None, "only 80 of 1,416 texts")


def test_control_with_few_texts_decides_nothing():
    equal = {**BETTER, "other-bins": AS_GOOD["other-bins"]}
    (found,) = verdict_of(board_of(with_few_texts(entries_of(equal), "other-bins"))).answers
    assert found.code == "none"


def test_mean_over_data_sets_leaves_out_controls_with_few_texts():
    entries = [
        *with_few_texts(entries_of(AS_GOOD, dataset="subj"), "other-bins"),
        *entries_of(AS_GOOD, dataset="tc"),
    ]
    overall = verdict_of(board_of(entries)).overall
    words_of = {finding.control: finding.reason for finding in overall.contrasts}
    assert "got enough texts on only one of the data sets" in words_of["other-bins"]


def test_contrast_without_inference_gives_no_verdict():
    found = answer({**BETTER, "real": (0.0, None)})
    assert found.code == "none"
    assert found.reason == "No inference against real: no variation."


def test_board_without_the_arm_or_without_entries_or_of_figures_gives_no_verdict():
    controls = [entry for entry in entries_of(BETTER) if entry.arm != "synthesis+"]
    found = verdict_of(board_of(controls))
    assert found.code == "none"
    assert "no result of the arm synthesis+" in found.headline
    assert found.answers[0].next.endswith("--arm synthesis+")
    empty = verdict_of(Leaderboard(name="empty", created="", entries=[]))
    assert empty.headline == "No verdict: the board has no entries."
    figures = [
        entry.model_copy(update={"published": PublishedRecord(source="a paper"), "contrasts": {}})
        for entry in entries_of(BETTER)
    ]
    assert "no predictions" in verdict_of(board_of(figures)).headline


def test_board_of_earlier_statistics_gives_no_verdict():
    entries = [
        entry.model_copy(
            update={"statistics": entry.statistics.model_copy(update={"version": "1"})}
        )
        for entry in entries_of(BETTER)
    ]
    found = verdict_of(board_of(entries))
    assert found.code == "none"
    assert "earlier version" in found.headline


# Families.


def test_holm_is_over_the_four_controls():
    """p = .02 is rejected alone, but not as the smallest of four."""
    one = {**dict.fromkeys(FOUR, (-0.001, 0.05)), "real": (-0.05, 0.0207)}
    found = answer(one)
    assert words(found)["real"] == "cannot tell"
    (finding,) = [f for f in found.contrasts if f.control == "real"]
    assert finding.interval[0] < 0 < finding.interval[1]
    p = 2 * stats.t.sf(0.05 / 0.0207, 40)
    assert 0.01 < p < 0.025


def test_post_hoc_calibrator_and_other_families_change_no_word():
    alone = answer(OPEN)
    for post_hoc in (None, (-0.5, 0.001), (0.5, 0.001)):
        assert answer(OPEN, post_hoc=post_hoc).contrasts == alone.contrasts
        assert answer(OPEN, post_hoc=post_hoc).code == alone.code
    board = board_of(
        entries_of(OPEN, calibrators=("none", "isotonic")), entries_of(AS_GOOD, dataset="other")
    )
    first, second = verdict_of(board).answers
    assert (first.contrasts, first.code) == (alone.contrasts, alone.code)
    assert second.code == "no"


def test_interval_shown_is_the_one_that_decides():
    rng = np.random.default_rng(5)
    for _ in range(200):
        made = {
            kind: (float(rng.normal(0, 0.02)), float(rng.uniform(0.001, 0.02))) for kind in FOUR
        }
        for finding in answer(made).contrasts:
            low, high = finding.interval
            assert low <= finding.difference <= high
            if finding.word == "within":
                assert -0.01 < low <= high < 0.01
            else:
                assert (low > 0 or high < 0) == (finding.word in ("better", "worse"))


# Over data sets.


def test_mean_over_data_sets_is_a_t_test_over_their_means():
    shift = [0.0, 0.004, -0.006, 0.01, -0.002]
    made = [
        entries_of({k: (d + delta, e) for k, (d, e) in BETTER.items()}, dataset=f"set-{i}")
        for i, delta in enumerate(shift)
    ]
    overall = verdict_of(board_of(*made)).overall
    expected = stats.ttest_1samp([-0.05 + delta for delta in shift], 0.0)
    finding = overall.contrasts[0]
    assert finding.difference == pytest.approx(np.mean(shift) - 0.05)
    # All four are equal, so that Holm tests the first at 5 %/4.
    level = expected.confidence_interval(1 - 0.05 / 4)
    assert finding.interval == pytest.approx((level.low, level.high))
    assert overall.code == "yes"
    assert "cannot show p < .062 in a sign test" in overall.limit


def test_headline_over_data_sets_counts_each_verdict():
    found = verdict_of(
        board_of(
            entries_of(AS_GOOD, dataset="subj"),
            entries_of(BETTER, dataset="tc"),
            entries_of(OPEN, dataset="se"),
            entries_of(BETTER, dataset="arxiv", seeds=(0,)),
        )
    )
    assert found.headline == (
        "On average, cannot tell. Yes on one of four data sets, no on one, cannot tell on one, "
        "no verdict on one."
    )
    assert found.overall.datasets == 3
    assert found.code == "cannot_tell"


def test_data_set_counts_once_however_many_classifiers_it_has():
    rows = [entries_of(BETTER), entries_of(OPEN, classifier="bert-base")]
    one = verdict_of(board_of(*rows))
    assert one.overall is None
    assert [item.title for item in one.answers] == ["demo · bert-base", "demo · tfidf-logreg"]
    two = verdict_of(board_of(*rows, entries_of(BETTER, dataset="tc")))
    assert two.overall.datasets == 2


# What can be detected.


@pytest.mark.parametrize("df", [2, 4, 9.5, 999])
def test_detectable_difference_has_80_percent_power(df):
    nu = detectable(1.0, df)
    critical = stats.t.ppf(0.975, df)
    assert stats.nct.sf(critical, df, nu) == pytest.approx(0.8, abs=1e-6)


def test_more_seeds_help_only_against_the_noise_of_seeds():
    assert seeds_to_detect(0.01, 0.006, 2.0, 3, 1000) > 3
    assert seeds_to_detect(0.01, 0.006, 999.0, 3, 1000) is None


# The bootstrap.


def test_allowance_covers_the_monte_carlo_error_of_the_bootstrap():
    rng = np.random.default_rng(1)
    replicates = 400
    errors = rng.normal(size=(2000, replicates)).std(axis=1, ddof=1)
    assert np.mean(errors * allowance(replicates) >= 1.0) > 0.96
    assert allowance(1000) == pytest.approx(1.0447, abs=1e-3)


# The text.


@pytest.mark.parametrize("differences", [BETTER, AS_GOOD, OPEN])
@pytest.mark.parametrize("width", [60, 80, 100, 200])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_verdict_fits_the_terminal(differences, width, ascii_only):
    board = board_of(entries_of(differences))
    charset = Charset(ascii_only=ascii_only)
    text = text_of(board, width, charset=charset, page="runs/run-833bd39ec4/report.html")
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert text.isascii() == ascii_only
    assert any(line.strip() == "runs/run-833bd39ec4/report.html" for line in lines) or any(
        line.startswith("  runs/run-833bd39ec4/report.html ") for line in lines
    )
    if width >= 80:
        assert len(lines) <= 14
        assert lines[3].lstrip(" ●■◇*#?").startswith(("YES", "NO", "CANNOT TELL"))


@pytest.mark.parametrize("count", [2, 5, 8, 12])
@pytest.mark.parametrize("width", [60, 80, 200])
def test_verdict_over_data_sets_fits_the_terminal(count, width):
    made = [entries_of(AS_GOOD, dataset=f"data-set-{i}") for i in range(count)]
    lines = text_of(board_of(*made), width, page="quick/index.html").splitlines()
    assert max(map(len, lines)) <= width
    if width >= 80:
        assert len(lines) <= 14
        assert sum("■ data-set" in line for line in lines) == (count if count <= 8 else 7)


GOLDEN = """\
demo · tfidf-logreg · oracle · 3 seeds · 1,000 test texts
Does targeted synthetic data improve calibration beyond its controls?

 ■ NO  Texts aimed at other bins do as well, to within .01.

  ECE   .186 baseline → .137 real → .101 synthesis+       (.018 temperature)
  synthesis+ minus                    −.11        0        +.11
    real        −.036 [−.039, −.033]          ●   ┊              better
    resample    +.001 [−.014, +.016]            ──◇──            cannot tell
    other-bins  +.002 [−.003, +.007]              ◆─             within ±.01
    no-shift    −.003 [−.008, +.002]             ─◆              within ±.01
    temperature +.084 [+.068, +.100]              ┊      ──■──   worse
  Detects .017 (80 % power) · 1,415 of 1,416 texts used, 30 % of those written
  runs/r/report.html                     all numbers: add --table
"""

GOLDEN_ASCII = """\
demo - tfidf-logreg - oracle - 1 seed - 1,000 test texts
Does targeted synthetic data improve calibration beyond its controls?

 - NO VERDICT  One seed describes these two trained models only.

  Next: fgbench run ... --seed 0 --seed 1 --seed 2   (seed 0 is reused)
"""


def test_verdict_text_of_one_data_set():
    assert text_of(board_of(entries_of(AS_GOOD)), page="runs/r/report.html") == GOLDEN


def test_ascii_text_without_verdict():
    board = board_of(entries_of(BETTER, seeds=(0,)))
    assert text_of(board, charset=Charset(ascii_only=True)) == GOLDEN_ASCII


def test_word_is_in_reverse_video_and_words_survive_without_color(monkeypatch, capsys, tmp_path):
    write_board(board_of(entries_of(AS_GOOD)), tmp_path / "board.json")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    assert run_command(["leaderboard", "show", str(tmp_path / "board.json")]) == 0
    shown = capsys.readouterr().out
    assert "NO" in shown
    assert "within ±.01" in shown
    style = [span.style for span in verdict_text(verdict_of(board_of(entries_of(AS_GOOD)))).spans]
    assert "bold reverse" in style


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8"])
def test_output_that_cannot_encode_never_fails(fgbench, tmp_path, encoding):
    write_board(board_of(entries_of(AS_GOOD, dataset="café")), tmp_path / "board.json")
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "80"}
    for options in ([], ["--table"], ["--json"]):
        # click writes UTF-8 where the encoding is ASCII: it takes that for a mistake.
        read = "utf-8" if encoding == "ascii" else encoding
        answer = fgbench(
            "leaderboard", "show", "board.json", *options, encoding=read, env=environment
        )
        assert "within" in answer.stdout
        if options == ["--json"]:
            assert json.loads(answer.stdout)["verdict"]["code"] == "no"


# JSON, page and Python.


def test_json_has_the_verdict_and_reads_back_as_the_board(capsys, tmp_path):
    board = board_of(entries_of(AS_GOOD))
    write_board(board, tmp_path / "board.json")
    assert run_command(["leaderboard", "show", str(tmp_path / "board.json"), "--json"]) == 0
    shown = capsys.readouterr().out
    value = json.loads(shown)["verdict"]
    assert value["code"] == "no"
    assert value == verdict_of(board).model_dump(mode="json")
    assert parse_board(shown, "shown") == board


def test_terminal_page_and_json_show_the_same_digits():
    board = board_of(entries_of(AS_GOOD), entries_of(OPEN, dataset="other"))
    panel = verdict_panel(board)
    for found, shown in zip(verdict_of(board).answers, panel.answers, strict=True):
        alone = [entry for entry in board.entries if entry.dataset.label == found.dataset]
        text = text_of(board.model_copy(update={"entries": alone}))
        findings = [*found.contrasts, found.post_hoc]
        for finding, row in zip(findings, shown.rows, strict=True):
            assert row.difference == signed(finding.difference)
            assert row.interval == interval(finding.interval, differs=True)
            assert row.raw == finding.difference
            plain = row.interval.replace("\N{NO-BREAK SPACE}", " ")
            assert f"{row.difference} {plain}" in text
        assert f"Detects {number(found.detects)}" in text
        assert f"detects {number(found.detects)}" in shown.facts


def test_marks_of_the_forest_lie_on_its_axis():
    for answer_ in verdict_panel(board_of(entries_of(AS_GOOD))).answers:
        for row in answer_.rows:
            ((place, _),) = row.drawn
            assert float(row.zero) == 50.0
            assert 2.0 <= float(row.low) <= float(place) <= float(row.high) <= 98.0
            assert (float(place) < 50.0) == row.difference.startswith("−")


@pytest.mark.parametrize(("difference", "end"), [(0.5, 98.0), (-0.5, 2.0)])
def test_post_hoc_calibrator_beyond_the_axis_is_an_arrow_at_its_end(difference, end):
    without = verdict_panel(board_of(entries_of(AS_GOOD, post_hoc=None))).answers[0].rows
    *rows, post_hoc = (
        verdict_panel(board_of(entries_of(AS_GOOD, post_hoc=(difference, 0.001)))).answers[0].rows
    )
    assert tuple(rows) == without  # it does not change the axis of the controls
    ((place, path),) = post_hoc.drawn
    assert float(place) == end
    assert path not in {path for row in rows for _, path in row.drawn}


def test_control_without_inference_over_data_sets_has_its_reason_in_the_panel():
    board = read_board(board_path(Path("quick")))
    finding = next(f for f in verdict_of(board).overall.contrasts if f.reason)
    assert verdict_panel(board).overall.facts == f"{finding.label}: {finding.reason}"


def test_words_do_not_depend_on_the_bootstrap_seed(tmp_path):
    """On boards of the same predictions, another bootstrap gives each word or "cannot tell"."""
    arms = ("baseline", "real", "resample", "other-bins", "no-shift", "synthesis+")
    make_run(tmp_path, arms=arms, seeds=(0, 1, 2))
    board = read_board(tmp_path)
    found = []
    for seed in range(4):
        statistics = board.entries[0].statistics.model_copy(
            update={"seed": seed, "replicates": 1000}
        )
        entries = {
            entry.id: entry.model_copy(
                update={"statistics": statistics, "metrics": {"ece": entry.metrics["ece"]}}
            )
            for entry in board.entries
        }
        recomputed = Recomputed(registry(), tmp_path)
        (entry,) = [
            e for e in entries.values() if e.arm == "synthesis+" and "calibrator" in e.neutral
        ]
        contrasts = {
            kind: contrasts_with(entry, entries[against.entry], recomputed.evaluations)
            for kind, against in entry.contrasts.items()
        }
        judgments = judged(entry, contrasts)
        found.append({kind: item.metrics["ece"].word for kind, item in judgments.items()})
    for kind in found[0]:
        given = {judged_words[kind] for judged_words in found}
        assert len(given - {"cannot tell"}) <= 1, (kind, given)
