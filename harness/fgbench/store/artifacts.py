"""Artefacts: the results of stages, each in a folder of its own named by the stage's key.

A folder holds `manifest.json` (the stage, its JSON value, the SHA-256 of each file) and the files.
It is built under a temporary name and renamed into place, so that it is there whole or not at all;
of two processes that build the same one, the first wins and both results are the same. Reading
checks every digest: a damaged artefact is removed and counts as missing, so it is made again.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fgbench.digests import digest, digest_bytes, digest_file
from fgbench.errors import StoreError
from fgbench.store.atomic import cannot_read, cannot_write, sync_file, sync_folder, write_durably

STORE_VARIABLE = "FGBENCH_STORE"
_MANIFEST = "manifest.json"
_SCHEMA = "fgbench.artifact/1"
_STALE_AFTER = 24 * 3600.0


@dataclass(frozen=True)
class Product:
    """What a stage makes: a JSON value, and files by name, "/" for subfolders.

    A file is its content, or the path of one in the stage's scratch folder, which is moved.
    """

    value: Any = None
    files: Mapping[str, bytes | Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Artifact:
    """A stored product: its key, the digest of its content, and where its files are."""

    key: str
    digest: str
    value: Any
    folder: Path
    files: tuple[str, ...]
    seconds: float

    def path(self, name: str) -> Path:
        """Return the path of one of its files."""
        if name not in self.files:
            raise StoreError(f"artefact {self.key[:12]} has no file {name!r}.")
        return self.folder / name


class Store:
    """A folder of artefacts that any number of processes may share.

    `damaged` lists the keys of artefacts that this object found not to match their digests.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.damaged: list[str] = []
        self._objects = root / "objects"
        self._building = root / "building"
        self._locks = root / "locks"
        try:
            for folder in (self._objects, self._building, self._locks):
                folder.mkdir(parents=True, exist_ok=True)
            self._remove_stale()
        except OSError as error:
            raise cannot_write(root, error) from error

    def get(self, key: str) -> Artifact | None:
        """Return the artefact of `key`, checked against its digests, or None.

        Raises `StoreError` when the system refuses to read it, which says nothing of its content.
        """
        folder = self._folder(key)
        try:
            if not folder.exists():
                return None
            # It is there, so it is whole: asking first keeps an artefact that another process
            # puts here in this very moment from being taken for one without a manifest.
            manifest = _read_manifest(folder)
            if manifest is not None and _is_intact(manifest, key, folder):
                return _artifact(manifest, folder)
            return self._discard(key)
        except OSError as error:
            raise cannot_read(folder, error) from error

    def put(self, key: str, product: Product, *, stage: str, seconds: float) -> Artifact:
        """Store a product under `key` and return it; an artefact that is there already stays.

        Raises `StoreError` when the disk refuses.
        """
        files = {name: _described(content) for name, content in product.files.items()}
        manifest = {
            "schema": _SCHEMA,
            "key": key,
            "stage": stage,
            "value": product.value,
            "files": files,
            "digest": _content_digest(product.value, files),
            "seconds": round(seconds, 6),
            "created": time.time(),
        }
        encoded = json.dumps(manifest, allow_nan=False).encode()
        final = self._folder(key)
        temporary = self._building / f"{key[:16]}-{uuid.uuid4().hex}"
        try:
            temporary.mkdir()
            try:
                for name, content in product.files.items():
                    _place(content, temporary / name)
                write_durably(temporary / _MANIFEST, encoded)
                final.parent.mkdir(exist_ok=True)
                try:
                    temporary.rename(final)
                except OSError:
                    present = self.get(key)
                    if present is not None:
                        return present
                    temporary.rename(final)
                sync_folder(final.parent)
            finally:
                if temporary.exists():
                    shutil.rmtree(temporary, ignore_errors=True)
        except OSError as error:
            raise cannot_write(final, error) from error
        return _artifact(json.loads(encoded), final)

    @contextlib.contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Hold the only right to build `key`; the system lets go of it when a process dies."""
        from filelock import FileLock

        path = self._locks / f"{key}.lock"
        try:
            lock = FileLock(path)
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
        """Give a folder for the files of a stage, on the store's disk; what is left is deleted."""
        folder = self._building / f"scratch-{uuid.uuid4().hex}"
        try:
            folder.mkdir()
        except OSError as error:
            raise cannot_write(folder, error) from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _folder(self, key: str) -> Path:
        return self._objects / key[:2] / key

    def _discard(self, key: str) -> Artifact | None:
        """Move a damaged artefact out of the way, in one step, and delete it.

        Another process may have put a sound one in its place meanwhile: that one goes back.
        """
        grave = self._building / f"damaged-{key[:16]}-{uuid.uuid4().hex}"
        folder = self._folder(key)
        try:
            folder.rename(grave)
        except FileNotFoundError:
            return None
        manifest = _read_manifest(grave)
        if manifest is not None and _is_intact(manifest, key, grave):
            with contextlib.suppress(OSError):  # a third process was faster: its copy is as good
                grave.rename(folder)
            shutil.rmtree(grave, ignore_errors=True)
            return _artifact(manifest, folder)
        self.damaged.append(key)
        shutil.rmtree(grave, ignore_errors=True)
        return None

    def _remove_stale(self) -> None:
        """Delete what killed processes left half-built, a day later."""
        for leftover in self._building.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if time.time() - leftover.stat().st_mtime > _STALE_AFTER:
                    shutil.rmtree(leftover, ignore_errors=True)


def default_store() -> Path:
    """Return the folder that FGBENCH_STORE names, else one in the user's cache."""
    named = os.environ.get(STORE_VARIABLE)
    if named:
        return Path(named).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("fgbench") / "store"


def _described(content: bytes | Path) -> dict[str, Any]:
    if isinstance(content, Path):
        return {"sha256": digest_file(content), "bytes": content.stat().st_size}
    return {"sha256": digest_bytes(content), "bytes": len(content)}


def _place(content: bytes | Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    if isinstance(content, Path):
        content.rename(target)
        sync_file(target)
    else:
        write_durably(target, content)


def _read_manifest(folder: Path) -> Any:
    """Return the manifest, or None where there is none that can be understood."""
    try:
        return json.loads((folder / _MANIFEST).read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def _artifact(manifest: Mapping[str, Any], folder: Path) -> Artifact:
    return Artifact(
        key=manifest["key"],
        digest=manifest["digest"],
        value=manifest["value"],
        folder=folder,
        files=tuple(manifest["files"]),
        seconds=manifest["seconds"],
    )


def _content_digest(value: Any, files: Mapping[str, Mapping[str, Any]]) -> str:
    return digest({"value": value, "files": {name: item["sha256"] for name, item in files.items()}})


def _is_intact(manifest: Any, key: str, folder: Path) -> bool:
    try:
        if manifest["schema"] != _SCHEMA or manifest["key"] != key:
            return False
        if manifest["digest"] != _content_digest(manifest["value"], manifest["files"]):
            return False
        if not isinstance(manifest["seconds"], int | float):
            return False
        return all(
            (folder / name).is_file() and digest_file(folder / name) == item["sha256"]
            for name, item in manifest["files"].items()
        )
    except (KeyError, TypeError, ValueError, AttributeError, FileNotFoundError):
        return False
