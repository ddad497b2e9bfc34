"""The files of a data set: a local folder, the cache of the Hugging Face hub, or the hub.

The hub is contacted only for data sets that are neither a folder nor cached completely, and never
if HF_HUB_OFFLINE is set. The result is always a folder.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from fgbench import ConfigurationError, DataError

_README = "README.md"
_ENDINGS = (".parquet", ".csv", ".tsv", ".json", ".jsonl", ".arrow", ".csv.gz", ".jsonl.gz")
_SHARD = re.compile(r"(.*-)\d{5}(-of-(\d{5}).*)")


@dataclass(frozen=True)
class HubFiles:
    """The folder of a data set; `revision` is its commit, None for a local folder."""

    folder: Path
    revision: str | None


def is_local(path: str) -> bool:
    """Return whether a path is a local folder, and not a data set of the hub."""
    return Path(path).expanduser().is_dir()


def find_files(path: str, config: str | None, revision: str) -> HubFiles:
    """Return the folder and the commit of a data set, downloading it if necessary.

    Raises `ConfigurationError` with the fix if it is unavailable.
    """
    if is_local(path):
        return HubFiles(Path(path).expanduser(), None)
    if Path(path).expanduser().is_file():
        raise ConfigurationError(
            f"data set {path!r} is a file: name its folder, or use the data set csv or jsonl."
        )
    if Path(path).is_absolute() or path.startswith((".", "~")) or path.count("/") > 1:
        raise ConfigurationError(f"data set {path!r}: no such folder.")
    folder = _snapshot(path, config, revision)
    return HubFiles(folder, folder.name)


def _snapshot(path: str, config: str | None, revision: str) -> Path:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    def fetch(patterns: list[str], *, local_only: bool) -> Path:
        return Path(
            snapshot_download(
                path,
                repo_type="dataset",
                revision=revision,
                allow_patterns=patterns,
                local_files_only=local_only,
            )
        )

    try:
        cached = fetch([_README], local_only=True)
        if _is_complete(cached, config):
            return cached
    except LocalEntryNotFoundError:
        pass
    except HFValidationError:
        raise ConfigurationError(
            f"data set {path!r} is neither a folder nor a hub id, such as fancyzhx/ag_news."
        ) from None
    if constants.is_offline_mode():
        raise _unavailable(
            path, "not in the cache of the hub, and HF_HUB_OFFLINE forbids downloading it"
        )
    try:
        folder = fetch([_README], local_only=False)
        return fetch([_README, *_patterns(folder, config)], local_only=False)
    except GatedRepoError as error:
        raise ConfigurationError(
            f"data set {path!r} is gated: accept its terms on its page, then log in with "
            "`hf auth login` or set HF_TOKEN."
        ) from error
    except RepositoryNotFoundError as error:
        reason = "the hub has no such public data set, or HF_TOKEN has no access to it"
        raise _unavailable(path, reason) from error
    except RevisionNotFoundError as error:
        reason = f"the hub has no revision {revision!r} of this data set"
        raise _unavailable(path, reason) from error
    except Exception as error:  # network, proxy or disk: each library has its own exceptions
        message = str(error).strip().partition("\n")[0]
        reason = f"not cached, and the download failed ({type(error).__name__}: {message})"
        raise _unavailable(path, reason) from error


def _unavailable(path: str, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"data set {path!r}: {reason}. Run `hf download {path} --repo-type dataset` on a machine "
        "with network access, or use a local folder: hf:FOLDER."
    )


def _is_complete(folder: Path, config: str | None) -> bool:
    """Return whether a cached folder has files for each pattern of the configuration, all shards.

    A snapshot may be partial, because others download single files of it.
    """
    names = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
    return all(
        any(fnmatch(name, pattern) for name in names) for pattern in _declared(folder, config)
    ) and _has_all_shards([name for name in names if name.endswith(_ENDINGS)])


def _has_all_shards(names: list[str]) -> bool:
    shards: dict[tuple[str, str], int] = defaultdict(int)
    for name in names:
        if match := _SHARD.fullmatch(name):
            shards[match[1], match[2]] += 1
    return bool(names) and all(count == int(ending[4:9]) for (_, ending), count in shards.items())


def _patterns(folder: Path, config: str | None) -> list[str]:
    """Return patterns of the files to download: those of the configuration, or all of data."""
    return _declared(folder, config) or [f"*{ending}" for ending in _ENDINGS]


def _declared(folder: Path, config: str | None) -> list[str]:
    """Return the patterns that the data set's README declares for a configuration."""
    readme = folder / _README
    if not readme.is_file():
        return []
    from huggingface_hub import metadata_load

    try:
        metadata: Any = metadata_load(readme) or {}
    except ValueError as error:
        raise DataError(f"{readme}: the metadata is not valid YAML ({error}).") from error
    listed = metadata.get("configs") if isinstance(metadata, dict) else None
    configs = [item for item in listed if isinstance(item, dict)] if listed else []
    return [
        pattern for item in _chosen(configs, config) for pattern in _paths(item.get("data_files"))
    ]


def _chosen(configs: list[dict[str, Any]], config: str | None) -> list[dict[str, Any]]:
    """Return the configuration of that name, or the default one; all if none is the default."""
    if config is not None:
        return [item for item in configs if item.get("config_name") == config]
    default = [
        item for item in configs if item.get("default") or item.get("config_name") == "default"
    ]
    return default or configs


def _paths(data_files: Any) -> Iterable[str]:
    if isinstance(data_files, str):
        yield data_files
    elif isinstance(data_files, list):
        for item in data_files:
            yield from _paths(item)
    elif isinstance(data_files, dict):
        yield from _paths(data_files.get("path"))
