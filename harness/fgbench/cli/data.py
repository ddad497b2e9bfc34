"""`fgbench data`: download, verify and describe the files of data sets."""

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
    """Download, verify and describe data sets."""


@data.command("fetch")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--force", is_flag=True, help="Download again even if present.")
@data_dir_option
@plugin_option
def fetch(
    names: tuple[str, ...], force: bool, data_dir: str | None, plugins: tuple[str, ...]
) -> None:
    """Download the official files of NAME into the cache and check their digests.

    Interrupted downloads resume. Files in your data folder are never overwritten.
    """
    from fgbench import fetching
    from fgbench.cards import DataFolder

    folder = DataFolder.from_environment(data_dir)
    cards = {name: _card(name, plugins) for name in names}
    with _progress() as progress:
        for name, card in cards.items():
            if card is None or not card.sources:
                progress.message(f"{name}: nothing to download.")
                continue
            for item in fetching.fetch(card, folder, progress, force=force):
                status = {
                    "fetched": "downloaded to",
                    "present": "already present:",
                    "local": "in your data folder:",
                }[item.status]
                progress.message(f"{name}: {item.source} {status} {item.path}")
                if item.warning:
                    progress.message(f"Warning: {item.warning}")


@data.command("verify")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_dir_option
@plugin_option
@click.pass_context
def verify(
    ctx: click.Context, name: str, as_json: bool, data_dir: str | None, plugins: tuple[str, ...]
) -> None:
    """Check that the files of NAME are present and match its card.

    The exit code is 2 if a file is missing, corrupt or differs from the card.
    """
    from fgbench.cards import DataFolder

    card = _card(name, plugins)
    folder = DataFolder.from_environment(data_dir)
    states = [] if card is None else [_state(card, key, folder) for key in card.sources]
    if as_json:
        click.echo(json.dumps({"dataset": name, "sources": states}, indent=2, ensure_ascii=False))
    elif not states:
        click.echo(f"{name}: no files to verify.")
    else:
        for state in states:
            click.echo(f"{state['status']:<11} {state['filename']}  {state['path'] or ''}".rstrip())
    problems = [state for state in states if state["status"] in ("missing", "differs", "corrupt")]
    if problems and not as_json:
        listed = ", ".join(f"{state['filename']} ({state['status']})" for state in problems)
        click.echo(
            f"Error: dataset {name}: {listed}. Run `fgbench data fetch {name}`, or point "
            "--data-dir or FGBENCH_DATA to a folder with the official files.",
            err=True,
        )
    ctx.exit(2 if problems else 0)


@data.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_dir_option
@plugin_option
def show(name: str, as_json: bool, data_dir: str | None, plugins: tuple[str, ...]) -> None:
    """Show the card of NAME: sources, license, citation, labels and splits."""
    from fgbench.cards import DataFolder

    card = _card(name, plugins)
    if as_json:
        content = None if card is None else card.model_dump(mode="json", exclude_none=True)
        click.echo(json.dumps(content, indent=2, ensure_ascii=False))
    elif card is None:
        click.echo(f"{name} has no card. See `fgbench show {name}` for its parameters.")
    else:
        _print_card(card, DataFolder.from_environment(data_dir))


def _card(name: str, plugins: tuple[str, ...]) -> Card | None:
    from fgbench.plugins.references import PartReference

    loader: Any = load_registry(plugins).part_class("dataset", PartReference.parse(name).name)
    card: Card | None = loader.card()
    return card


def _state(card: Card, key: str, folder: DataFolder) -> dict[str, Any]:
    """Return the path, digests and status of a source.

    The status is ok, unconfirmed (the card has no confirmed digest), missing, differs (a user's
    file does not match the card) or corrupt (a downloaded file has changed).
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
    sha256 = digest_file(path)
    required = source.pinned or (None if is_users else recorded_digest(path))
    if required is not None and sha256 != required:
        status = "differs" if is_users else "corrupt"
    else:
        status = "ok" if sha256 == source.pinned else "unconfirmed"
    return state | {"path": str(path), "sha256": sha256, "status": status}


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
    decoding = f"{card.encoding}, invalid bytes: {'error' if card.errors == 'strict' else 'U+FFFD'}"
    for term, value in {
        "input": card.task,
        "license": card.licence,
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
    if card.hub is not None:
        listing("hub", [*card.hub.model_dump(exclude_none=True).items()])
    for key, source in card.sources.items():
        located = folder.locate(card, key)
        size = f", {source.bytes:,} bytes" if source.bytes is not None else ""
        digest = source.sha256 or "unknown"
        listing(
            f"source {key}",
            [
                ("file", f"{card.folder_name}/{source.filename}{size}"),
                ("url", source.url),
                ("sha256", digest if source.confirmed else f"{digest} (unconfirmed)"),
                ("local", str(located[0]) if located else f"none: fgbench data fetch {card.name}"),
            ],
        )


@contextmanager
def _progress() -> Iterator[Progress]:
    """Report progress on standard error: a bar on a terminal, plain lines elsewhere."""
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

    def message(self, text: str) -> None:
        self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)


class _Plain:
    """Prints one line when a download starts, and one every few seconds."""

    def __init__(self) -> None:
        self._filename, self._total, self._shown = "", "", 0.0

    def started(self, filename: str, total: int | None) -> None:
        import time

        self._filename = filename
        self._total = f" of {total:,}" if total is not None else ""
        self._shown = time.monotonic()
        self.message(f"{filename}: downloading{f' {total:,} bytes' if total is not None else ''}")

    def advanced(self, done: int) -> None:
        import time

        if time.monotonic() - self._shown >= _PLAIN_EVERY:
            self._shown = time.monotonic()
            self.message(f"{self._filename}: {done:,}{self._total} bytes")

    def message(self, text: str) -> None:
        click.echo(text, err=True)
