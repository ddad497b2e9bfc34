"""Generators on vLLM's offline engine. vllm is imported when a model is loaded, not here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from fgbench_plugins.generators.local_generator import LocalModelGenerator

if TYPE_CHECKING:
    from fgbench_plugins.language_models.vllm_engine import VllmChat


class VllmGenerator(LocalModelGenerator):
    """Texts by a model that vLLM runs in this process, all requests of a stage in one batch.

    The model is loaded on the first request, stays loaded for other stages that use it, and is
    released before a stage that needs the GPU for something else. Prompt and answer together have
    at most `max_model_len` tokens, or the model's own limit if that is lower. `seed` varies the
    answers for the same seeds of the run.

    Results do not depend on `tensor_parallel_size`, `gpu_memory_utilization`, `enforce_eager` and
    `block_size`, up to floating-point rounding.
    """

    quantization: Annotated[str, Field(min_length=1)] | None = None
    max_model_len: Annotated[int, Field(ge=32)] = 8192
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    tensor_parallel_size: Annotated[int, Field(ge=1)] = 1
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] | None = None
    enforce_eager: bool = False
    block_size: Annotated[int, Field(ge=1)] | None = None

    operational = frozenset(
        {"tensor_parallel_size", "gpu_memory_utilization", "enforce_eager", "block_size"}
    )

    @classmethod
    def require(cls) -> None:
        """Raise if vllm is not installed or finds no device."""
        from fgbench_plugins.language_models.vllm_environment import require_vllm

        require_vllm()

    def chat_model(self) -> VllmChat:
        """Return the engine; the model is loaded on the first request."""
        from fgbench_plugins.language_models.vllm_engine import VllmChat, VllmSettings

        return VllmChat(
            self.local_model(),
            VllmSettings(
                dtype=self.dtype,
                quantization=self.quantization,
                max_model_len=self.max_model_len,
                seed=self.seed,
                tensor_parallel_size=self.tensor_parallel_size,
                gpu_memory_utilization=self.gpu_memory_utilization,
                enforce_eager=self.enforce_eager,
                block_size=self.block_size,
            ),
        )


class Llama2Vllm(VllmGenerator):
    """Llama-2-7B-chat at temperature 0.1: the generator of Ba et al. 2024 (FITG, section 4).

    The model is gated: accept Meta's license on the hub and log in with `hf auth login`.
    """

    model: Annotated[str, Field(min_length=1)] = "meta-llama/Llama-2-7b-chat-hf"
    revision: Annotated[str, Field(min_length=1)] = "f5db02db724555f92da89c216ac04704f23d4590"
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.1
    max_model_len: Annotated[int, Field(ge=32)] = 4096


class Llama3Vllm(VllmGenerator):
    """Llama-3.1-8B-Instruct; gated like Llama 2."""

    model: Annotated[str, Field(min_length=1)] = "meta-llama/Llama-3.1-8B-Instruct"
    revision: Annotated[str, Field(min_length=1)] = "0e9e39f249a16976918f6564b8830bc894c89659"


class Qwen3Vllm(VllmGenerator):
    """Qwen3-8B with thinking disabled; Apache 2.0, no login required."""

    model: Annotated[str, Field(min_length=1)] = "Qwen/Qwen3-8B"
    revision: Annotated[str, Field(min_length=1)] = "b968826d9c46dd6066d109eabc6255188de91218"
