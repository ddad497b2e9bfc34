"""The options and the question about what a received file may use."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from shlex import quote
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from pathlib import Path

    from fgbench.parts import Access
    from fgbench.runs.consent import Allow

_F = TypeVar("_F", bound=Callable[..., Any])


def consent_options(function: _F) -> _F:
    """Add the options that allow what a received file uses; the function takes `consent`."""

    @wraps(function)
    def with_consent(
        *arguments: Any,
        allow_hosts: tuple[str, ...],
        allow_variables: tuple[str, ...],
        allow_all: bool,
        **options: Any,
    ) -> Any:
        from fgbench.runs.consent import Allow, Consent, ConsentFile

        consent = Consent(
            Allow(allow_hosts, allow_variables, allow_all),
            ask=_ask if sys.stdin.isatty() and sys.stderr.isatty() else None,
            spelled=_as_options,
            memory=ConsentFile.of_user(),
            warn=lambda reason: click.echo(f"Warning: {reason}", err=True),
        )
        return function(*arguments, consent=consent, **options)

    decorators = [
        click.option(
            "--allow-host",
            "allow_hosts",
            multiple=True,
            metavar="HOST",
            help="Let a received file use this host (repeatable).",
        ),
        click.option(
            "--allow-env",
            "allow_variables",
            multiple=True,
            metavar="VAR",
            help="Let a received file use the key in this environment variable (repeatable).",
        ),
        click.option(
            "--yes",
            "-y",
            "allow_all",
            is_flag=True,
            help="Let a received file use what it names, without a question.",
        ),
    ]
    decorated: Any = with_consent
    for decorator in reversed(decorators):
        decorated = decorator(decorated)
    return decorated  # type: ignore[no-any-return]


def _ask(file: Path, found: list[Access]) -> bool:
    """Show what a file would use and return whether the user allows it."""
    from fgbench.runs.consent import KIND_NAMES, shown

    click.echo(f"{shown(str(file))} may use:", err=True)
    kinds = [KIND_NAMES[access.kind] for access in found]
    names = [shown(access.name) for access in found]
    for kind, name, access in zip(kinds, names, found, strict=True):
        columns = kind.ljust(max(map(len, kinds))), name.ljust(min(40, max(map(len, names))))
        click.echo(f"  {'  '.join(columns)}  ({shown(access.place)})", err=True)
    click.echo(
        "Allow this only if you trust the file. You are not asked again until it changes.",
        err=True,
    )
    return click.confirm("Allow?", default=False, err=True)


def _as_options(allow: Allow) -> str:
    from fgbench.runs.consent import shown

    options = [
        *(f"--allow-host {quote(shown(host))}" for host in allow.hosts),
        *(f"--allow-env {quote(shown(variable))}" for variable in allow.variables),
        *(["--yes"] if allow.everything else []),
    ]
    return f"pass {' '.join(options)}"
