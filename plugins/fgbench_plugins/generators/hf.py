"""The generator on transformers. torch is imported when a model is loaded, not here."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from fgbench import PluginError
from fgbench_plugins.generators.local_generator import LocalModelGenerator

if TYPE_CHECKING:
    from fgbench_plugins.language_models.transformers_engine import TransformersChat


class TransformersGenerator(LocalModelGenerator):
    """Texts by any causal model that `transformers` can load, for machines without vLLM.

    `batch_size` answers are generated at once, fewer if memory runs out. Structured output is not
    supported: a schema is not enforced. `threads` is the number of CPU threads (0: all cores).

    Results do not depend on `device`, `batch_size` and `threads`, up to floating-point rounding.
    """

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    batch_size: Annotated[int, Field(ge=1)] = 16
    threads: Annotated[int, Field(ge=0)] = 0

    operational = frozenset({"device", "batch_size", "threads"})

    @classmethod
    def require(cls) -> None:
        """Raise `PluginError` with the fix if torch or transformers is not installed."""
        for module in ("torch", "transformers"):
            if find_spec(module) is None:
                raise PluginError(
                    f"engine hf needs {module!r}, which is not installed: "
                    "pip install 'fgbench[transformers]', or use openai:base_url=… (any server) "
                    "or the generator ngram."
                )

    def chat_model(self) -> TransformersChat:
        """Return the engine; the model is loaded on the first request."""
        self.require()
        from fgbench_plugins.language_models.transformers_engine import (
            TransformersChat,
            TransformersSettings,
        )

        return TransformersChat(
            self.local_model(),
            TransformersSettings(
                dtype=self.dtype,
                device=self.device,
                batch_size=self.batch_size,
                threads=self.threads,
            ),
        )
