"""A language model with local or hub weights: its name, revision, folder and context length."""

from __future__ import annotations

import json
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fgbench_plugins.hub import find_model

if TYPE_CHECKING:
    from fgbench_plugins.hub import ModelSource

UNSTRUCTURED = "no structured output"
"""The note on an answer for which a schema was not enforced."""
TOO_LONG = "prompt too long"
"""The failure of a request whose prompt and answer together exceed the context length."""


class LocalModel:
    """A folder, or the id of a hub model at a revision; located on first use.

    If the revision of a hub model is a commit, it is known without locating the model, so that
    stored answers can be replayed without the weights.
    """

    def __init__(self, model: str, revision: str) -> None:
        self._model = model
        self._revision = revision

    @property
    def _is_folder(self) -> bool:
        return Path(self._model).expanduser().is_dir()

    @property
    def name(self) -> str:
        """The hub id, or the name of the folder: the same on every machine."""
        return Path(self._model).expanduser().resolve().name if self._is_folder else self._model

    @cached_property
    def source(self) -> ModelSource:
        """The source, downloaded if necessary; raises `ConfigurationError` if unavailable."""
        return find_model(self._model, self._revision)

    @property
    def folder(self) -> Path:
        """The folder of the weights, the tokenizer and the chat template."""
        return self.source.folder

    @property
    def is_known(self) -> bool:
        """Whether the revision is known without the hub and its cache: a folder or a commit."""
        return self._is_folder or re.fullmatch(r"[0-9a-f]{40}", self._revision) is not None

    @property
    def revision(self) -> str:
        """The commit, or the digest of the files in the folder."""
        if self.is_known and not self._is_folder:
            return self._revision
        return self.source.revision

    @cached_property
    def context(self) -> int:
        """The context length in tokens, from its configuration; 4096 if that does not say."""
        config = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        config |= config.get("text_config") or {}
        for name in ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"):
            if isinstance(config.get(name), int):
                return int(config[name])
        return 4096
