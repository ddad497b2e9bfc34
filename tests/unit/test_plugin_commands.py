"""Commands that plugins add to the command line."""

import os
import subprocess
import sys

import pytest

from fgbench.cli import run_command
from fgbench.cli.commands import COMMANDS

PLUGIN = """
import click
from fgbench import ConfigurationError, hookimpl

@click.command()
@click.argument("word")
def shout(word):
    \"\"\"Print WORD in capitals.\"\"\"
    if word == "quiet":
        raise ConfigurationError("'quiet' cannot be shouted.")
    if word == "bug":
        raise RuntimeError("boom")
    click.echo(word.upper())

@hookimpl
def fgbench_commands(register):
    register("shout", "%(module)s:shout", "Print a word in capitals.")
    register("sing", "no_such_module_for_singing:sing", "Sing a word.")
    register("hum", "%(module)s:hookimpl", "Hum a word.")
"""


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """Write plugin files and name them in FGBENCH_PLUGINS; take back what they import."""
    modules = set(sys.modules)

    def write(**sources):
        paths = []
        for name, source in sources.items():
            paths.append(tmp_path / f"{name}.py")
            paths[-1].write_text(source.replace("%(module)s", name))
        monkeypatch.setenv("FGBENCH_PLUGINS", os.pathsep.join(map(str, paths)))

    yield write
    for name in set(sys.modules) - modules:
        if name.startswith("commands_"):
            del sys.modules[name]


def test_plugin_command_runs_and_is_listed(plugins, capsys):
    plugins(commands_a=PLUGIN)
    assert run_command(["shout", "hello"]) == 0
    assert capsys.readouterr().out == "HELLO\n"
    assert run_command(["--help"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "  shout" in line]
    assert "Print a word in capitals. [commands_a.py]" in line
    assert run_command(["shout", "--help"]) == 0
    assert "--debug" in capsys.readouterr().out


def test_plugin_command_errors_respect_debug(plugins, capsys):
    plugins(commands_a=PLUGIN)
    assert run_command(["shout", "quiet"]) == 2
    assert capsys.readouterr().err == "Error: 'quiet' cannot be shouted.\n"
    assert run_command(["shout", "bug"]) == 1
    error = capsys.readouterr().err
    assert "a bug in the plugin that provides 'shout', not in your input" in error
    with pytest.raises(RuntimeError, match="boom"):
        run_command(["shout", "bug", "--debug"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sing", "command 'sing' of plugin commands_a.py .* cannot be imported"),
        ("hum", "commands_a:hookimpl is not a click command"),
        ("shuot", "No such command 'shuot'. Did you mean 'shout'?"),
    ],
)
def test_uncallable_plugin_command_error_has_reason(plugins, capsys, name, message):
    import re

    plugins(commands_a=PLUGIN)
    assert run_command([name]) == 2
    assert re.search(message.replace("?", r"\?"), capsys.readouterr().err)


def test_doctor_reports_broken_commands(plugins, capsys):
    plugins(commands_a=PLUGIN)
    assert run_command(["doctor"]) == 1
    error = capsys.readouterr().err
    assert "command 'sing'" in error
    assert "command 'hum'" in error
    assert "shout" not in error


def test_built_in_command_cannot_be_overridden(plugins, capsys):
    plugins(commands_a=PLUGIN.replace('"sing"', '"list"'))
    assert run_command(["list", "losses"]) == 0
    captured = capsys.readouterr()
    assert "focal" in captured.out
    assert captured.err.count("\n") == 1
    assert "command 'list' is built into fgbench: rename the plugin's." in captured.err
    assert run_command(["shout", "still"]) == 0  # the plugin's other commands work
    assert capsys.readouterr().out == "STILL\n"


def test_command_name_clash_affects_only_that_command(plugins, capsys):
    plugins(commands_a=PLUGIN, commands_b=PLUGIN.replace('"sing"', '"other"'))
    assert run_command(["list", "losses"]) == 0
    assert run_command(["shout", "hello"]) == 2
    error = capsys.readouterr().err
    assert "Error: command 'shout' is registered by commands_a.py" in error
    assert "commands_b.py" in error
    assert run_command(["--help"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line[:2] == "  "]
    assert "other" in names
    assert "shout" not in names


def test_help_works_without_loadable_plugins(plugins, capsys, monkeypatch, tmp_path):
    plugins(commands_a="raise RuntimeError('boom')")
    assert run_command(["--help"]) == 0
    assert "boom" in capsys.readouterr().err
    monkeypatch.setenv("FGBENCH_PLUGINS", str(tmp_path / "absent.py"))
    assert run_command(["--help"]) == 0
    captured = capsys.readouterr()
    assert set(COMMANDS) <= set(captured.out.split())
    assert "Warning: plugin" in captured.err
    assert run_command(["shout"]) == 2


SCRIPT = """
import sys
from fgbench.cli import run_command
assert run_command({arguments!r}) == 0
loaded = {{"importlib.metadata", "fgbench_plugins", "commands_lazy", "commands_body"}}
print(sorted(loaded & set(sys.modules)), file=sys.stderr)
"""
LAZY = """
from fgbench import hookimpl

@hookimpl
def fgbench_commands(register):
    register("shout", "commands_body:shout", "Print a word in capitals.")
"""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "--help"], []),
        (["leaderboard", "--help"], []),
        (["--version"], []),
        (["--help"], ["commands_lazy", "fgbench_plugins", "importlib.metadata"]),
        (
            ["shout", "x"],
            ["commands_body", "commands_lazy", "fgbench_plugins", "importlib.metadata"],
        ),
    ],
)
def test_built_in_commands_do_not_load_plugins(plugins, tmp_path, monkeypatch, arguments, expected):
    (tmp_path / "commands_body.py").write_text(PLUGIN)
    plugins(commands_lazy=LAZY)
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    )
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(arguments=arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.strip() == str(expected)
