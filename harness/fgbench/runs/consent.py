"""Consent to what a received file would use: hosts, key variables, local paths and plugins.

Suites, boards and run folders are made to be passed around. Their parts can contact hosts, send
the keys that environment variables hold, and read local files. `accesses` lists this before any
part is created, and `Consent` decides: what options allow, and what was allowed before for a file
with the same content, needs no question.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgbench.digests import digest_file
from fgbench.errors import ConfigurationError, FgbenchError
from fgbench.leaderboard.files import BOARD_FILE, REFERENCE_FILE
from fgbench.parts import Access, DatasetLoader, Generator, host_of
from fgbench.plan.resolve import default_names
from fgbench.plugins.references import PartReference
from fgbench.plugins.registry import KINDS, LEADERBOARD
from fgbench.store.atomic import cannot_write, write_atomically

if TYPE_CHECKING:
    from fgbench.coordinates import PartRecord
    from fgbench.parts.base import Part
    from fgbench.plan.suite import Suite
    from fgbench.plugins.registry import Registry

SUITE_FILE = "suite.toml"
STATE_VARIABLE = "FGBENCH_STATE"

KIND_NAMES = {
    "host": "host",
    "variable": "environment variable",
    "path": "path",
    "plugin": "plugin",
}
"""What each kind of access is called in messages."""


@dataclass(frozen=True)
class Allow:
    """What received files may use without a question.

    `hosts` are hosts with or without a port, `variables` names of environment variables.
    `everything` allows all but variables that a part does not document as the holder of its key;
    those must be named.
    """

    hosts: Collection[str] = ()
    variables: Collection[str] = ()
    everything: bool = False

    def covers(self, access: Access) -> bool:
        """Return whether something may be used."""
        if access.kind == "host":
            hosts = {host_of(host) if "//" in host else host.lower() for host in self.hosts}
            named = bool(hosts & {access.name.lower(), _without_port(access.name.lower())})
        else:
            named = access.kind == "variable" and access.name in self.variables
        return named or (self.everything and access.documented)


@dataclass(frozen=True)
class NamedPart:
    """A part that a file names, and where."""

    place: str
    kind: str
    reference: PartReference


def parts_of_suite(
    suite: Suite, keys: Collection[str], registry: Registry, *, prefix: str = ""
) -> Iterator[NamedPart]:
    """Yield the parts of a suite that its file names, those of these `keys`.

    Includes the classifiers and generators that a data set brings along in a suite without any.
    `prefix` is added to the places.
    """
    for kind, plural in KINDS.items():
        if plural in keys:
            for position, table in enumerate(getattr(suite, plural)):
                place = f"{prefix}{plural}[{position}]"
                yield NamedPart(place, kind, PartReference.parse(table))
    for position, table in enumerate(suite.datasets if "datasets" in keys else ()):
        loader = _part_class(registry, "dataset", str(table["name"]))
        if loader is None or not issubclass(loader, DatasetLoader):
            continue
        for kind in ("classifier", "generator"):
            if not getattr(suite, KINDS[kind]):
                for name in default_names(registry, kind, loader):
                    place = f"{prefix}datasets[{position}], its default {kind}"
                    yield NamedPart(place, kind, PartReference.parse(name))


def parts_of_records(records: Mapping[str, PartRecord], place: str) -> Iterator[NamedPart]:
    """Yield parts of an entry of a board, given by their kind; `place` is that of the entry."""
    for kind, record in records.items():
        yield NamedPart(f"{place}{kind}", kind, PartReference(record.name, record.params))


def accesses(parts: Iterable[NamedPart], registry: Registry) -> list[Access]:
    """Return what parts may use, without creating them, each once with the first place.

    An unknown part uses nothing: planning refuses it.
    """
    found: dict[tuple[str, str, bool], Access] = {}
    seen: set[tuple[str, str]] = set()
    for part in parts:
        key = part.kind, repr(part.reference)
        if key not in seen:
            seen.add(key)
            for access in _accesses_of(part, registry):
                found.setdefault((access.kind, access.name, access.documented), access)
    return sorted(found.values(), key=lambda access: list(KIND_NAMES).index(access.kind))


@dataclass(frozen=True)
class Consent:
    """Decides whether a file may use what it names.

    `ask` shows a file and what it would use and returns the answer; without it, what is not
    allowed is refused. `spelled` says how to allow something, for the error. What is allowed is
    remembered in `memory` for files with the same content; without one, nothing is. `warn` is
    given the reason if that fails.
    """

    allow: Allow = field(default_factory=Allow)
    ask: Callable[[Path, list[Access]], bool] | None = None
    spelled: Callable[[Allow], str] = lambda allow: f"pass allow=fgbench.{_nonempty(allow)}"
    memory: ConsentFile | None = None
    warn: Callable[[str], None] = lambda reason: None

    def require(self, file: Path, parts: Iterable[NamedPart], registry: Registry) -> None:
        """Return if a file may use what these parts use; raise `ConfigurationError` otherwise."""
        found = accesses(parts, registry)
        if not found:
            return
        digest = digest_file(file) if file.is_file() else None  # a pipe was read already
        if digest in _bundled_digests(registry):
            return
        recorded = ConsentFile.of_user().allowed(digest)
        new = [access for access in found if (access.kind, access.name) not in recorded]
        missing = [access for access in new if not self.allow.covers(access)]
        if missing:
            if self.ask is None or not all(access.documented for access in missing):
                needed = self.spelled(_needed(new))
                raise ConfigurationError(f"{_refusal(file, missing)} {needed}.")
            if not self.ask(file, found):
                raise ConfigurationError(f"{file}: not allowed; nothing was run.")
        if new:
            self._remember(digest, file, found)

    def remember(self, file: Path, parts: Iterable[NamedPart], registry: Registry) -> None:
        """Remember that a file of the user's own may use what it names."""
        found = accesses(parts, registry)
        if found:
            self._remember(digest_file(file), file, found)

    def _remember(self, digest: str | None, file: Path, found: list[Access]) -> None:
        if self.memory is not None and digest is not None:
            try:
                self.memory.add(digest, file, {(access.kind, access.name) for access in found})
            except FgbenchError as error:
                self.warn(f"what {file} may use is not remembered: {error}")


@dataclass(frozen=True)
class ConsentFile:
    """The file that records what files may use, by the digest of their content.

    Only its owner can read it. It holds names, never the values of variables.
    """

    path: Path

    @classmethod
    def of_user(cls) -> ConsentFile:
        """Return the user's file, in FGBENCH_STATE or the folder of the system for such files."""
        folder = os.environ.get(STATE_VARIABLE)
        if folder:
            return cls(Path(folder).expanduser() / "consent.json")
        from platformdirs import user_state_path

        return cls(user_state_path("fgbench") / "consent.json")

    def allowed(self, digest: str | None) -> set[tuple[str, str]]:
        """Return what a file with this content may use: kinds and names."""
        record = {} if digest is None else self._records().get(digest, {})
        return {(kind, name) for kind, name in record.get("allowed", [])}

    def add(self, digest: str, file: Path, allowed: Collection[tuple[str, str]]) -> None:
        """Record what else a file with this content may use; this file is replaced as a whole."""
        from filelock import FileLock

        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with FileLock(self.path.with_name(f"{self.path.name}.lock"), mode=0o600):
                records = self._records()
                names = sorted(map(list, {*allowed, *self.allowed(digest)}))
                records[digest] = {"file": str(file.absolute()), "allowed": names}
                write_atomically(self.path, json.dumps(records, indent=1) + "\n")
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def _records(self) -> dict[str, Any]:
        try:
            records = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            raise self._unreadable(str(error)) from error
        if not isinstance(records, dict) or not all(map(_is_record, records.values())):
            raise self._unreadable("not written by fgbench")
        return records

    def _unreadable(self, problem: str) -> ConfigurationError:
        return ConfigurationError(
            f"{self.path}: cannot be read ({problem}). Delete it to be asked again what received "
            "files may use."
        )


def shown(name: str) -> str:
    """Return a foreign name for a line of its own: what cannot be printed is escaped."""
    return name if name.isprintable() else ascii(name)


def _refusal(file: Path, missing: list[Access]) -> str:
    uses = "; ".join(
        f"{KIND_NAMES[access.kind]} {shown(access.name)} ({shown(access.place)})"
        + ("" if access.documented else ", which the part does not document for its key")
        for access in missing
    )
    return f"{file} would use {uses}. Nothing was run. If you trust this file,"


def _accesses_of(part: NamedPart, registry: Registry, *, nested: bool = False) -> Iterator[Access]:
    implementation = _part_class(registry, part.kind, part.reference.name)
    if implementation is None:
        return
    registration = registry.find(part.kind, part.reference.name)
    if not registration.is_built_in and registration.code_digest is None:
        yield Access("plugin", registration.plugin, part.place)
    for access in implementation.accesses(part.reference.parameters):
        yield replace(access, place=f"{part.place}.{access.place}")
    if issubclass(implementation, Generator) and not nested:
        relabeler = part.reference.parameters.get("relabeler", implementation.relabeler)
        if isinstance(relabeler, str) and relabeler:
            reference = PartReference.parse(relabeler)
            inner = NamedPart(f"{part.place}.relabeler", "generator", reference)
            yield from _accesses_of(inner, registry, nested=True)


def _part_class(registry: Registry, kind: str, name: str) -> type[Part] | None:
    try:
        return registry.part_class(kind, name)
    except FgbenchError:
        return None  # planning creates it in the same way, and refuses it with this error


def _bundled_digests(registry: Registry) -> set[str]:
    """Return the digests of the boards and suites that come with fgbench and plugins."""
    files = (
        Path(board.target) / name
        for board in registry.registrations(LEADERBOARD)
        for name in (BOARD_FILE, REFERENCE_FILE, SUITE_FILE)
    )
    return {digest_file(file) for file in files if file.is_file()}


def _needed(missing: Iterable[Access]) -> Allow:
    """Return what allows just this."""
    hosts = [access.name for access in missing if access.kind == "host"]
    variables = [access.name for access in missing if access.kind == "variable"]
    if any(access.kind in ("path", "plugin") for access in missing):  # these have no own option
        variables = [access.name for access in missing if not access.documented]
        return Allow(variables=variables, everything=True)
    return Allow(hosts, variables)


def _nonempty(allow: Allow) -> str:
    """Return the expression that creates it, without the defaults."""
    given = {name: value for name, value in vars(allow).items() if value}
    return f"Allow({', '.join(f'{name}={value!a}' for name, value in given.items())})"


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() and not name.endswith(":") else host


def _is_record(record: Any) -> bool:
    return isinstance(record, dict) and all(
        isinstance(item, list) and len(item) == 2 and all(isinstance(text, str) for text in item)
        for item in record.get("allowed", [])
    )
