"""Text on standard output, whatever it can encode."""

from __future__ import annotations

import sys

import click

from fgbench.numbers import ascii_text


def print_text(text: str) -> None:
    """Print a text, in ASCII if standard output cannot encode it."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = ascii_text(text)
    click.echo(text)
