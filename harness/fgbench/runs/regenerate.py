"""Reproduce the entries of a board, and report differences with their possible causes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgbench.coordinates import AXES, TREATMENT
from fgbench.differences.compare import BoardComparison, compare_boards
from fgbench.differences.drift import drifts
from fgbench.digests import canonical_json, digest
from fgbench.errors import ConfigurationError, LeaderboardError
from fgbench.leaderboard.build import assemble
from fgbench.leaderboard.files import PredictionsFolder, board_file, read_board
from fgbench.leaderboard.recompute import Recomputed
from fgbench.leaderboard.verify import id_problems
from fgbench.loop.arms import DESIGNS
from fgbench.plan.plan import Plan, make_plan
from fgbench.plan.suite import Suite
from fgbench.runs.consent import SUITE_FILE, Consent, parts_of_suite
from fgbench.runs.session import FailedCell, run_plan
from fgbench.store import Store, open_store

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from fgbench.cards import DataFolder
    from fgbench.engine.events import Listener
    from fgbench.leaderboard.models import Entry, Leaderboard
    from fgbench.plugins.registry import Registry
    from fgbench.runs.execution import Execution


@dataclass
class Regeneration:
    """The outcome of reproducing entries."""

    comparison: BoardComparison
    folders: list[Path]
    failures: list[FailedCell] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every entry was reproduced, on the same data, with nothing beyond noise."""
        return not (
            self.failures
            or self.comparison.vanished
            or self.comparison.refused
            or any(drift.beyond_noise for drift in drifts(self.comparison))
        )


def regenerate(
    path: Path,
    registry: Registry,
    data: DataFolder,
    *,
    out: Path,
    execution: Execution,
    consent: Consent,
    entry_prefixes: Sequence[str] = (),
    store: Store | None = None,
    observe: Callable[[Plan, Store, str], AbstractContextManager[Listener]],
) -> Regeneration:
    """Run what produced the entries of a board again, and compare.

    `entry_prefixes` select entries by the beginnings of their ids. Without them, the suite is the
    `suite.toml` next to the board, if there is one; else it is derived from the entries'
    coordinates. By default nothing that earlier runs stored is reused: the store is a folder in
    `out`, from which an interrupted regeneration resumes, and which is deleted at the end. The caps
    of `execution` hold for all suites together. `observe` returns what watches a run, given its
    plan, store and account. `consent` decides whether the board, or its suite, may use what it
    names; it is asked before a part is created, and after the ids of the entries are checked.
    """
    board = read_board(path)
    for entry in board.entries:
        for problem in id_problems(entry):
            raise LeaderboardError(f"{path}: entry {entry.id} ({entry.label}): {problem}")
    folder = path if path.is_dir() else path.parent
    selected = _selected(board, entry_prefixes)
    if not selected:
        raise ConfigurationError(f"{path}: the board has no entries, so there is nothing to rerun.")
    source, suites = _suites(board_file(path), selected, whole=not entry_prefixes)
    named = (
        part
        for place, suite in suites
        for part in parts_of_suite(suite, suite.model_fields_set, registry, prefix=place)
    )
    consent.require(source, named, registry)
    plans = [make_plan(suite, registry, data) for _, suite in suites]
    account = f"regenerate-{digest([plan.run_id for plan in plans])[:10]}"
    own_store = out / f".{account}"
    chosen = store or open_store(own_store)
    execution = replace(execution, account=account)
    boards, folders, failures = [], [], []
    for plan in plans:
        with observe(plan, chosen, account) as observer:
            outcome = run_plan(
                plan,
                registry,
                out=out,
                store=chosen,
                execution=execution,
                observers=[observer],
            )
        boards.append(outcome.leaderboard)
        folders.append(outcome.folder)
        failures += outcome.failures
    if store is None and not failures:
        shutil.rmtree(own_store)
    old = board.model_copy(update={"entries": selected, "checksum": None})
    reproduced = assemble(
        board.name,
        boards[0].created,
        _distinct(boards),
        lambda entry: None,
        board.primary,
        board.shown,
    )
    comparison = compare_boards(
        old, reproduced, (Recomputed(registry, folder), _OfRuns(registry, boards, folders))
    )
    return Regeneration(comparison, folders, failures)


def suite_of(entries: Sequence[Entry]) -> Suite:
    """Return the suite that makes these entries: of one setting, and every arm × calibrator.

    Raises `ConfigurationError` for entries that no suite can describe.
    """
    first = entries[0]
    values: dict[str, Any] = {
        "name": f"{first.dataset.name}-again".replace("/", "-"),
        "metrics": sorted({name for e in entries for name in {**e.metrics, **e.undefined}}),
        "replicates": first.statistics.replicates,
        **{axis.suite: _values(entries, name) for name, axis in AXES.items()},
        **first.settings,
    }
    if first.arm in DESIGNS:
        chosen = {name: getattr(first, name) for name in ("threshold", "selector", "alpha")}
        values |= {key: value for key, value in chosen.items() if value is not None}
    values = {key: value for key, value in values.items() if value != []}
    return Suite.build(values, where=f"entry {first.id} ({first.label})")


def _selected(board: Leaderboard, entry_prefixes: Sequence[str]) -> list[Entry]:
    if not entry_prefixes:
        return list(board.entries)
    selected: dict[str, Entry] = {}
    for prefix in entry_prefixes:
        matches = [entry for entry in board.entries if entry.id.startswith(prefix)]
        if len(matches) != 1:
            problem = "matches several entries" if matches else "matches no entry"
            raise ConfigurationError(
                f"--entry {prefix}: {problem} of the board {board.name!r}. `fgbench leaderboard "
                "show FILE --json` lists all ids."
            )
        selected[matches[0].id] = matches[0]
    return list(selected.values())


def _suites(
    board: Path, entries: Sequence[Entry], *, whole: bool
) -> tuple[Path, list[tuple[str, Suite]]]:
    """Return the file that names what is run, and its suites, each with its place in the file."""
    frozen = board.parent / SUITE_FILE
    if whole and frozen.is_file():
        return frozen, [("", Suite.build(Suite.read(frozen), where=f"suite {frozen}"))]
    for entry in entries:
        if entry.published is not None:
            raise ConfigurationError(
                f"entry {entry.id} ({entry.label}): it is a published figure, and says not all "
                f"that a run needs; a whole board with a {SUITE_FILE} next to it can be rerun."
            )
    groups = _of_one_setting(entries)
    return board, [(f"entry {group[0].id}, ", suite_of(group)) for group in groups]


def _of_one_setting(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Return the entries in groups that one suite each makes, and no other entry with them."""
    settings: dict[str, dict[str, list[Entry]]] = {}
    for entry in entries:
        metrics = sorted({**entry.metrics, **entry.undefined})
        statistics = entry.statistics.model_dump_json()
        value = [entry.without(*TREATMENT, "published"), statistics, metrics]
        settings.setdefault(canonical_json(value), {}).setdefault(entry.arm, []).append(entry)
    groups: list[list[Entry]] = []
    for arms in settings.values():
        by_calibrators: dict[str, list[Entry]] = {}
        for members in arms.values():
            key = canonical_json(sorted(entry.calibrator.label for entry in members))
            by_calibrators.setdefault(key, []).extend(members)
        groups += by_calibrators.values()
    return groups


def _values(entries: Sequence[Entry], name: str) -> Any:
    """Return the value or the values that entries have on an axis, as a suite has them."""
    if not AXES[name].spans:
        return getattr(entries[0], name)
    if name == "seeds":
        return sorted(entries[0].seeds)
    values = [getattr(entry, name) for entry in entries if getattr(entry, name) is not None]
    if not AXES[name].is_part:
        return sorted(set(values))
    tables = [{"name": part.name, **part.params} for part in values]
    return list({canonical_json(table): table for table in tables}.values())


def _distinct(boards: Sequence[Leaderboard]) -> list[Entry]:
    return list({entry.id: entry for board in boards for entry in board.entries}.values())


class _OfRuns(Recomputed):
    """The evaluations of entries whose predictions lie in the folders of several runs."""

    def __init__(
        self, registry: Registry, boards: Sequence[Leaderboard], folders: Sequence[Path]
    ) -> None:
        super().__init__(registry, folders[0])
        self._folders = {
            entry.id: PredictionsFolder(folder)
            for board, folder in zip(boards, folders, strict=True)
            for entry in board.entries
        }

    def evaluations(self, entry: Entry) -> Any:
        """Return one evaluation a seed, from the folder of the entry's run."""
        self._folder = self._folders[entry.id]
        return super().evaluations(entry)
