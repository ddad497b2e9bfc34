"""Locate a pretrained model: a local folder, the cache of the Hugging Face hub, or the hub.

The hub is contacted only for models that are neither a folder nor cached, and never if
HF_HUB_OFFLINE is set. The result is always a folder.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fgbench import Access, ConfigurationError, DataError, host_of, local_path

HUB_URL = "https://huggingface.co"
_FILES = [
    "config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*-of-*.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "*.model",
    "chat_template.jinja",
    "generation_config.json",
    "1_Pooling/config.json",
]
"""The files of a model: weights as safetensors only, because loading a pickle can run code."""


@dataclass(frozen=True)
class ModelSource:
    """A folder with a pretrained model; `revision` is its commit, or "sha256:…" of its files."""

    name: str
    folder: Path
    revision: str


def model_access(model: str) -> Access:
    """Return what `find_model` may use for a model: its folder, or the hub."""
    if _is_local(model):
        return Access("path", local_path(model), "model")
    return Access("host", host_of(os.environ.get("HF_ENDPOINT") or HUB_URL), "model")


def find_model(model: str, revision: str) -> ModelSource:
    """Return the folder and revision of a model, downloading it if necessary.

    Raises `ConfigurationError` with the fix if the model is unavailable, and `DataError` for a
    folder that does not contain a model.
    """
    local = Path(model).expanduser()
    if local.is_dir():
        _check_folder(local, model)
        return ModelSource(model, local, _content_digest(local))
    if _is_local(model):
        raise ConfigurationError(f"model {model!r}: no such folder.")
    folder = _snapshot(model, revision)
    _check_folder(folder, model)
    return ModelSource(model, folder, folder.name)


def _is_local(model: str) -> bool:
    local = Path(model).expanduser()
    return (
        local.is_dir()
        or local.is_absolute()
        or model.startswith((".", "~"))
        or model.count("/") > 1
    )


def _snapshot(model: str, revision: str) -> Path:
    """Return the cached folder of a hub model, downloading it if it is not cached completely."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    def fetch(*, local_only: bool) -> Path:
        return Path(
            snapshot_download(
                model, revision=revision, allow_patterns=_FILES, local_files_only=local_only
            )
        )

    try:
        cached = fetch(local_only=True)
        if _missing(cached) is None:
            return cached
    except LocalEntryNotFoundError:
        pass
    except HFValidationError:
        raise ConfigurationError(
            f"model {model!r} is neither a folder nor a hub id, such as "
            "google-bert/bert-base-uncased."
        ) from None
    if constants.is_offline_mode():
        raise _unavailable(
            model, "not in the cache of the hub, and HF_HUB_OFFLINE forbids downloading it"
        )
    try:
        return fetch(local_only=False)
    except GatedRepoError as error:
        raise ConfigurationError(
            f"model {model!r} is gated: accept its license on the model's page, then log in with "
            "`hf auth login` or set HF_TOKEN."
        ) from error
    except RepositoryNotFoundError as error:
        reason = "the hub has no such public model, or HF_TOKEN has no access to it"
        raise _unavailable(model, reason) from error
    except RevisionNotFoundError as error:
        raise _unavailable(model, f"the hub has no revision {revision!r} of this model") from error
    except Exception as error:  # network, proxy or disk: each library has its own exceptions
        message = str(error).strip().partition("\n")[0]
        reason = f"not cached, and the download failed ({type(error).__name__}: {message})"
        raise _unavailable(model, reason) from error


def _unavailable(model: str, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"model {model!r}: {reason}. Run `hf download {model}` on a machine with network access, "
        "or use a local folder: model=PATH."
    )


def _check_folder(folder: Path, model: str) -> None:
    missing = _missing(folder)
    if missing is not None:
        raise DataError(
            f"model {model!r}: {folder} has no {missing}; a model is a folder written by "
            "`save_pretrained`, including its tokenizer."
        )


def _missing(folder: Path) -> str | None:
    """Return the name of a required file that a model folder lacks, or None."""
    if not (folder / "config.json").is_file():
        return "config.json"
    weights = ("model.safetensors", "model.safetensors.index.json")
    if not any((folder / name).is_file() for name in weights):
        return "model.safetensors"
    return None


def _content_digest(folder: Path) -> str:
    """Return the digest of the files of a local model, so that a change of weights shows."""
    files = tuple(
        (str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in _model_files(folder)
    )
    return _digest_of(folder, files)


def _model_files(folder: Path) -> Iterator[Path]:
    paths = {path for pattern in _FILES for path in folder.glob(pattern) if path.is_file()}
    yield from sorted(paths)


@lru_cache(maxsize=16)
def _digest_of(folder: Path, files: tuple[tuple[str, int, int], ...]) -> str:
    """Hash files by name and content; sizes and times only invalidate the cache."""
    total = hashlib.sha256()
    for name, size, _ in files:
        total.update(f"{Path(name).relative_to(folder).as_posix()}\0{size}\0".encode())
        with Path(name).open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return f"sha256:{total.hexdigest()}"
