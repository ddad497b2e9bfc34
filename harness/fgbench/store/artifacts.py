"""Artifacts: the products of stages, each in a folder of its own named by the stage's key.

A folder holds `manifest.json` (the stage, its JSON value, the SHA-256 of each file) and the files.
It is built under a temporary name and renamed into place, so it is either whole or absent; when two
processes build the same artifact, the first one wins and both results are equal.

Finding an artifact reads its manifest and hashes nothing. Its value and its files are verified when
they are used, once per process: a corrupt artifact is removed, which makes it missing.

Keys and file names may come from files that somebody else wrote. A key has 64 hexadecimal digits;
the file of an artifact is a regular file in the artifact's folder or in a subfolder of it. Folders
and files of a store are readable by their owner only.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import stat
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from fgbench.digests import digest, digest_bytes, digest_file, is_digest
from fgbench.errors import CorruptArtifactError, PluginError, StoreError
from fgbench.store.atomic import (
    cannot_read,
    cannot_write,
    remove_leftovers,
    sync_file,
    sync_folder,
    write_durably,
)
from fgbench.store.claims import (
    PRIVATE_FILE,
    PRIVATE_FOLDER,
    claimed,
    claimed_folder,
    remove_abandoned,
    remove_abandoned_folders,
)

STORE_VARIABLE = "FGBENCH_STORE"
MANIFEST = "manifest.json"
_SCHEMA = "fgbench.artifact/1"
_WORK = "work-"
"""Begins the names of claimed folders; those of earlier versions have no lock, and so no proof."""


@dataclass(frozen=True)
class Product:
    """What a stage makes: a JSON value, and files by name: `name`, or `folder/name`.

    A file is its content, or the path of one in the stage's scratch folder, which is moved.
    """

    value: Any = None
    files: Mapping[str, bytes | Path] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Artifact:
    """A stored product.

    `digest` identifies its content; `seconds` is what the stage took. `value` and `open` verify
    what they return: they raise `CorruptArtifactError` after removing a corrupt artifact.
    """

    key: str
    digest: str
    seconds: float
    files: Mapping[str, str]
    """The SHA-256 of each file by name."""
    _value: Any
    _store: Store

    @cached_property
    def value(self) -> Any:
        """The JSON value of the product."""
        if not _has_digest(self.digest, self._value, self.files):
            raise self._store.discard(self)
        return self._value

    def open(self, name: str) -> Path:
        """Return the path of one of its files, verified."""
        if name not in self.files:
            raise StoreError(f"artifact {self.key[:12]} has no file {name!r}.")
        path = self._store.folder(self.key) / name
        if not self._store.is_intact(path, self.files[name]):
            raise self._store.discard(self)
        return path

    def open_folder(self, name: str) -> Path:
        """Return the path of a subfolder, every file in it verified."""
        files = [file for file in self.files if file.startswith(f"{name}/")]
        if not files:
            raise StoreError(f"artifact {self.key[:12]} has no folder {name!r}.")
        for file in files:
            self.open(file)
        return self._store.folder(self.key) / name


@dataclass(frozen=True)
class Manifest:
    """The content of an artifact's `manifest.json`."""

    stage: str
    digest: str
    seconds: float
    value: Any
    files: Mapping[str, tuple[str, int]]
    """The SHA-256 and the size in bytes of each file by name."""

    @classmethod
    def read(cls, folder: Path, key: str) -> Manifest:
        """Read the manifest in the folder of an artifact.

        Raises `ValueError` with the reason if it is missing or malformed, `OSError` if the system
        refuses to read it.
        """
        path = folder / MANIFEST
        try:
            if not (stat.S_ISDIR(folder.lstat().st_mode) and stat.S_ISREG(path.lstat().st_mode)):
                raise ValueError("not a regular file")
            content = json.loads(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise ValueError("missing") from None
        except RecursionError:
            raise ValueError("nested too deeply") from None
        try:
            if content["schema"] != _SCHEMA or content["key"] != key:
                raise ValueError("of another artifact or another format")
            seconds = float(content["seconds"] + 0.0)
            if not math.isfinite(seconds) or seconds < 0:
                raise ValueError("an impossible duration")
            files = {
                name: (str(item["sha256"]), int(item["bytes"]))
                for name, item in content["files"].items()
            }
            if not all(map(is_file_name, files)):
                raise ValueError("the name of a file leads out of the artifact")
            return cls(
                str(content["stage"]), str(content["digest"]), seconds, content["value"], files
            )
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"malformed ({error})") from None

    @property
    def is_intact(self) -> bool:
        """Whether the digest is that of the value and of the digests of the files."""
        return _has_digest(self.digest, self.value, self.digests)

    @property
    def digests(self) -> dict[str, str]:
        """The SHA-256 of each file by name."""
        return {name: sha256 for name, (sha256, _) in self.files.items()}


class Store:
    """A folder of artifacts that any number of processes may share.

    `corrupt` lists the keys of artifacts that this object removed because they did not match their
    digests.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.corrupt: list[str] = []
        self.objects = root / "objects"
        self._building = root / "building"
        self._locks = root / "locks"
        self._leases = root / "leases"
        self._verified: dict[tuple[int, int, int, int], str] = {}
        """SHA-256 of the files read so far, by device, inode, mtime (ns) and size."""
        self.create_folders()
        self.remove_leftovers()

    def create_folders(self) -> None:
        """Create the folders of the store unless they exist."""
        try:
            self.root.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
            for folder in (self.objects, self._building, self._locks, self._leases):
                folder.mkdir(PRIVATE_FOLDER, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.root, error) from error

    def remove_leftovers(self) -> int:
        """Remove what killed processes left half-built or locked; return the number removed."""
        folders = remove_abandoned_folders(self._building.glob(f"{_WORK}*"))
        locks = (path for parent in (self._locks, self._leases) for path in parent.glob("*.lock"))
        return len(folders) + len(remove_abandoned(locks)) + len(remove_leftovers(self.root))

    def find(self, key: str, *, mark: bool = True) -> Artifact | None:
        """Return the artifact of `key`, or None; its manifest is read, nothing is hashed.

        With `mark`, the artifact counts as used now.

        An artifact with an unreadable manifest, or with a missing or truncated file, is removed.
        Raises `StoreError` for anything but a key, and when the system refuses to read the
        artifact, which says nothing of its content.
        """
        folder = self.folder(key)
        try:
            # Checked first, so that an artifact that another process moves here at this very
            # moment is not mistaken for one without a manifest.
            if not folder.exists() and not folder.is_symlink():
                return None
            artifact = self._read(key, folder)
            if artifact is not None:
                if mark:  # for `prune`; a read-only store has no pruning
                    with contextlib.suppress(OSError):
                        os.utime(folder / MANIFEST)
                return artifact
            self._remove(key, folder)
            return None
        except OSError as error:
            raise cannot_read(folder, error) from error

    def put(self, key: str, product: Product, *, stage: str, seconds: float) -> Artifact:
        """Store a product under `key` and return it; an existing artifact stays.

        Raises `StoreError` for anything but a key and when the disk refuses, `PluginError` for a
        file that cannot be part of an artifact.
        """
        final = self.folder(key)
        _require_files(product.files)
        files = {name: _described(content) for name, content in product.files.items()}
        digests = {name: item["sha256"] for name, item in files.items()}
        manifest = {
            "schema": _SCHEMA,
            "key": key,
            "stage": stage,
            "value": product.value,
            "files": files,
            "digest": _content_digest(product.value, digests),
            "seconds": round(seconds, 6),
            "created": time.time(),
        }
        encoded = json.dumps(manifest, allow_nan=False).encode()
        try:
            with self.scratch() as temporary:
                for name, content in product.files.items():
                    _place(content, temporary / name)
                write_durably(temporary / MANIFEST, encoded)
                final.parent.mkdir(PRIVATE_FOLDER, exist_ok=True)
                try:
                    temporary.rename(final)
                except OSError:
                    existing = self.find(key)
                    if existing is not None:
                        return existing
                    temporary.rename(final)
            sync_folder(final.parent)
            for name, sha256 in digests.items():
                self._verified[_identity(final / name)] = sha256
        except OSError as error:
            raise cannot_write(final, error) from error
        return Artifact(
            key,
            manifest["digest"],
            manifest["seconds"],
            digests,
            json.loads(encoded)["value"],
            self,
        )

    @contextlib.contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Hold the exclusive right to build `key`; the system releases it when a process dies."""
        from filelock import FileLock

        path = self._locks / f"{_checked(key)}.lock"
        try:
            lock = FileLock(path, mode=PRIVATE_FILE)
            lock.acquire()
        except OSError as error:
            raise cannot_write(path, error) from error
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                path.unlink()
            lock.release()

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield a folder for the files of a stage, on the store's disk.

        It is deleted at the end, or by the next process if this one is killed.
        """
        folder = self._building / f"{_WORK}{uuid.uuid4().hex}"
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(claimed_folder(folder))
            except OSError as error:
                raise cannot_write(folder, error) from error
            yield folder

    @contextlib.contextmanager
    def lease(self, name: str) -> Iterator[None]:
        """Protect whatever is used from now on from pruning, until the block ends.

        The system ends the lease of a process that dies.
        """
        path = self._leases / f"{time.time_ns()}-{name}-{uuid.uuid4().hex}.lock"
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(claimed(path))
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EROFS):  # nothing can be pruned there
                    raise cannot_write(path, error) from error
            yield

    def oldest_lease(self) -> float | None:
        """Return when the oldest lease in force began, seconds since the epoch; None without one.

        A second is subtracted, because file times are coarser than the clock. Leases of processes
        that died are removed.
        """
        remove_abandoned(self._leases.glob("*.lock"))
        begins = [int(path.name.partition("-")[0]) / 1e9 for path in self._leases.glob("*-*.lock")]
        return min(begins) - 1 if begins else None

    def folder(self, key: str) -> Path:
        """Return the folder of the artifact of `key`, whether or not it exists.

        Raises `StoreError` for anything but a key.
        """
        return self.objects / _checked(key)[:2] / key

    def is_intact(self, path: Path, sha256: str) -> bool:
        """Return whether a file has a digest; an unchanged file is read once per process."""
        try:
            if _regular_size(path, in_subfolder=True) is None:
                return False
            identity = _identity(path)
            if identity not in self._verified:
                self._verified[identity] = digest_file(path)
            return self._verified[identity] == sha256
        except FileNotFoundError:
            return False
        except OSError as error:
            raise cannot_read(path, error) from error

    def discard(self, artifact: Artifact) -> CorruptArtifactError:
        """Remove a corrupt artifact and return the error to raise."""
        folder = self.folder(artifact.key)
        try:
            self._remove(artifact.key, folder)
        except OSError as error:
            raise cannot_write(folder, error) from error
        return CorruptArtifactError(
            f"artifact {artifact.key[:12]} is corrupt and was removed; rerun to rebuild it.",
            artifact.key,
        )

    def _read(self, key: str, folder: Path) -> Artifact | None:
        """Return the artifact in a folder, None where it is incomplete; hashes nothing."""
        try:
            manifest = Manifest.read(folder, key)
        except ValueError:
            return None
        for name, (_, size) in manifest.files.items():
            if _regular_size(folder / name, in_subfolder="/" in name) != size:
                return None
        return Artifact(
            key, manifest.digest, manifest.seconds, manifest.digests, manifest.value, self
        )

    def _remove(self, key: str, folder: Path) -> None:
        """Move a corrupt artifact out of the way, in one step, and delete it.

        Another process may have replaced it by an intact one meanwhile: that one is moved back.
        """
        with self.scratch() as scratch:
            grave = scratch / "corrupt"
            try:
                folder.rename(grave)
            except FileNotFoundError:
                return
            artifact = self._read(key, grave)
            if artifact is not None and self._is_whole(artifact, grave):
                with contextlib.suppress(OSError):  # a third process was faster; both are equal
                    grave.rename(folder)
            else:
                self.corrupt.append(key)

    def _is_whole(self, artifact: Artifact, folder: Path) -> bool:
        return _has_digest(artifact.digest, artifact._value, artifact.files) and all(
            digest_file(folder / name) == sha256 for name, sha256 in artifact.files.items()
        )


def existing_store(root: Path) -> Store:
    """Return the store in a folder; raises `StoreError` where there is none."""
    if not (root / "objects").is_dir():
        raise StoreError(f"{root}: not a store of fgbench.")
    return open_store(root)


def open_store(root: Path) -> Store:
    """Return the store in a folder: one object per process, so each file is verified once."""
    store = _store(root.absolute())
    store.create_folders()  # somebody may have deleted them since
    return store


@lru_cache(maxsize=8)
def _store(root: Path) -> Store:
    return Store(root)


def default_store() -> Path:
    """Return the folder that FGBENCH_STORE names, else one in the user's cache."""
    named = os.environ.get(STORE_VARIABLE)
    if named:
        return Path(named).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("fgbench") / "store"


def _identity(path: Path) -> tuple[int, int, int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _described(content: bytes | Path) -> dict[str, Any]:
    if isinstance(content, Path):
        return {"sha256": digest_file(content), "bytes": content.stat().st_size}
    return {"sha256": digest_bytes(content), "bytes": len(content)}


def _place(content: bytes | Path, target: Path) -> None:
    target.parent.mkdir(PRIVATE_FOLDER, exist_ok=True)
    if isinstance(content, Path):
        content.chmod(PRIVATE_FILE)
        content.rename(target)
        sync_file(target)
    else:
        write_durably(target, content)


def is_file_name(name: str) -> bool:
    """Return whether a file of an artifact may have this name: `name`, or `folder/name`."""
    parts = name.split("/")
    return (
        len(parts) <= 2
        and name != MANIFEST
        and not any(part in ("", ".", "..") for part in parts)
        and not any(character in name for character in "\\\0")
    )


def _require_files(files: Mapping[str, bytes | Path]) -> None:
    for name, content in files.items():
        if not is_file_name(name):
            raise PluginError(f"{name!r} cannot be the name of a file of an artifact.")
        if isinstance(content, Path) and (content.is_symlink() or not content.is_file()):
            raise PluginError(f"{content}: not a regular file, so it cannot be stored.")


def _checked(key: str) -> str:
    """Return a key; raise `StoreError` for anything else."""
    if not is_digest(key):
        shown = repr(key)
        raise StoreError(
            f"{shown if len(shown) <= 80 else shown[:77] + '...'} is not the key of an artifact "
            "(64 hexadecimal digits)."
        )
    return key


def _regular_size(path: Path, *, in_subfolder: bool) -> int | None:
    """Return the size of an artifact's file; None unless it is a regular file, not behind a link.

    The folder of the artifact itself is checked where its manifest is read.
    """
    try:
        status = path.lstat()
        is_file = stat.S_ISREG(status.st_mode)
        if in_subfolder:
            is_file &= stat.S_ISDIR(path.parent.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_size if is_file else None


def _content_digest(value: Any, files: Mapping[str, str]) -> str:
    return digest({"value": value, "files": dict(files)})


def _has_digest(expected: str, value: Any, files: Mapping[str, str]) -> bool:
    try:
        return expected == _content_digest(value, files)
    except (ValueError, TypeError, RecursionError):  # NaN, or nested too deeply: never stored
        return False
