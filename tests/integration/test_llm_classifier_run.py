"""Plans and runs with a language model as classifier, behind an OpenAI-compatible server."""

import json

from fgbench.cli import run_command
from fgbench.leaderboard.files import read_board
from fgbench_plugins.studies.ablation import read_entries, self_calibration


def run(tmp_path, classifier, *arms):
    """Run one seed of a few rows; return the exit code."""
    suite = tmp_path / "suite.toml"
    suite.write_text(
        f"""
        classifiers = ["{classifier}"]
        arms = {json.dumps(arms)}
        limit = 30
        seeds = [0]
        calibrators = ["none"]
        metrics = ["accuracy", "ece_positive"]
        replicates = 20
        """
    )
    return run_command(["run", str(suite), "--yes", "--out", str(tmp_path / "runs"), "--quiet"])


def through(server, options):
    return f"llm:model=tiny,base_url={server.url},{options}"


def test_llm_classifier_with_retraining_arm_is_refused_while_planning(llm_server, tmp_path, capsys):
    server = llm_server()
    assert run(tmp_path, through(server, "confidence=nvu"), "baseline", "real") == 2
    assert "'llm' is not trainable" in capsys.readouterr().err
    assert not server.stats()["requests"]


def test_plan_reports_expected_requests(llm_server, tmp_path, capsys):
    server = llm_server()
    options = "confidence=nvu,price_prompt=1,price_completion=2"
    arguments = ["--classifier", through(server, options), "--arm", "baseline", "--limit", "30",
                 "--seed", "0", "--seed", "1", "--json"]  # fmt: skip
    assert run_command(["plan", *arguments]) == 0
    (usage,) = json.loads(capsys.readouterr().out)["expected_classifying"].values()
    assert usage["requests"] == 2 * (30 + 30)
    assert usage["cost_usd"] > 0
    assert run_command(["plan", *arguments[:-1]]) == 0
    assert "about 120 calls" in " ".join(capsys.readouterr().out.split())
    assert not server.stats()["requests"]


def test_llm_classifier_runs_whole_loop_and_ablation(llm_server, tmp_path, capsys):
    server = llm_server()
    of_server = through(server, "confidence=nvu,structured=true")
    assert run(tmp_path, of_server, "baseline") == 0, capsys.readouterr().err
    (board,) = (tmp_path / "runs").rglob("leaderboard.json")
    (entry,) = read_board(board).entries
    assert entry.classifier.name == "llm"
    assert entry.usage.requests == len(server.stats()["attempts"]) > 0
    other = tmp_path / "other"
    other.mkdir()
    assert run(other, "tfidf-logreg", "baseline", "synthesis+") == 0
    (series,) = self_calibration(read_entries([board, *other.rglob("leaderboard.json")]))
    assert len(series.points) == 1
    assert series.points[0].llm_accuracy == entry.metrics["accuracy"].mean


def test_server_without_logprobs_fails_cell_and_names_alternatives(llm_server, tmp_path, capsys):
    server = llm_server(ignore_logprobs=True)
    assert run(tmp_path, through(server, "confidence=tpu"), "baseline") == 1
    assert "confidence=nvu" in capsys.readouterr().err
