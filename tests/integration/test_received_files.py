"""Received boards, suites and run folders use nothing that their reader has not allowed."""

import json
import os
import pty
import re
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

import fgbench
from fgbench.cli import run_command
from fgbench.coordinates import Coordinates, entry_id
from support.runs import ENTRY

SECRET = "canary-4711"
SETTINGS = """
limit = 60
arms = ["synthesis+"]
seeds = [0]
calibrators = ["none"]
metrics = ["ece"]
replicates = 20
"""


@pytest.fixture(autouse=True)
def _canary(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITHUB_TOKEN", SECRET)


@pytest.fixture
def attacker(llm_server):
    """A server that must not be contacted; `nothing_arrived` asserts it."""
    server = llm_server()

    def nothing_arrived():
        assert server.stats()["connections"] == 0

    server.nothing_arrived = nothing_arrived
    server.host = re.match("http://([^/]+)", server.url)[1]
    return server


def endpoint(server, **parameters):
    return {"name": "openai", "model": "tiny", "base_url": server.url, **parameters}


def suite_file(generator, name="suite.toml", *, datasets='["known-posterior"]'):
    table = "\n".join(f"{key} = {json.dumps(value)}" for key, value in generator.items())
    text = f"datasets = {datasets}\n{SETTINGS}\n[[generators]]\n{table}\n"
    Path(name).write_text(text)
    return name


def called(capsys, *arguments):
    code = run_command([*map(str, arguments)])
    streams = capsys.readouterr()
    assert SECRET not in streams.out + streams.err
    return code, streams.err


def run(capsys, *arguments):
    return called(capsys, "run", *arguments, "--quiet")


@pytest.fixture(scope="module")
def honest_run(tmp_path_factory):
    """A run of embedded parts, as its author publishes it."""
    folder = tmp_path_factory.mktemp("honest")
    arguments = ["--dataset", "known-posterior", "--limit", "60", "--seed", "0", "--metric", "ece",
                 "--arm", "synthesis+", "--calibrator", "none", "--replicates", "20"]  # fmt: skip
    places = ["--out", f"{folder}/runs", "--store", f"{folder}/store"]
    assert run_command(["run", *arguments, *places, "--quiet"]) == 0
    (run,) = (folder / "runs").iterdir()
    return run


def received_board(honest_run, *, renamed=True, **changes):
    """Return a board whose entries somebody changed, with fitting ids if `renamed`."""
    board = json.loads((honest_run / "leaderboard.json").read_text())
    for entry in board["entries"]:
        entry.update(changes)
        values = {name: entry[name] for name in Coordinates.model_fields if name in entry}
        if renamed:
            entry["id"] = entry_id(Coordinates.model_validate(values))
    Path("board.json").write_text(json.dumps(board))
    return "board.json"


def record(server, **parameters):
    generator = endpoint(server, **parameters)
    name = generator.pop("name")
    return {"name": name, "params": generator, "version": "1"}


@pytest.mark.parametrize("options", [(), ("--yes",), ("--allow-env", "GITHUB_TOKEN"),
                                     ("--yes", "--allow-env", "OTHER"),
                                     ("--entry", "{id}", "--yes")])  # fmt: skip
def test_received_board_cannot_send_a_variable(capsys, attacker, honest_run, options):
    generator = record(attacker, api_key_env="GITHUB_TOKEN")
    board = received_board(honest_run, generator=generator)
    (entry,) = json.loads(Path(board).read_text())["entries"]
    options = [option.format(id=entry["id"]) for option in options]
    code, err = called(capsys, "leaderboard", "regenerate", board, "--quiet", *options)
    assert code == 2
    assert f"pass --allow-host {attacker.host} --allow-env GITHUB_TOKEN." in err
    assert f"entry {entry['id']}, generators[0].base_url" in err or "--yes" in options
    assert not Path("regenerated").exists()
    attacker.nothing_arrived()


def test_id_is_checked_before_the_reader_is_asked(capsys, attacker, honest_run):
    board = received_board(honest_run, renamed=False, generator=record(attacker))
    code, err = called(capsys, "leaderboard", "regenerate", board, "--yes", "--quiet")
    assert code == 2
    assert "id mismatch" in err
    attacker.nothing_arrived()


def test_settings_of_an_entry_cannot_name_parts_unseen(capsys, attacker, honest_run):
    settings = {"retries": 3, "generators": [endpoint(attacker)]}
    board = received_board(honest_run, settings=settings)
    code, err = called(capsys, "leaderboard", "regenerate", board, "--quiet")
    assert code == 2
    assert attacker.host in err
    attacker.nothing_arrived()


def test_suite_beside_a_board_is_asked_about(capsys, attacker, honest_run):
    folder = Path(shutil.copytree(honest_run, "received"))
    suite_file(endpoint(attacker), folder / "suite.toml")
    code, err = called(capsys, "leaderboard", "regenerate", folder, "--quiet")
    assert code == 2
    assert "suite.toml would use host" in err
    attacker.nothing_arrived()


def test_board_of_embedded_parts_needs_no_consent(capsys, honest_run):
    code, err = called(capsys, "leaderboard", "regenerate", received_board(honest_run), "--quiet")
    assert code == 0, err
    assert not Path("state").exists()


@pytest.mark.parametrize("command", ["run", "plan"])
def test_suite_without_terminal_is_refused_with_the_options_to_pass(capsys, attacker, command):
    suite = suite_file(endpoint(attacker))
    code, err = called(capsys, command, suite)
    assert code == 2
    assert err == (
        f"Error: suite.toml would use host {attacker.host} (generators[0].base_url). Nothing was "
        f"run. If you trust this file, pass --allow-host {attacker.host}.\n"
    )
    assert not Path("runs").exists()
    attacker.nothing_arrived()


def test_allowed_suite_runs_and_is_not_asked_about_again(capsys, attacker):
    suite = suite_file(endpoint(attacker))
    assert run(capsys, suite, "--allow-host", attacker.host)[0] == 0
    assert attacker.stats()["requests"]
    assert run(capsys, suite)[0] == 0
    Path(suite).write_text(Path(suite).read_text() + "# changed\n")
    code, err = run(capsys, suite)
    assert code == 2
    assert attacker.host in err


def test_key_is_sent_once_its_variable_is_allowed_by_name(capsys, llm_server):
    server = llm_server(api_key=SECRET)
    suite = suite_file(endpoint(server, api_key_env="GITHUB_TOKEN"))
    assert run(capsys, suite, "--yes")[0] == 2
    assert server.stats()["connections"] == 0
    code, err = run(capsys, suite, "--yes", "--allow-env", "GITHUB_TOKEN")
    assert code == 0, err
    for file in Path().rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes()


def test_typed_parts_need_no_consent(capsys, attacker):
    suite = suite_file({"name": "ngram"})
    generator = f"openai:model=tiny,base_url={attacker.url}"
    assert run(capsys, suite, "--generator", generator)[0] == 0
    assert attacker.stats()["requests"]


def test_own_run_folder_is_regenerated_without_a_question(capsys, attacker):
    generator = f"openai:model=tiny,base_url={attacker.url}"
    Path("suite.toml").write_text(f'datasets = ["known-posterior"]\n{SETTINGS}')
    assert run(capsys, "suite.toml", "--generator", generator)[0] == 0
    (folder,) = Path("runs").iterdir()
    assert called(capsys, "leaderboard", "regenerate", folder, "--quiet")[0] == 0
    shutil.rmtree("state")
    assert called(capsys, "leaderboard", "regenerate", folder, "--quiet")[0] == 2


def test_local_files_are_not_read_before_they_are_allowed(capsys, tmp_path):
    os.mkfifo("data.csv")  # reading it would wait for ever
    datasets = '[{ name = "csv", path = "data.csv", text = "text", label = "label" }]'
    suite = suite_file({"name": "ngram"}, datasets=datasets)
    code, err = run(capsys, suite)
    assert code == 2
    assert f"path {tmp_path / 'data.csv'} (datasets[0].path)" in err
    assert "pass --yes." in err


def test_template_is_not_read_before_it_is_allowed(capsys, attacker):
    os.mkfifo("mine.toml")
    suite = suite_file(endpoint(attacker, template="mine.toml"))
    code, err = run(capsys, suite, "--allow-host", attacker.host)
    assert code == 2
    assert "(generators[0].template)" in err


def test_replay_of_received_answers(capsys, attacker, llm_server):
    """Answers are data. The suite that they are replayed with is asked about like any other."""
    generator = f"openai:model=tiny,base_url={attacker.url}"
    Path("typed.toml").write_text(f'datasets = ["known-posterior"]\n{SETTINGS}')
    typed = ("typed.toml", "--generator", generator)
    assert run(capsys, *typed)[0] == 0
    assert run_command(["cache", "export", "answers.jsonl"]) == 0
    capsys.readouterr()
    before = attacker.stats()["connections"]

    assert run(capsys, *typed, "--replay", "answers.jsonl", "--store", "other")[0] == 0
    suite = suite_file(endpoint(attacker, api_key_env="GITHUB_TOKEN"))
    replay = (suite, "--replay", "answers.jsonl", "--store", "third")
    code, err = run(capsys, *replay)
    assert code == 2
    assert "--allow-env GITHUB_TOKEN" in err
    assert run(capsys, *replay, "--yes", "--allow-env", "GITHUB_TOKEN")[0] == 0
    assert attacker.stats()["connections"] == before


def test_predict_on_a_received_run_asks_before_the_classifier_is_created(
    capsys, attacker, honest_run, monkeypatch
):
    """The classifier of an entry is created from the parameters in the folder's board."""
    folder = Path(shutil.copytree(honest_run, "received"))
    store = honest_run.parents[1] / "store"
    model = record(attacker, api_key_env="GITHUB_TOKEN", confidence="nvu") | {"name": "llm"}
    shutil.move(received_board(honest_run, classifier=model), folder / "leaderboard.json")
    (entry,) = json.loads((folder / "leaderboard.json").read_text())["entries"]
    (models,) = json.loads((folder / "models.json").read_text()).values()
    (folder / "models.json").write_text(json.dumps({entry["id"]: models}))
    command = ("predict", folder, "--cell", entry["id"], "--store", store, "--yes")
    code, err = called(capsys, *command)
    assert code == 2
    assert "--allow-env GITHUB_TOKEN" in err
    attacker.nothing_arrived()


def test_python_refuses_unless_allowed(attacker, honest_run):
    suite = suite_file(endpoint(attacker), "mine.toml")
    with pytest.raises(fgbench.ConfigurationError, match=r"allow=fgbench\.Allow\(hosts=\['127"):
        fgbench.run(suite)
    attacker.nothing_arrived()
    board = received_board(honest_run, generator=record(attacker, api_key_env="GITHUB_TOKEN"))
    with pytest.raises(fgbench.ConfigurationError, match="GITHUB_TOKEN"):
        fgbench.regenerate(board, allow=fgbench.Allow(everything=True))
    attacker.nothing_arrived()
    assert fgbench.run(suite, allow=fgbench.Allow(hosts=[attacker.host])).leaderboard.entries
    assert not Path("state").exists()  # only answers on a terminal and options are remembered
    seen = []
    again = fgbench.regenerate(received_board(honest_run), observers=[seen.append])
    assert again.ok
    assert any(event.name == "run_finished" for event in seen)


def on_terminal(*arguments, answer):
    """Run a command on a pseudo-terminal; answer its question; return exit code and output."""
    primary, secondary = pty.openpty()
    process = subprocess.Popen(
        [*ENTRY, *arguments], stdin=secondary, stdout=secondary, stderr=secondary
    )
    os.close(secondary)
    output, deadline, answered = b"", time.monotonic() + 120, False
    try:
        while time.monotonic() < deadline:
            if not select.select([primary], [], [], 0.2)[0]:
                continue
            try:
                chunk = os.read(primary, 4096)
            except OSError:  # the process has closed the terminal
                break
            if not chunk:
                break
            output += chunk
            if b"[y/N]" in output and not answered:
                os.write(primary, answer)
                answered = True
        return process.wait(timeout=60), output.decode()
    finally:
        process.kill()
        process.wait()
        os.close(primary)


def test_question_on_a_terminal(attacker):
    suite = suite_file(endpoint(attacker))
    for answer in (b"n\n", b"\n"):
        code, output = on_terminal("run", suite, "--quiet", answer=answer)
        assert code == 2
        assert re.search(
            rf"suite\.toml may use:\s+host  {attacker.host}  \(generators\[0\]\.base_url\)", output
        )
        assert "Allow? [y/N]" in output
        attacker.nothing_arrived()
    code, output = on_terminal("run", suite, "--quiet", answer=b"y\n")
    assert code == 0, output
    asked = len(attacker.stats()["requests"])
    assert asked
    code, output = on_terminal("run", suite, "--quiet", answer=b"n\n")
    assert code == 0
    assert "Allow?" not in output


def test_names_cannot_forge_lines_of_the_question():
    generator = {
        "name": "openai",
        "model": "m",
        "base_url": "http://x\n  host  good.example\x1b[2J",
    }
    suite = suite_file(generator)
    code, output = on_terminal("run", suite, answer=b"n\n")
    assert code == 2
    assert "\x1b[2J" not in output
    assert not re.search(r"^\s*host\s+good\.example", output, re.MULTILINE)
