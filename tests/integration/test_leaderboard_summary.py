"""`fgbench leaderboard summary`: boards, long tables, and the published results of CalArena."""

import csv
import json
from xml.etree import ElementTree

import pytest

from fgbench import Result, summarize_results
from fgbench.cli import run_command
from support.boards import make_run

# Mean win rates by Brier score as CalArena states them (Berta et al. 2026).
STATED = {
    "tabarena-binary": {
        "Quadratic": 0.738, "Spline": 0.738, "Beta": 0.733, "Platt-logits": 0.709,
        "CDF-Spline": 0.669, "ETS": 0.669, "CIR": 0.652, "TS": 0.626, "Isotonic": 0.535,
        "Base-model": 0.497, "Hist-quantile": 0.173,
    },
    "cv-multiclass": {"SMS": 0.947, "SVS": 0.850, "VS": 0.817, "TS": 0.614, "Base-model": 0.189},
}  # fmt: skip
COLUMNS = ["value={method}_brier", "task=dataset+model", "dataset=dataset"]


def options(columns):
    return [text for column in columns for text in ("--column", column)]


def long_table(path, rows, header=("method", "task", "seed", "value")):
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    return str(path)


def rows(k=6, methods=("a", "b", "c")):
    return [
        (method, f"d{task}", seed, 0.1 * task + 0.01 * index * (seed + 1) + 0.001 * (task % 3))
        for index, method in enumerate(methods)
        for task in range(k)
        for seed in range(2)
    ]


@pytest.mark.parametrize("suite", STATED)
def test_calarena(suite, real_data, capsys):
    files = sorted(map(str, (real_data / "calarena" / suite).glob("*.csv")))
    assert run_command(["leaderboard", "summary", *files, *options(COLUMNS), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    rates = {item["method"]: item["win_rate"] for item in summary["methods"]}
    for method, stated in STATED[suite].items():
        assert f"{rates[method]:.3f}" == f"{stated:.3f}"
    best = summary["groups"][0]
    if suite == "tabarena-binary":
        assert (summary["tasks"], summary["datasets"], len(rates)) == (314, 30, 20)
        assert {"Quadratic", "Spline", "Beta", "Platt-logits"} <= set(best)
        assert not {"Hist-quantile", "Hist-uniform", "BBQ"} & set(best)
    else:
        assert (summary["tasks"], summary["datasets"], len(rates)) == (20, 6, 19)
        assert {"SMS", "SVS", "VS"} <= set(best)
        assert "Hist-quantile" not in best
        assert any("cannot show p < .031" in note for note in summary["notes"])


def test_calarena_missing_log_losses_are_left_out(real_data, capsys):
    files = sorted(map(str, (real_data / "calarena" / "tabarena-binary").glob("*.csv")))
    columns = ["value={method}_logloss", *COLUMNS[1:]]
    assert run_command(["leaderboard", "summary", *files, *options(columns), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["ranked_tasks"] == 165
    assert any("149 of 314 tasks" in note for note in summary["notes"])


def test_table_is_the_function(tmp_path, capsys):
    table = long_table(tmp_path / "results.csv", rows())
    assert run_command(["leaderboard", "summary", table, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    expected = summarize_results([Result(*row) for row in rows()])
    assert printed == json.loads(expected.model_dump_json())


def test_higher_is_better_and_named_columns(tmp_path, capsys):
    header = ("model", "problem", "run", "score")
    table = long_table(tmp_path / "results.csv", rows(), header)
    names = ["method=model", "task=problem", "seed=run", "value=score"]
    arguments = ["leaderboard", "summary", table, *options(names), "--json"]
    assert run_command(arguments) == 0
    lower = json.loads(capsys.readouterr().out)
    assert run_command([*arguments, "--higher-is-better"]) == 0
    higher = json.loads(capsys.readouterr().out)
    assert [item["method"] for item in lower["methods"]] == ["a", "b", "c"]
    assert [item["method"] for item in higher["methods"]] == ["c", "b", "a"]


def test_text_fits_80_columns(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    long_names = ("a", "a method with a name of many words", "c" * 60)
    table = long_table(tmp_path / "results.csv", rows(methods=long_names))
    assert run_command(["leaderboard", "summary", table]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "6 data sets cannot show p < .031 in a sign test" in text
    assert "Critical difference" in text


def test_plot_is_an_svg_with_escaped_names(tmp_path, capsys):
    table = long_table(tmp_path / "results.csv", rows(methods=("<b>&", "b", "c")))
    plot = tmp_path / "cd.svg"
    assert run_command(["leaderboard", "summary", table, "--plot", str(plot)]) == 0
    root = ElementTree.fromstring(plot.read_text(encoding="utf-8"))
    texts = [element.text for element in root.iter() if element.text]
    assert any(text.startswith("<b>& ") for text in texts)
    assert any(text.startswith("CD ") for text in texts)
    bars = [element for element in root.iter() if element.get("stroke-width") == "4"]
    assert run_command(["leaderboard", "summary", table, "--json"]) == 0
    output = capsys.readouterr().out
    assert len(bars) == len(json.loads(output[output.index("{") :])["groups"])


def test_boards(tmp_path, capsys):
    for dataset in ("one", "two", "three"):
        make_run(tmp_path / dataset, dataset=dataset, arms=("baseline", "real", "synthesis+"))
    paths = [str(tmp_path / name) for name in ("one", "two", "three")]
    # A board that is named twice counts once.
    assert run_command(["leaderboard", "summary", *paths, paths[0], "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["datasets"], summary["tasks"]) == (3, 3)
    names = {item["method"] for item in summary["methods"]}
    assert {"baseline", "real", "synthesis+", "baseline + temperature"} <= names
    arguments = ["leaderboard", "summary", *paths, "--metric", "accuracy", "--method", "real"]
    assert run_command([*arguments, "--method", "baseline", "--json"]) == 0
    accuracy = json.loads(capsys.readouterr().out)
    assert accuracy["higher_is_better"]
    assert {item["method"] for item in accuracy["methods"]} == {"real", "baseline"}


def test_published_figures_are_summarized(capsys):
    arguments = ["leaderboard", "summary", "paper-table4", "--metric", "ece_positive", "--json"]
    assert run_command([*arguments, "--reference", "baseline"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["datasets"], summary["ranked_tasks"], summary["reference"]) == (
        6,
        6,
        "baseline",
    )


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        ("", [], "empty"),
        ("method,task,value\na,x,1\n", [], "only the method 'a'"),
        ("method,task,value\na,x,1\na,x,2\nb,x,1\n", [], "is in row 1 already"),
        ("method,task,value\na,x,high\n", [], "line 2: the value 'high' is not a number"),
        ("method,task,value\na,x\n", [], "line 2: 2 cells, but 3 columns"),
        ("method,task,value\n,x,1\n", [], "line 2: the method is empty"),
        ("method,task,score\na,x,1\n", [], "no column 'value' for the value"),
        ("method,task,value\na,x,1\n", ["--column", "value=Value"], "Did you mean 'value'"),
        ("method,task,value\na,x,1\n", ["--column", "worth=value"], "column 'worth=value'"),
        ("method,task,value\na,x,1\n", ["--column", "value"], "write ROLE=NAME"),
        ("method,task,value\na,x,1\n", ["--metric", "ece"], "--metric is for boards"),
        ("method,task,value\na,x,1\nb,x,2\n", ["--method", "q"], "no method 'q'"),
        ("method,task,value\na,x,1\nb,x,2\n", ["--plot", "cd.png"], "written as .svg"),
        ("method,task,value\na,x,1\nb,x,2\n", ["--plot", "cd.svg"], "two data sets"),
        ("method,task,value\na,x,nan\nb,x,\n", [], "no values"),
    ],
)
def test_bad_tables_are_refused_in_one_sentence(
    content, arguments, message, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results.csv").write_text(content, encoding="utf-8")
    assert run_command(["leaderboard", "summary", "results.csv", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "cd.svg").exists()


def test_boards_and_tables_do_not_mix(tmp_path, capsys):
    table = long_table(tmp_path / "results.csv", rows())
    assert run_command(["leaderboard", "summary", table, "quick"]) == 2
    assert "together" in capsys.readouterr().err
    assert run_command(["leaderboard", "summary", "quick", "--higher-is-better"]) == 2
    assert "is for CSV files" in capsys.readouterr().err
    assert run_command(["leaderboard", "summary", "quick", "--metric", "eec"]) == 2
    assert "Did you mean 'ece'" in capsys.readouterr().err
    assert run_command(["leaderboard", "summary", str(tmp_path / "absent.csv")]) == 2
    assert "no such file" in capsys.readouterr().err
