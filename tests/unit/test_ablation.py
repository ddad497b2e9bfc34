"""The self-calibration ablation: coefficients against scipy, pairs never averaged or made up."""

import json

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from fgbench.cli import run_command
from fgbench.coordinates import Coordinates, DatasetRecord, PartRecord, entry_id
from fgbench.errors import LeaderboardError
from fgbench.inference import MetricSummary
from fgbench.leaderboard.files import write_board
from fgbench.leaderboard.models import Entry, Leaderboard, Provenance
from fgbench_plugins.studies.ablation import read_entries, self_calibration, to_value
from fgbench_plugins.studies.ablation_text import ablation_text
from fgbench_plugins.studies.correlation import correlation, fisher_interval, smallest_separable
from fgbench_plugins.studies.fitg_table_5 import PEARSON, fitg_table_5

NAMES = ("arxiv", "banking77", "medical", "se", "subj", "tc")
LLM = {  # accuracy and ECE of an imagined language model on each
    "arxiv": (0.71, 0.21),
    "banking77": (0.97, 0.05),
    "medical": (0.80, 0.11),
    "se": (0.86, 0.12),
    "subj": (0.69, 0.25),
    "tc": (0.77, 0.14),
}
BEFORE = {  # FITG, Table 4: the baseline, and synthesis+ at 20 bins
    "arxiv": (0.805, 0.105),
    "banking77": (0.708, 0.234),
    "medical": (0.864, 0.051),
    "se": (0.884, 0.060),
    "subj": (0.955, 0.034),
    "tc": (0.867, 0.058),
}
AFTER = {
    "arxiv": (0.820, 0.075),
    "banking77": (0.950, 0.224),
    "medical": (0.867, 0.046),
    "se": (0.896, 0.049),
    "subj": (0.959, 0.026),
    "tc": (0.890, 0.046),
}


def entry(name, classifier, arm, figures, *, params=None, seeds=(0,), **changes):
    generating = arm.startswith("synthesis")
    values = {
        "dataset": DatasetRecord(
            name=name, digest=f"{name}…", n_train=50, n_validation=20, n_test=30
        ),
        "classifier": PartRecord(name=classifier, params=params or {}),
        "loss": PartRecord(name="cross-entropy"),
        "generator": PartRecord(name="llama2-vllm") if generating else None,
        "calibrator": PartRecord(name="none"),
        "arm": arm,
        "bins": 20 if generating else None,
        "seeds": list(seeds),
    }
    coordinates = Coordinates(**(values | changes))
    per_seed = [figures] if isinstance(figures, tuple) else figures
    metrics = {
        metric: MetricSummary(
            mean=float(np.mean([each[at] for each in per_seed])),
            std=0,
            ci95=None,
            per_seed=[each[at] for each in per_seed],
        )
        for at, metric in enumerate(("accuracy", "ece_positive"))
    }
    return Entry(
        **{name: getattr(coordinates, name) for name in Coordinates.model_fields},
        id=entry_id(coordinates),
        metrics=metrics,
        provenance=Provenance(fgbench="0", python="3"),
    )


def board(names=NAMES, *, arms=("synthesis+",), controls=("baseline",)):
    entries = [entry(name, "llm", "baseline", LLM[name]) for name in names]
    entries += [entry(name, "bert-base", arm, BEFORE[name]) for name in names for arm in controls]
    return entries + [entry(name, "bert-base", arm, AFTER[name]) for name in names for arm in arms]


def percent(names=NAMES):
    rises = [100 * (AFTER[n][0] - BEFORE[n][0]) / BEFORE[n][0] for n in names]
    falls = [100 * (BEFORE[n][1] - AFTER[n][1]) / BEFORE[n][1] for n in names]
    return rises, falls


# Coefficients


pairs = st.lists(
    st.tuples(st.floats(-100, 100, width=32), st.floats(-100, 100, width=32)),
    min_size=4,
    max_size=20,
    unique_by=(lambda pair: round(pair[0], 2), lambda pair: round(pair[1], 2)),
)


@given(pairs)
def test_correlations_match_numpy_and_scipy(drawn):
    x, y = zip(*drawn, strict=True)
    pearson = correlation("pearson", x, y)
    assert pearson.value == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-9)
    if pearson.ci95 is not None:
        assert pearson.ci95 == pytest.approx(fisher_interval(pearson.value, len(x)), abs=1e-5)
    ranks = correlation("spearman", x, y)
    assert ranks.value == pytest.approx(scipy.stats.spearmanr(x, y).statistic, abs=1e-12)


def test_fisher_interval_hand_worked():
    """artanh 0.5 = 0.5493; of seven pairs ± 1.95996 / √4 = 0.97998: tanh of −0.4307 and 1.5293."""
    assert fisher_interval(0.5, 7) == pytest.approx((-0.4059, 0.9103), abs=1e-4)


def test_spearman_ties_match_scipy():
    x, y = [1, 1, 2, 3, 3, 5], [2, 1, 2, 2, 4, 3]
    expected = scipy.stats.spearmanr(x, y).statistic
    assert correlation("spearman", x, y).value == pytest.approx(expected)


def test_spearman_interval_coverage():
    rng = np.random.default_rng(0)
    true = 0.6
    rho = 6 / np.pi * np.arcsin(true / 2)  # of a bivariate normal
    hits = []
    for _ in range(1000):
        x = rng.normal(size=20)
        y = true * x + np.sqrt(1 - true**2) * rng.normal(size=20)
        low, high = correlation("spearman", x, y).ci95
        hits.append(low <= rho <= high)
    assert 0.92 < np.mean(hits) < 0.98


@pytest.mark.parametrize("kind", ["pearson", "spearman"])
def test_three_points_have_no_interval(kind):
    found = correlation(kind, [1.0, 2.0, 4.0], [1.0, 3.0, 2.0])
    assert found.value is not None
    assert found.ci95 is None
    assert "fewer than 4" in found.reason


@pytest.mark.parametrize(("x", "y"), [([1.0, 2.0], [1.0, 2.0]), ([], [])])
def test_fewer_than_three_points_have_no_coefficient(x, y):
    assert correlation("pearson", x, y).value is None


def test_constant_values_have_no_correlation():
    found = correlation("pearson", [0.1 + 0.2, 0.3, 0.3, 0.3, 0.3], [1.0, 2, 3, 4, 5])
    assert found.value is None
    assert "same everywhere" in found.reason


def test_perfect_correlation_has_no_interval():
    found = correlation("spearman", [1.0, 2, 3, 4, 5], [1.0, 4, 9, 16, 25])
    assert found.value == pytest.approx(1)
    assert found.ci95 is None


def test_smallest_separable_correlation():
    assert smallest_separable(6) == pytest.approx(0.8116, abs=1e-4)  # tanh(1.95996 / √3)
    assert smallest_separable(3) is None


def test_paper_coefficients_are_not_separable_from_zero():
    for found in fitg_table_5().values():
        assert found.ci95[0] < 0 < found.ci95[1]


def test_paper_table_5_is_consistent_with_table_4():
    """A correlation matrix has no negative eigenvalue: so its gains correlate with −0.77 … 0.11."""
    acc, ece = PEARSON["accuracy", "accuracy"], PEARSON["accuracy", "ece"]
    acc2, ece2 = PEARSON["ece", "accuracy"], PEARSON["ece", "ece"]
    own = PEARSON["accuracy", "llm_ece"]

    def possible(rho):
        matrix = [
            [1, own, acc, ece],
            [own, 1, acc2, ece2],
            [acc, acc2, 1, rho],
            [ece, ece2, rho, 1],
        ]
        return np.linalg.eigvalsh(matrix)[0] >= 0

    allowed = [rho for rho in np.linspace(-1, 1, 2001) if possible(rho)]
    assert (allowed[0], allowed[-1]) == pytest.approx((-0.766, 0.107), abs=2e-3)
    assert possible(np.corrcoef(*percent())[0, 1])  # synthesis+ at 20 bins


# Points and series


def test_percent_gains_match_paper():
    (series,) = self_calibration(board())
    rises, falls = percent()
    assert [point.dataset for point in series.points] == list(NAMES)
    assert [point.gain("baseline", "accuracy", "percent") for point in series.points] == (
        pytest.approx(rises)
    )
    assert [point.gain("baseline", "ece", "percent") for point in series.points] == (
        pytest.approx(falls)
    )
    assert series.points[1].gain("baseline", "accuracy", "absolute") == pytest.approx(0.242)
    assert series.points[0].gain("real", "ece", "percent") is None


def test_series_correlations_match_points():
    (series,) = self_calibration(board())
    rises, falls = percent()
    accuracy = [LLM[name][0] for name in NAMES]
    ece = [LLM[name][1] for name in NAMES]
    for x, first in (("accuracy", accuracy), ("ece", ece)):
        for y, second in (("accuracy", rises), ("ece", falls)):
            found = series.find(x, y, "baseline", "percent", "pearson")
            assert found.n == 6
            assert found.value == pytest.approx(scipy.stats.pearsonr(first, second).statistic)
            ranks = series.find(x, y, "baseline", "percent", "spearman")
            assert ranks.value == pytest.approx(scipy.stats.spearmanr(first, second).statistic)
            assert series.find(x, y, "real", "percent", "pearson").value is None
    own = series.find("accuracy", "llm_ece", None, None, "pearson")
    assert own.value == pytest.approx(scipy.stats.pearsonr(accuracy, ece).statistic)


def test_incomplete_data_set_is_left_out_with_reason():
    entries = [
        each
        for each in board()
        if (each.dataset.name, each.classifier.name, each.arm)
        not in {
            ("tc", "llm", "baseline"),
            ("se", "bert-base", "baseline"),
            ("subj", "bert-base", "synthesis+"),
        }
    ]
    (series,) = self_calibration(entries)
    assert [point.dataset for point in series.points] == ["arxiv", "banking77", "medical"]
    assert dict(series.skipped) == {
        "tc": "the language model was not run on it",
        "se": "both its baseline and its real control are missing",
        "subj": "only the language model was run on it",
    }
    assert series.find("accuracy", "accuracy", "baseline", "percent", "pearson").ci95 is None


def test_data_set_with_other_digest_is_left_out():
    entries = [each for each in board() if each.classifier.name != "llm"]
    other = DatasetRecord(name="tc", digest="0" * 64, n_train=5, n_validation=5, n_test=5)
    entries.append(entry("tc", "llm", "baseline", LLM["tc"], dataset=other))
    (series,) = self_calibration(entries)
    assert ("tc", "the language model was run on other rows of it") in series.skipped
    assert not series.points
    assert "no interval exists" in ablation_text([series])


def test_gains_use_controls_with_same_seeds():
    entries = [
        entry("tc", "llm", "baseline", (0.8, 0.1)),
        entry("tc", "bert-base", "baseline", [(0.5, 0.3), (0.9, 0.1)], seeds=(0, 1)),
        entry("tc", "bert-base", "real", [(0.6, 0.2), (0.9, 0.1)], seeds=(0, 1)),
        entry("tc", "bert-base", "synthesis", (0.7, 0.1)),
    ]
    (series,) = self_calibration(entries)
    (point,) = series.points
    assert point.gain("baseline", "accuracy", "absolute") == pytest.approx(0.2)
    assert point.gain("real", "ece", "absolute") == pytest.approx(0.1)


def test_one_series_per_setting_and_language_model():
    entries = [each for each in board(arms=("synthesis", "synthesis+")) if each.generator]
    entries += [entry(name, "bert-base", "baseline", BEFORE[name]) for name in NAMES]
    for confidence in ("tpu", "nvu"):
        params = {"confidence": confidence}
        entries += [entry(name, "llm", "baseline", LLM[name], params=params) for name in NAMES]
    assert len(self_calibration(entries)) == 4
    assert {(each.llm, each.setting.split(", ")[1]) for each in self_calibration(entries)} == {
        ("llm:confidence=nvu", "synthesis"),
        ("llm:confidence=nvu", "synthesis+"),
        ("llm:confidence=tpu", "synthesis"),
        ("llm:confidence=tpu", "synthesis+"),
    }


def test_calibrated_entries_are_ignored():
    changes = {"calibrator": PartRecord(name="temperature"), "neutral": ["loss"]}
    calibrated = [entry.model_copy(update=changes | {"id": f"t{entry.id}"}) for entry in board()]
    plain = board()
    assert to_value(self_calibration([*plain, *calibrated])) == to_value(self_calibration(plain))


def test_top_label_ece_replaces_positive_ece_for_multiclass():
    entries = board(("arxiv", "se"))
    assert self_calibration(entries)[0].ece == "ece_positive"
    changed = [
        each.model_copy(update={"metrics": each.metrics | {"ece": each.metrics["ece_positive"]}})
        for each in entries
    ]
    many = [
        each.model_copy(
            update={"metrics": {name: each.metrics[name] for name in ("accuracy", "ece")}}
        )
        if each.dataset.name == "se"
        else each
        for each in changed
    ]
    assert self_calibration(many)[0].ece == "ece"


@pytest.mark.parametrize(
    ("kept", "said"), [("llm", "no gain to correlate with"), ("bert-base", "classifier 'llm'")]
)
def test_nothing_to_correlate_is_an_error(kept, said):
    with pytest.raises(LeaderboardError, match=said):
        self_calibration([each for each in board() if each.classifier.name == kept])


# The text, the JSON, the command


def test_ablation_text_fits_80_columns_and_reports_power():
    text = ablation_text(self_calibration(board(controls=("baseline", "real"))))
    assert max(map(len, text.splitlines())) <= 80
    flat = " ".join(text.split())
    assert "n = 6: a Pearson correlation below 0.81 in size cannot be distinguished from 0" in flat
    assert "−0.74 [−0.97, +0.19]" in text  # tanh(artanh −0.737 ± 1.96 ∕ √3)
    assert "0 of these 5 intervals exclude 0" in flat


def test_ablation_text_reports_missing_interval():
    text = " ".join(ablation_text(self_calibration(board(NAMES[:3]))).split())
    assert "n = 3: no interval exists for fewer than 4 data sets" in text
    assert "[no interval]" in text


@pytest.fixture
def boards(tmp_path):
    """The language model's board and the classifier's, in two files."""
    paths = []
    for name in ("llm", "bert-base"):
        paths.append(tmp_path / f"{name}.json")
        entries = [each for each in board() if each.classifier.name == name]
        write_board(Leaderboard(name=name, created="", entries=entries), paths[-1])
    return [str(path) for path in paths]


def test_ablation_command_reads_several_boards(boards, capsys):
    assert run_command(["ablation", "--json", *boards, boards[0]]) == 0
    value = json.loads(capsys.readouterr().out)
    (series,) = value["series"]
    assert len(series["points"]) == 6
    assert {item["n"] for item in series["correlations"]} == {0, 6}
    assert len(value["fitg_table_5"]) == 5


def test_ablation_command_writes_file(boards, tmp_path, capsys):
    target = tmp_path / "ablation.txt"
    assert run_command(["ablation", *boards, "-o", str(target)]) == 0
    assert capsys.readouterr().out == ""
    assert "FITG, Table 5" in target.read_text("utf-8")


def test_failed_ablation_leaves_output_file(boards, tmp_path, capsys):
    target = tmp_path / "ablation.txt"
    target.write_text("earlier")
    assert run_command(["ablation", boards[0], "-o", str(target)]) == 2
    assert "no gain to correlate with" in capsys.readouterr().err
    assert target.read_text() == "earlier"


def test_unwritable_output_is_a_usage_error(boards, tmp_path, capsys):
    target = tmp_path / "absent" / "ablation.txt"
    assert run_command(["ablation", *boards, "-o", str(target)]) == 2
    assert "No such file or directory" in capsys.readouterr().err


def test_contradicting_boards_are_refused(boards, tmp_path):
    other = tmp_path / "other.json"
    changed = entry("tc", "llm", "baseline", (0.1, 0.1))
    write_board(Leaderboard(name="other", created="", entries=[changed]), other)
    with pytest.raises(LeaderboardError, match="different values of accuracy"):
        read_entries([*map(type(other), boards), other])
