"""`fgbench store`: what stored stages take on disk, how to free it, and whether it is intact."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fgbench.cli.console import json_text
from fgbench.cli.options import store_option

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fgbench.store.pruning import StoredArtifact

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_SIZES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


class Duration(click.ParamType[float]):
    """A duration such as 30d, 12h or 90m, converted to seconds."""

    name = "duration"

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the duration in seconds."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", value.strip())
        if match is None:
            self.fail(f"{value!r} is not a duration: write 30d, 12h or 90m.", param, ctx)
        return float(match[1]) * _UNITS[match[2]]


class Size(click.ParamType[int]):
    """A size such as 500MB or 10GB, converted to bytes."""

    name = "size"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the size in bytes."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)b?", value.strip().lower())
        if match is None:
            self.fail(f"{value!r} is not a size: write 500MB or 10GB.", param, ctx)
        size = float(match[1]) * _SIZES[match[2]]
        return int(min(size, sys.maxsize))


@click.group("store")
def store() -> None:
    """Show how much disk the stored stages take, free it, and check what is stored.

    Stored stages let an interrupted or extended run resume. Runs keep their results without them;
    `fgbench predict` needs the stored models.
    """


@store.command("info")
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(store: str | None, as_json: bool) -> None:
    """Show the number and size of stored artifacts, by stage."""
    from fgbench.store import default_store, existing_store
    from fgbench.store.pruning import artifacts

    opened = existing_store(Path(store) if store else default_store())
    stages: dict[str, list[StoredArtifact]] = {}
    for item in artifacts(opened):
        stages.setdefault(item.stage, []).append(item)
    leased = opened.oldest_lease() is not None
    if as_json:
        value = {
            "folder": str(opened.root),
            "run_in_progress": leased,
            "stages": {
                stage: {"artifacts": len(items), "bytes": _bytes(items)}
                for stage, items in sorted(stages.items())
            },
        }
        click.echo(json_text(value, indent=2))
        return
    everything = [item for items in stages.values() for item in items]
    click.echo(f"{opened.root}: {_count(everything)}, {_size(_bytes(everything))}")
    for stage, items in sorted(stages.items(), key=lambda pair: -_bytes(pair[1])):
        last = time.strftime("%Y-%m-%d", time.localtime(max(item.used for item in items)))
        size = _size(_bytes(items))
        click.echo(f"  {stage:<12} {len(items):>7,}  {size:>10}  last used {last}")
    if leased:
        click.echo("A run is in progress; what it uses is not pruned.")


@store.command("prune")
@store_option
@click.option(
    "--unused-for",
    type=Duration(),
    metavar="TIME",
    help="Remove what no run has used for TIME, such as 30d or 12h.",
)
@click.option(
    "--max-size",
    type=Size(),
    metavar="SIZE",
    help="Remove the least recently used until the store is at most SIZE, such as 10GB.",
)
@click.option(
    "--run",
    "runs",
    multiple=True,
    metavar="DIR",
    help="Consider only what the run in this folder used (repeatable).",
)
@click.option("--dry-run", is_flag=True, help="Show what would be removed; remove nothing.")
def prune(
    store: str | None,
    unused_for: float | None,
    max_size: int | None,
    runs: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Remove stored artifacts by age, by size, or by run.

    What a run in progress needs is never removed. Answers of language models are stored separately
    and are kept (`fgbench cache`). A removed stage is computed again when a run needs it.
    """
    if unused_for is None and max_size is None and not runs:
        raise click.UsageError("name what to remove: --unused-for, --max-size or --run.")
    from fgbench.runs.keys import keys_of_run
    from fgbench.store import default_store, existing_store
    from fgbench.store.pruning import prune as remove

    keys = {key for run in runs for key in keys_of_run(Path(run))} if runs else None
    pruning = remove(
        existing_store(Path(store) if store else default_store()),
        unused_since=None if unused_for is None else time.time() - unused_for,
        max_bytes=max_size,
        keys=keys,
        dry_run=dry_run,
    )
    verb = "Would remove" if dry_run else "Removed"
    click.echo(
        f"{verb} {_count(pruning.removed)} ({_size(_bytes(pruning.removed))}); "
        f"{_count(pruning.kept)} ({_size(_bytes(pruning.kept))}) remain."
    )
    if pruning.in_use:
        click.echo(f"Skipped {_count(pruning.in_use)} in use by a run in progress.")


@store.command("check")
@store_option
def check(store: str | None) -> int:
    """Read every stored artifact and answer, and report what is damaged.

    Exit code 1 if anything is. Nothing is changed.
    """
    from fgbench.store import default_store, existing_store
    from fgbench.store.checking import check as checked

    opened = existing_store(Path(store) if store else default_store())
    if os.name == "posix" and opened.root.stat().st_mode & 0o077:
        click.echo(
            f"Warning: others can open {opened.root}, which an earlier version created; run chmod "
            "-R go= on it unless you share it.",
            err=True,
        )
    n_artifacts = size = n_damaged = 0
    for artifact in checked(opened):
        n_artifacts += 1
        size += artifact.size
        n_damaged += bool(artifact.problems)
        for problem in artifact.problems:
            click.echo(f"artifact {artifact.folder.name}: {problem}")
    if n_damaged:
        click.echo(
            f"Delete the folders of these artifacts in {opened.objects}, or rerun what uses them: "
            "a damaged artifact is computed again."
        )
    n_answers, problems = _check_answers(opened.root)
    for problem in problems:
        click.echo(problem)
    if problems:
        click.echo(
            "Save the intact answers with `fgbench cache export --skip-corrupt FILE`, move the "
            "file of answers aside, and import FILE."
        )
    found = n_damaged + len(problems)
    damage = f"{found:,} damaged" if found else "no damage"
    click.echo(
        f"Checked {_count(range(n_artifacts))} ({_size(size)}) and {n_answers:,} "
        f"answer{'' if n_answers == 1 else 's'}: {damage}."
    )
    return 1 if found else 0


def _check_answers(root: Path) -> tuple[int, list[str]]:
    """Return the number of stored answers, and what is damaged, with the file."""
    from contextlib import closing

    from fgbench.errors import StoreError
    from fgbench.llm.answers import ANSWERS_FILE, AnswerStore

    file = root / ANSWERS_FILE
    if not file.exists():
        return 0, []
    count, problems = 0, []
    with closing(AnswerStore(file, read_only=True)) as answers:
        try:
            count = len(answers)
            problems += [f"{file}: {problem}" for problem in answers.check()]
        except StoreError as error:  # so damaged that SQLite cannot go on
            problems.append(str(error))
    return count, problems


def _bytes(items: Iterable[StoredArtifact]) -> int:
    return sum(item.size for item in items)


def _count(items: Iterable[object]) -> str:
    number = sum(1 for _ in items)
    return f"{number:,} artifact{'' if number == 1 else 's'}"


def _size(number: int) -> str:
    from rich.filesize import decimal

    return decimal(number)
