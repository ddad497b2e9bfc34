"""A language model whose weights are here, or on the hub: its name, revision, folder, context."""

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
"""The note on an answer to which a schema was not held."""
TOO_LONG = "prompt too long"
"""The failure where prompt and answer do not fit into the model together."""


class LocalModel:
    """A folder, or the id of a model on the hub at a revision; looked for when it is needed.

    The revision of a hub model that is given as a commit is known without looking: so answers can
    be replayed where there are no weights.
    """

    def __init__(self, model: str, revision: str) -> None:
        self._model = model
        self._revision = revision

    @property
    def _is_folder(self) -> bool:
        return Path(self._model).expanduser().is_dir()

    @property
    def name(self) -> str:
        """The hub's id, or the name of the folder: the same on every machine."""
        return Path(self._model).expanduser().resolve().name if self._is_folder else self._model

    @cached_property
    def source(self) -> ModelSource:
        """Where it is, fetched if need be; raises `ConfigurationError` if it cannot be had."""
        return find_model(self._model, self._revision)

    @property
    def folder(self) -> Path:
        """The folder of the weights, the tokenizer and the chat template."""
        return self.source.folder

    @property
    def is_known(self) -> bool:
        """Whether the revision is known without the hub or its cache: a folder's, or a commit."""
        return self._is_folder or re.fullmatch(r"[0-9a-f]{40}", self._revision) is not None

    @property
    def revision(self) -> str:
        """The commit, or the digest of the folder's files."""
        if self.is_known and not self._is_folder:
            return self._revision
        return self.source.revision

    @cached_property
    def context(self) -> int:
        """How many tokens it can take, by its configuration; 4096 if that is silent."""
        config = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        config |= config.get("text_config") or {}
        for name in ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"):
            if isinstance(config.get(name), int):
                return int(config[name])
        return 4096
