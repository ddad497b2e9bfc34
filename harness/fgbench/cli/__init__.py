"""The command line. Each command lives in a module of its own, imported when it is called."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click

from fgbench._version import __version__
from fgbench.errors import FgbenchError

_COMMANDS = {
    "run": ("fgbench.cli.run:run", "Run a matrix of cells and write its leaderboard."),
    "plan": ("fgbench.cli.plan:plan", "Show what a run would do; runs nothing."),
    "list": ("fgbench.cli.list:list_parts", "List data sets, classifiers and all other parts."),
    "show": ("fgbench.cli.show:show", "Show one part: its parameters, needs and card."),
    "data": ("fgbench.cli.data:data", "Fetch, verify and describe data sets."),
    "cache": ("fgbench.cli.cache:cache", "Count, export and import language models' answers."),
    "store": ("fgbench.cli.store:store", "Show and free the disk space of stored stages."),
    "report": ("fgbench.cli.report:report", "Write the HTML report of a run."),
    "evaluate": ("fgbench.cli.evaluate:evaluate", "Evaluate anyone's predictions, without a run."),
    "predict": ("fgbench.cli.predict:predict", "Classify new texts with the model of a run."),
    "leaderboard": ("fgbench.cli.leaderboard:leaderboard", "Build, compare, verify, rerun boards."),
    "doctor": ("fgbench.cli.doctor:doctor", "Check the installation, the plugins and the folders."),
}

FAULT = 1
INTERRUPTED = 130


class LazyGroup(click.Group):
    """A group whose help is static and whose commands are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in the order of their use."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        _offer_debug(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; an unknown one is an error that names the nearest."""
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            from fgbench.errors import did_you_mean

            ctx.fail(f"No such command {args[0]!r}. {did_you_mean(args[0], _COMMANDS)}")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fgbench")
def cli() -> None:
    """Does synthetic data, aimed at the bins where a classifier is miscalibrated, help?

    `fgbench run` without arguments runs the embedded default: no download, no GPU, no key.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with the code that DESIGN.md promises."""
    sys.exit(run_command(sys.argv[1:] if arguments is None else arguments))


def run_command(arguments: list[str]) -> int:
    """Run one command line and return its exit code; errors are one sentence on standard error."""
    debug = "--debug" in arguments
    try:
        code = cli.main(arguments, prog_name="fgbench", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except FgbenchError as error:
        if debug:
            raise
        click.echo(f"Error: {error}", err=True)
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        error.show()
        return 2
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted. The same command goes on from here.", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has gone (`| head`): nothing is left to say, not even while closing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            raise
        click.echo(
            f"Error: a fault of fgbench, not of your input: {type(error).__name__}: {error}. What "
            "has finished is kept. Please report it with what the same command says with --debug.",
            err=True,
        )
        return FAULT


def _offer_debug(command: click.Command) -> None:
    """Give a command, and the commands of a group, the option --debug."""
    commands: list[Any] = [command]
    if isinstance(command, click.Group):
        commands = list(command.commands.values())
    for each in commands:
        if not any(parameter.name == "debug" for parameter in each.params):
            each.params.append(
                click.Option(
                    ["--debug"],
                    is_flag=True,
                    expose_value=False,
                    help="Show the traceback of an error.",
                )
            )
