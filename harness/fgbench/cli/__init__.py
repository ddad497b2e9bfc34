"""The command line. Each command is in a module of its own, imported when it is called.

Importing the module of `fgbench list` hides the built-in `list` in this one.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import signal
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import click

from fgbench._version import __version__
from fgbench.cli.commands import COMMANDS
from fgbench.cli.console import guarded
from fgbench.errors import FgbenchError

if TYPE_CHECKING:
    from fgbench.plugins.registry import Registration, Registry

FAULT = 1
INTERRUPTED, TERMINATED = 130, 143


class LazyGroup(click.Group):
    """A group whose commands, those of plugins included, are imported when they are called.

    Plugins are loaded only for the help and for commands that are not built in.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, built-in ones first."""
        return [*COMMANDS, *(command.name for command in _plugin_commands(ctx))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; `PluginError` says why a plugin's cannot be imported."""
        if cmd_name in COMMANDS:
            module, _, attribute = COMMANDS[cmd_name][0].partition(":")
            command: click.Command = getattr(import_module(module), attribute)
        else:
            command = _registry(ctx).command(cmd_name)
        _offer_debug(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        rows = [(name, summary) for name, (_, summary) in COMMANDS.items()]
        for command in _plugin_commands(ctx):
            origin = "" if command.is_built_in else f" [{command.plugin.partition(' ')[0]}]"
            rows.append((command.name, command.summary + origin))
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; an unknown one is an error that names the nearest."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from fgbench.errors import did_you_mean

            names = [*COMMANDS, *_registry(ctx).names("command")]
            if args[0] not in names:
                ctx.fail(f"No such command {args[0]!r}. {did_you_mean(args[0], names)}")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fgbench")
def cli() -> None:
    """Does synthetic data, aimed at the bins where a classifier is miscalibrated, help?

    `fgbench run` without arguments runs the embedded default: no download, no GPU, no key.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with the code that DESIGN.md promises."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = run_command(sys.argv[1:] if arguments is None else arguments)
    except Exception:  # noqa: BLE001 - of --debug, whose traceback is filtered, too
        import traceback

        with guarded():
            traceback.print_exc()
        code = FAULT
    sys.exit(code)


def run_command(arguments: list[str]) -> int:
    """Run one command line and return its exit code; errors are one sentence on standard error."""
    _print_what_can_be_encoded()
    with guarded():
        return _run_command(arguments)


def _run_command(arguments: list[str]) -> int:
    debug = "--debug" in arguments
    if any("\0" in argument for argument in arguments):
        click.echo("Error: an argument contains a NUL character.", err=True)
        return 2
    try:
        code = cli.main(arguments, prog_name="fgbench", standalone_mode=False)
        sys.stdout.flush()  # a full disk shows here, not when the process ends
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
    except (KeyboardInterrupt, click.Abort) as error:
        if isinstance(error, _Terminated) or isinstance(error.__cause__, _Terminated):
            click.echo("Terminated. Run the same command to resume.", err=True)
            return TERMINATED
        click.echo("Interrupted. Run the same command to resume.", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        _abandon_stdout()  # the reader is gone (`| head`)
        return 0
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _FULL and error.filename is None:
            _abandon_stdout()
            click.echo(
                f"Error: the output could not be written ({error.strerror}); completed work is "
                "kept. Free some space, then rerun.",
                err=True,
            )
            return FAULT
        if debug:
            raise
        click.echo(
            f"Internal error (a bug in {_owner(arguments)}, not in your input): "
            f"{type(error).__name__}: {error}. Completed work is kept. Please report it with the "
            "output of --debug.",
            err=True,
        )
        return FAULT


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG})


def _abandon_stdout() -> None:
    """Print nothing more, not even while closing standard output."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does."""


def _terminate(number: int, frame: object) -> None:
    raise _Terminated


def _print_what_can_be_encoded() -> None:
    """Let standard output and error replace what they cannot encode, instead of failing."""
    codecs.register_error("fgbench", _replaced)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="fgbench")


def _replaced(error: UnicodeError) -> tuple[str, int]:
    """Return signs by their ASCII substitutes, and any other character as JSON escapes it."""
    import json

    from fgbench.numbers import ascii_text

    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = "".join(
        json.dumps(char)[1:-1] if (plain := ascii_text(char)) == "?" else plain
        for char in error.object[error.start : error.end]
    )
    return text, error.end


def _registry(ctx: click.Context) -> Registry:
    """Return the registry, loaded once per command line."""
    from fgbench.cli.options import load_registry

    key = f"{__name__}.registry"
    if key not in ctx.meta:
        ctx.meta[key] = load_registry(())
    registry: Registry = ctx.meta[key]
    return registry


def _plugin_commands(ctx: click.Context) -> list[Registration]:
    """Return the plugins' commands; none, with a warning, if plugins cannot be loaded."""
    try:
        return [*_registry(ctx).registrations("command")]
    except FgbenchError as error:
        click.echo(f"Warning: {error}", err=True)
        return []


def _owner(arguments: list[str]) -> str:
    """Return whose command a command line calls, for the message about an internal error."""
    if not arguments or arguments[0] in COMMANDS or arguments[0].startswith("-"):
        return "fgbench"
    return f"the plugin that provides {arguments[0]!r}"


def _offer_debug(command: click.Command) -> None:
    """Give a command, and the commands of a group, the option --debug."""
    commands = [*command.commands.values()] if isinstance(command, click.Group) else [command]
    for command in commands:
        if not any(parameter.name == "debug" for parameter in command.params):
            command.params.append(
                click.Option(
                    ["--debug"],
                    is_flag=True,
                    expose_value=False,
                    help="Show the traceback of an error.",
                )
            )
