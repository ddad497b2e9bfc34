"""`fgbench data`: download, verify and describe the files of data sets."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from fgbench.cli.console import console, json_text
from fgbench.cli.options import data_dir_option, load_registry, plugin_option
from fgbench.errors import FgbenchError

if TYPE_CHECKING:
    from fgbench.cards import Card, DataFolder
    from fgbench.fetching import Progress
    from fgbench.plugins.registry import Registry

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
    registry = load_registry(plugins)
    cards = {name: _card(name, registry) for name in names}
    with _progress() as progress:
        for name, card in cards.items():
            if card is not None and card.hub is not None and not card.sources:
                progress.message(f"{name}: downloaded from the hub when it is used first.")
                continue
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


@data.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_dir_option
@plugin_option
def list_datasets(as_json: bool, data_dir: str | None, plugins: tuple[str, ...]) -> None:
    """List the data sets: which are here, which are missing, and how to get them.

    Files are not read; `fgbench data verify` checks their content.
    """
    from fgbench.cards import DataFolder

    folder = DataFolder.from_environment(data_dir)
    registry = load_registry(plugins)
    rows = [_availability(name, registry, folder) for name in registry.names("dataset")]
    if as_json:
        click.echo(json_text(rows, indent=2))
        return
    width = max((len(row["dataset"]) for row in rows), default=0)
    for row in rows:
        click.echo(f"{row['dataset']:<{width}}  {row['status']:<8}  {row['hint']}".rstrip())


@data.command("verify")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_dir_option
@plugin_option
@click.pass_context
def verify(
    ctx: click.Context,
    names: tuple[str, ...],
    as_json: bool,
    data_dir: str | None,
    plugins: tuple[str, ...],
) -> None:
    """Check that the files of NAME are present and match its card; default: all that are here.

    The exit code is 2 if a file is missing, corrupt or differs from the card.
    """
    from fgbench.cards import DataFolder

    registry = load_registry(plugins)
    folder = DataFolder.from_environment(data_dir)
    states = {name: _states(_card(name, registry), folder) for name in names}
    if not names:
        states = {name: _states(card, folder) for name, card in _cards(registry)}
        states = {
            name: listed
            for name, listed in states.items()
            if any(state["path"] is not None for state in listed)
        }
    if as_json:
        value = [{"dataset": name, "sources": listed} for name, listed in states.items()]
        click.echo(json_text(value[0] if len(names) == 1 else value, indent=2))
    elif not states:
        click.echo("No files of data sets are here. See `fgbench data list`.")
    bad = 0
    for name, listed in states.items():
        problems = [item for item in listed if item["status"] in ("missing", "differs", "corrupt")]
        bad += len(problems)
        if as_json:
            continue
        if not listed:
            click.echo(f"{name}: no files to verify.")
        prefix = "" if len(names) == 1 else f"{name}/"
        for state in listed:
            line = f"{state['status']:<11} {prefix}{state['filename']}  {state['path'] or ''}"
            click.echo(line.rstrip())
        if problems:
            files = ", ".join(f"{state['filename']} ({state['status']})" for state in problems)
            click.echo(
                f"Error: dataset {name}: {files}. Run `fgbench data fetch {name}`, or point "
                "--data-dir or FGBENCH_DATA to a folder with the official files.",
                err=True,
            )
    ctx.exit(2 if bad else 0)


@data.command("show")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_dir_option
@plugin_option
def show(
    names: tuple[str, ...], as_json: bool, data_dir: str | None, plugins: tuple[str, ...]
) -> None:
    """Show the card of NAME: sources, license, citation, labels and splits; default: all cards."""
    from fgbench.cards import DataFolder

    registry = load_registry(plugins)
    cards = {name: _card(name, registry) for name in names} or dict(_cards(registry))
    if as_json:
        values = {
            name: None if card is None else card.model_dump(mode="json", exclude_none=True)
            for name, card in cards.items()
        }
        value: Any = values[names[0]] if len(names) == 1 else values
        click.echo(json_text(value, indent=2))
        return
    folder = DataFolder.from_environment(data_dir)
    for position, (name, card) in enumerate(cards.items()):
        if position:
            click.echo()
        if card is None:
            click.echo(f"{name} has no card. See `fgbench show {name}` for its parameters.")
        else:
            _print_card(card, folder)


def _availability(name: str, registry: Registry, folder: DataFolder) -> dict[str, Any]:
    """Return whether the files of a data set are here, and how to get them."""
    try:
        card = _card(name, registry)
    except FgbenchError as error:
        return {"dataset": name, "status": "broken", "hint": str(error)}
    if card is None or not (card.sources or card.hub):
        needs_file = "path" in registry.part_class("dataset", name).required_parameters()
        hint = f"{name}:path=… reads your own data" if needs_file else "no files needed"
        return {"dataset": name, "status": "own data" if needs_file else "built in", "hint": hint}
    if not card.sources:
        return {"dataset": name, "status": "hub", "hint": "downloaded when it is used first"}
    located = [folder.locate(card, key) for key in card.sources]
    paths = [found[0] for found in located if found is not None]
    if len(paths) == len(located):
        return {"dataset": name, "status": "here", "hint": str(paths[0].parent)}
    hint = f"fgbench data fetch {name}"
    if paths:
        hint += f"  ({len(located) - len(paths)} of {len(located)} files are missing)"
    return {"dataset": name, "status": "missing", "hint": hint}


def _cards(registry: Registry) -> Iterator[tuple[str, Card]]:
    """Yield the name and the card of every data set that has one; warn about broken ones."""
    for name in registry.names("dataset"):
        try:
            card = _card(name, registry)
        except FgbenchError as error:
            click.echo(f"Warning: {error}", err=True)
            continue
        if card is not None:
            yield name, card


def _states(card: Card | None, folder: DataFolder) -> list[dict[str, Any]]:
    return [] if card is None else [_state(card, key, folder) for key in card.sources]


def _card(name: str, registry: Registry) -> Card | None:
    from fgbench.plugins.references import PartReference

    loader: Any = registry.part_class("dataset", PartReference.parse(name).name)
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
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    output = console(highlight=False)
    output.print(Text.assemble((card.title, "bold"), f" ({card.name})"))
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
    output.print(Padding(facts, (1, 0, 0, 2)))

    def listing(title: str, rows: list[tuple[str, str]]) -> None:
        table = Table.grid(padding=(0, 2))
        table.add_column(overflow="fold", max_width=26)
        table.add_column(overflow="fold", style="dim")
        for left, right in rows:
            table.add_row(Text(left), Text(right))
        output.print(f"\n  [bold]{title}[/bold]")
        output.print(Padding(table, (0, 0, 0, 4)))

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
    with Bars(*columns, console=console(stderr=True), transient=True) as bars:
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
