"""The base class of generators whose language model runs in this process."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from fgbench_plugins.generators.llm_generator import LanguageModelGenerator
from fgbench_plugins.hub import model_access
from fgbench_plugins.language_models.local_model import LocalModel

if TYPE_CHECKING:
    from fgbench import Access


class LocalModelGenerator(LanguageModelGenerator):
    """Texts by a model in this process: a folder, or a hub id at `revision` (a commit pins it).

    Only safetensors weights are read, and code that comes with a model is never run. `dtype="auto"`
    is the type in which the model was published.
    """

    model: Annotated[str, Field(min_length=1)]
    revision: Annotated[str, Field(min_length=1)] = "main"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"

    @property
    def exclusive(self) -> bool:
        return True

    @classmethod
    @abstractmethod
    def require(cls) -> None:
        """Raise `PluginError` or `ConfigurationError` if the engine cannot run."""

    @classmethod
    def accesses(cls, parameters: Mapping[str, Any]) -> Iterator[Access]:
        """Yield the folder of the model, or the hub, and what other parameters name."""
        yield from super().accesses(parameters)
        model = parameters.get("model", getattr(cls, "model", None))
        if isinstance(model, str):
            yield model_access(model)

    def local_model(self) -> LocalModel:
        """Return the model, which is located on first use."""
        return LocalModel(self.model, self.revision)

    def preflight(self) -> None:
        """Download the model; raise if it is unavailable or the engine cannot run here."""
        self.require()
        self.local_model().folder  # noqa: B018 - raises

    def content_digest(self) -> str:
        """Return the model's commit, or the digest of its folder.

        A commit needs no weights, so that its answers can be replayed on any machine.
        """
        model = self.local_model()
        if not model.is_known:
            self.require()  # the extra of the engine includes the hub library
        return model.revision

    def published_parameters(self) -> dict[str, Any]:
        """Return the parameters; a local model is published by folder name, not by path."""
        published = super().published_parameters()
        folder = Path(self.model).expanduser().is_dir()
        return published | ({"model": self.local_model().name} if folder else {})
