"""`fgbench cache`: the stored answers of language models."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fgbench.cli.console import json_text
from fgbench.cli.options import store_option

if TYPE_CHECKING:
    from fgbench.llm.answers import AnswerStore


@click.group("cache")
def cache() -> None:
    """Count, export and import the stored answers of language models.

    With an exported file, others can rerun a board without the models: fgbench run --replay FILE.
    """


@cache.command("info")
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(store: str | None, as_json: bool) -> None:
    """Show the number of stored answers per model and the size of the file."""
    with _answers(store) as answers:
        exists = answers.path is not None and answers.path.exists()
        models = answers.totals() if exists else []
        size = answers.size()
        path = str(answers.path)
    if as_json:
        value = {"file": path, "bytes": size, "models": models}
        click.echo(json_text(value, indent=2))
        return
    click.echo(f"{path}: {size / 1e6:,.1f} MB" if exists else f"{path}: no answers yet")
    for model in models:
        click.echo(f"{_name(model['model'])}")
        click.echo(
            f"  {model['answers']:,} answers, {model['refusals']:,} refusals, "
            f"{model['failures']:,} failures; {model['requests']:,} requests, "
            f"{model['prompt_tokens']:,} prompt tokens, "
            f"{model['completion_tokens']:,} completion tokens"
        )


@cache.command("export")
@click.argument("file", metavar="FILE")
@store_option
@click.option("--skip-corrupt", is_flag=True, help="Leave out corrupt answers and list them.")
def export(file: str, store: str | None, skip_corrupt: bool) -> None:
    """Write all stored answers to FILE as JSON Lines, compressed if its name ends in .gz.

    A corrupt answer is an error. The file contains the prompts, and with them texts of the data
    sets: check their licenses before you publish it.
    """
    from fgbench.errors import ConfigurationError
    from fgbench.llm.files import export_answers

    with _answers(store) as answers:
        if answers.path is None or not answers.path.exists():
            raise ConfigurationError(f"{answers.path}: no answers to export yet.")
        on_damage = _warn_of_damage if skip_corrupt else None
        count = export_answers(answers, Path(file), on_damage=on_damage)
    click.echo(f"{file}: {count:,} answers")


@cache.command("import")
@click.argument("file", metavar="FILE")
@store_option
def import_(file: str, store: str | None) -> None:
    """Add the answers of FILE, an export or another store's answers.sqlite, to the store.

    Each line is checked against its digest. Existing answers are kept.
    """
    from fgbench.llm.files import import_answers

    with _answers(store) as answers:
        new, total = import_answers(answers, Path(file))
        click.echo(f"{answers.path}: {new:,} new of {total:,} answers")


def _warn_of_damage(problem: str) -> None:
    click.echo(f"Warning: skipped what is corrupt: {problem}", err=True)


@contextlib.contextmanager
def _answers(store: str | None) -> Iterator[AnswerStore]:
    from fgbench.llm.answers import ANSWERS_FILE, AnswerStore
    from fgbench.store import default_store

    folder = Path(store) if store else default_store()
    with contextlib.closing(AnswerStore(folder / ANSWERS_FILE)) as answers:
        yield answers


def _name(identity: dict[str, Any]) -> str:
    """Return a model's identity on one line, with its name first."""
    rest = {key: value for key, value in identity.items() if key != "model" and value is not None}
    details = ", ".join(f"{key}={value}" for key, value in sorted(rest.items()))
    return f"{identity.get('model', '')} ({details})" if "model" in identity else details
