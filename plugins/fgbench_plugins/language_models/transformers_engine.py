"""A causal language model in this process on `transformers`, for machines without vLLM.

torch and transformers are imported when a model is loaded, not with this module.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fgbench import (
    BudgetError,
    ChatAnswer,
    ChatModel,
    ChatRequest,
    ConfigurationError,
    Message,
    Spending,
    Usage,
    resident,
)
from fgbench_plugins.language_models.chat_prompts import ChatPrompts
from fgbench_plugins.language_models.local_model import TOO_LONG, UNSTRUCTURED

if TYPE_CHECKING:
    from collections.abc import Callable

    from fgbench_plugins.language_models.local_model import LocalModel

    Deliver = Callable[[ChatRequest, ChatAnswer], None]


@dataclass(frozen=True, kw_only=True)
class TransformersSettings:
    """How a model is loaded and run; only `dtype` is part of its identity."""

    dtype: str = "auto"
    device: str = "auto"
    batch_size: int = 16
    threads: int = 0


@dataclass
class _Loaded:
    """A loaded model, which stays in memory between calls of `answer`."""

    model: Any
    prompts: ChatPrompts
    tokenizer: Any
    device: Any
    eos: frozenset[int]
    context: int
    """Maximum number of tokens of prompt and answer together."""
    rows: int
    """Batch size; halved when memory runs out."""

    def release(self) -> None:
        """Free the memory even if there are still references to this object."""
        from fgbench_plugins.torch_runtime import free_memory

        if self.model is not None:
            self.model.to("meta")
        self.model = self.tokenizer = None
        free_memory(self.device)


@dataclass(frozen=True)
class _Prompt:
    request: ChatRequest
    ids: list[int]
    notes: tuple[str, ...]


class TransformersChat(ChatModel):
    """Batches of similar length; each answer is sampled with the seed of its own request.

    Up to floating-point rounding, an answer does not depend on the rest of its batch: answers are
    reproducible in float32, and almost always in bfloat16. Structured output is not supported: a
    schema is not enforced, and the notes of the answer say so.
    """

    def __init__(self, source: LocalModel, settings: TransformersSettings) -> None:
        self._source = source
        self._settings = settings
        self._prompts: ChatPrompts | None = None

    @property
    def identity(self) -> Mapping[str, Any]:
        return {
            "engine": "transformers",
            "model": self._source.name,
            "revision": self._source.revision,
            "dtype": self._settings.dtype,
        }

    def count_tokens(self, messages: tuple[Message, ...]) -> int:
        """Return the number of tokens of a prompt; exact once the model is loaded."""
        if self._prompts is None:
            return super().count_tokens(messages)
        return len(self._prompts.encode(messages)[0])

    def answer(self, requests: Iterator[ChatRequest], spending: Spending, deliver: Deliver) -> None:
        """Answer all requests in batches of similar length, the longest first.

        Raises `ConfigurationError` if the model cannot be loaded, or if memory runs out with a
        single answer.
        """
        from fgbench_plugins.torch_runtime import torch_state

        loaded = self._load_once()
        waiting = []
        for request in requests:
            ids, notes = loaded.prompts.encode(request.messages)
            if request.sampling.schema is not None:
                notes = (*notes, UNSTRUCTURED)
            if len(ids) + request.sampling.max_tokens > loaded.context:
                deliver(request, ChatAnswer(text=None, failure=TOO_LONG, notes=notes))
            else:
                waiting.append(_Prompt(request, ids, notes))
        waiting.sort(key=lambda prompt: (-prompt.request.sampling.max_tokens, -len(prompt.ids)))
        # Not deterministic on a GPU: the sampler needs cumulative sums, for which torch has no
        # deterministic algorithm.
        with torch_state(
            loaded.device, seed=0, threads=self._settings.threads, deterministic=False
        ):
            while waiting:
                batch, waiting = waiting[: loaded.rows], waiting[loaded.rows :]
                self._answer_batch(batch, loaded, spending, deliver)

    def close(self) -> None:
        """Do nothing: the model stays loaded for the next stage; see `fgbench.resident`."""

    def _answer_batch(
        self, batch: Sequence[_Prompt], loaded: _Loaded, spending: Spending, deliver: Deliver
    ) -> None:
        reserved = []
        refusal = None
        for prompt in batch:
            try:
                receipt = spending.reserve(len(prompt.ids), prompt.request.sampling.max_tokens)
            except BudgetError as error:
                refusal = error  # reserved requests are still answered
                break
            reserved.append((prompt, receipt))
        prompts = [prompt for prompt, _ in reserved]
        answers = _answer_within_memory(loaded, prompts) if prompts else []
        for (prompt, receipt), answer in zip(reserved, answers, strict=True):
            spending.settle(receipt, answer.usage.prompt_tokens, answer.usage.completion_tokens)
            deliver(prompt.request, answer)
        if refusal is not None:
            raise refusal

    def _load_once(self) -> _Loaded:
        settings = self._settings
        key = json.dumps(
            {"folder": str(self._source.folder), "device": settings.device, **self.identity}
        )
        loaded = resident(key, self._load, _Loaded.release)
        self._prompts = loaded.prompts
        return loaded

    def _load(self) -> _Loaded:
        from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

        from fgbench_plugins.torch_runtime import (
            choose_device,
            is_out_of_memory,
            quiet_transformers,
        )

        folder, name = self._source.folder, self._source.name
        device = choose_device(self._settings.device)
        # Without it, transformers asks on a terminal whether to run code from the model's folder.
        safely: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, **safely)
            prompts = ChatPrompts(tokenizer, name)
            with quiet_transformers():
                model = AutoModelForCausalLM.from_pretrained(
                    folder, dtype=self._settings.dtype, use_safetensors=True, **safely
                )
            model = model.to(device).eval()
        except (ValueError, OSError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise ConfigurationError(f"model {name!r} cannot be loaded: {reason}") from error
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise ConfigurationError(
                f"model {name!r} does not fit into the memory of {device.type}: use a smaller "
                "model, dtype=bfloat16 or device=cpu."
            ) from error
        eos = _eos(model, tokenizer)
        # Sampling is implemented here; only the end tokens of the model's configuration apply.
        model.generation_config = GenerationConfig(
            do_sample=False,
            eos_token_id=sorted(eos) or None,
            pad_token_id=min(eos, default=0),
            bos_token_id=tokenizer.bos_token_id,
        )
        return _Loaded(
            model=model,
            prompts=prompts,
            tokenizer=tokenizer,
            device=device,
            eos=eos,
            context=self._source.context,
            rows=self._settings.batch_size,
        )


def _eos(model: Any, tokenizer: Any) -> frozenset[int]:
    eos = model.generation_config.eos_token_id
    ids = eos if isinstance(eos, list) else [eos]
    return frozenset(int(token) for token in [*ids, tokenizer.eos_token_id] if token is not None)


def _answer_within_memory(loaded: _Loaded, batch: Sequence[_Prompt]) -> list[ChatAnswer]:
    """Answer a batch; if memory runs out, halve the batch size for this and all later batches."""
    from fgbench_plugins.torch_runtime import free_memory, is_out_of_memory

    try:
        return _generate(loaded, batch)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        if len(batch) == 1:
            raise ConfigurationError(
                f"out of memory on {loaded.device.type} while generating a single answer to a "
                f"prompt of {len(batch[0].ids)} tokens: use a smaller model, dtype=bfloat16 or "
                "device=cpu."
            ) from error
    # Outside of the handler, because the traceback keeps the tensors of the failed attempt.
    free_memory(loaded.device)
    loaded.rows = len(batch) // 2
    answers: list[ChatAnswer] = []
    while len(answers) < len(batch):
        answers += _answer_within_memory(loaded, batch[len(answers) : len(answers) + loaded.rows])
    return answers


def _generate(loaded: _Loaded, batch: Sequence[_Prompt]) -> list[ChatAnswer]:
    from fgbench_plugins.language_models.transformers_sampling import generate

    generated = generate(
        loaded.model,
        loaded.tokenizer,
        [prompt.ids for prompt in batch],
        [prompt.request for prompt in batch],
        eos=loaded.eos,
        device=loaded.device,
    )
    return [
        ChatAnswer(
            text=item.text,
            finish_reason=item.finish_reason,
            usage=Usage(1, len(prompt.ids), item.completion_tokens),
            tokens=item.tokens,
            notes=prompt.notes,
        )
        for prompt, item in zip(batch, generated, strict=True)
    ]
