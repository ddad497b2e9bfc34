"""`fgbench data`: fetch, verify and describe the files of data sets."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from fgbench.cli.options import data_dir_option, load_registry, plugin_option

if TYPE_CHECKING:
    from fgbench.cards import Card, DataFolder
    from fgbench.fetching import Progress

_PLAIN_EVERY = 5.0


@click.group("data")
def data() -> None:
    """Fetch, verify and describe data sets."""


@data.command("fetch")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--force", is_flag=True, help="Fetch also what is there already.")
@data_dir_option
@plugin_option
def fetch(
    names: tuple[str, ...], force: bool, data_dir: str | None, plugins: tuple[str, ...]
) -> None:
    """Download the official files of NAME into the cache, and check their digests.

    A broken download goes on where it ended. Files that your own data folder has are left alone.
    """
    from fgbench import fetching
    from fgbench.cards import DataFolder

    folder = DataFolder.from_environment(data_dir)
    cards = {name: _card(name, plugins) for name in names}
    with _progress() as progress:
        for name, card in cards.items():
            if card is None or not card.sources:
                progress.said(f"{name}: there is nothing to fetch.")
                continue
            for item in fetching.fetch(card, folder, progress, force=force):
                words = {
                    "fetched": "fetched to",
                    "present": "is here already:",
                    "local": "is in your data folder:",
                }
                progress.said(f"{name}: {item.source} {words[item.status]} {item.path}")
                if item.warning:
                    progress.said(f"Warning: {item.warning}")


@data.command("verify")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_dir_option
@plugin_option
@click.pass_context
def verify(
    ctx: click.Context, name: str, as_json: bool, data_dir: str | None, plugins: tuple[str, ...]
) -> None:
    """Check where the files of NAME are, and whether they are those of the card.

    Ends with 2 if one is missing or another file than the card's.
    """
    from fgbench.cards import DataFolder

    card = _card(name, plugins)
    folder = DataFolder.from_environment(data_dir)
    states = [] if card is None else [_state(card, key, folder) for key in card.sources]
    if as_json:
        click.echo(json.dumps({"dataset": name, "sources": states}, indent=2, ensure_ascii=False))
    elif not states:
        click.echo(f"{name}: there are no files to verify.")
    else:
        for state in states:
            click.echo(f"{state['status']:<11} {state['filename']}  {state['path'] or ''}".rstrip())
    bad = [state for state in states if state["status"] in ("missing", "differs", "damaged")]
    if bad and not as_json:
        listed = ", ".join(f"{state['filename']} ({state['status']})" for state in bad)
        click.echo(
            f"Error: dataset {name}: {listed}. Run `fgbench data fetch {name}`, or point "
            "--data-dir or FGBENCH_DATA to a folder with the official files.",
            err=True,
        )
    ctx.exit(2 if bad else 0)


@data.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_dir_option
@plugin_option
def show(name: str, as_json: bool, data_dir: str | None, plugins: tuple[str, ...]) -> None:
    """Show the card of NAME: source, licence, citation, labels, splits."""
    from fgbench.cards import DataFolder

    card = _card(name, plugins)
    if as_json:
        content = None if card is None else card.model_dump(mode="json", exclude_none=True)
        click.echo(json.dumps(content, indent=2, ensure_ascii=False))
    elif card is None:
        click.echo(f"{name} has no card: see `fgbench show {name}` for its parameters.")
    else:
        _print_card(card, DataFolder.from_environment(data_dir))


def _card(name: str, plugins: tuple[str, ...]) -> Card | None:
    from fgbench.plugins.references import PartReference

    loader: Any = load_registry(plugins).part_class("dataset", PartReference.parse(name).name)
    card: Card | None = loader.card()
    return card


def _state(card: Card, key: str, folder: DataFolder) -> dict[str, Any]:
    """Return where a source is and its status.

    ok; unconfirmed (the card has no digest that is certain); missing; differs (the user's own
    file is not the card's); damaged (a fetched file is not what was fetched).
    """
    from fgbench.cards import recorded_digest
    from fgbench.digests import digest_file

    source = card.source(key)
    state: dict[str, Any] = {
        "source": key,
        "filename": source.filename,
        "expected": source.sha256,
        "sha256": None,
        "path": None,
        "status": "missing",
    }
    located = folder.locate(card, key)
    if located is None:
        return state
    path, is_users = located
    found = digest_file(path)
    wanted = source.pinned or (None if is_users else recorded_digest(path))
    if wanted is not None and found != wanted:
        status = "differs" if is_users else "damaged"
    else:
        status = "ok" if found == source.pinned else "unconfirmed"
    return state | {"path": str(path), "sha256": found, "status": status}


def _print_card(card: Card, folder: DataFolder) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    console.print(Text.assemble((card.title, "bold"), f" ({card.name})"))
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    citation = " ".join(filter(None, (card.citation.text, card.citation.url)))
    decoding = (
        f"{card.encoding}, invalid bytes: {'refused' if card.errors == 'strict' else 'U+FFFD'}"
    )
    for term, value in {
        "input": card.task,
        "licence": card.licence,
        "cite": citation,
        "splits": card.splits,
        "reading": card.text,
        "encoding": decoding if card.sources else "",
        "classifier": card.default_classifier,
    }.items():
        if value:
            facts.add_row(term, Text(value))
    if card.paper is not None:
        sizes = f"{card.paper.train:,} training, {card.paper.test:,} test. {card.paper.differences}"
        facts.add_row("in FITG", Text(sizes))
    for note in card.notes:
        facts.add_row("note", Text(note))
    console.print(Padding(facts, (1, 0, 0, 2)))

    def listing(title: str, rows: list[tuple[str, str]]) -> None:
        table = Table.grid(padding=(0, 2))
        table.add_column(overflow="fold", max_width=26)
        table.add_column(overflow="fold", style="dim")
        for left, right in rows:
            table.add_row(Text(left), Text(right))
        console.print(f"\n  [bold]{title}[/bold]")
        console.print(Padding(table, (0, 0, 0, 4)))

    listing("labels", [(label.name, label.description) for label in card.labels])
    if card.columns:
        listing("columns", list(card.columns.items()))
    for key, source in card.sources.items():
        located = folder.locate(card, key)
        size = f", {source.bytes:,} bytes" if source.bytes is not None else ""
        digest = source.sha256 or "not known"
        listing(
            f"source {key}",
            [
                ("file", f"{card.folder_name}/{source.filename}{size}"),
                ("url", source.url),
                ("sha256", digest if source.confirmed else f"{digest} (unconfirmed)"),
                ("here", str(located[0]) if located else f"no: fgbench data fetch {card.name}"),
            ],
        )


@contextmanager
def _progress() -> Iterator[Progress]:
    """A bar on a terminal, plain lines elsewhere, on standard error."""
    if not sys.stderr.isatty():
        yield _Plain()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        yield _Bar(bars)


class _Bar:
    def __init__(self, bars: Any) -> None:
        self._bars = bars
        self._task: Any = None

    def started(self, filename: str, total: int | None) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(filename, total=total)

    def advanced(self, done: int) -> None:
        self._bars.update(self._task, completed=done)

    def said(self, message: str) -> None:
        self._bars.console.print(message, markup=False, highlight=False, soft_wrap=True)


class _Plain:
    """One line when a file starts, and one every few seconds."""

    def __init__(self) -> None:
        self._filename, self._total, self._shown = "", "", 0.0

    def started(self, filename: str, total: int | None) -> None:
        import time

        self._filename = filename
        self._total = f" of {total:,}" if total is not None else ""
        self._shown = time.monotonic()
        self.said(f"{filename}: downloading{f' {total:,} bytes' if total is not None else ''}")

    def advanced(self, done: int) -> None:
        import time

        if time.monotonic() - self._shown >= _PLAIN_EVERY:
            self._shown = time.monotonic()
            self.said(f"{self._filename}: {done:,}{self._total} bytes")

    def said(self, message: str) -> None:
        click.echo(message, err=True)
