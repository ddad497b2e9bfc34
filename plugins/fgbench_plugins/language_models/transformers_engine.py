"""A causal language model in this process, by `transformers`: for machines without vLLM.

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
    """How a model is loaded and run; only `dtype` is part of what it says."""

    dtype: str = "auto"
    device: str = "auto"
    batch_size: int = 16
    threads: int = 0


@dataclass
class _Loaded:
    """What stays in memory between two asks."""

    model: Any
    prompts: ChatPrompts
    tokenizer: Any
    device: Any
    eos: frozenset[int]
    context: int
    """How many tokens prompt and answer may have together."""
    rows: int
    """How many answers are written at once: halved where memory ran out."""

    def release(self) -> None:
        """Free the memory, whoever still refers to this."""
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
    """Batches of like length, each answer drawn by the seed of its own request.

    An answer does not depend on which others stand in its batch, but for the last digits of the
    floats: exactly repeatable in float32, nearly always in bfloat16. There is no structured output:
    a schema is not held to, and the answer's notes say so.
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
        """Return how many tokens a prompt has: exactly, once the model is loaded."""
        if self._prompts is None:
            return super().count_tokens(messages)
        return len(self._prompts.encode(messages)[0])

    def answer(self, requests: Iterator[ChatRequest], spending: Spending, deliver: Deliver) -> None:
        """Answer all requests in batches of like length, the longest first.

        Raises `ConfigurationError` if the model cannot be loaded, or if memory does not suffice for
        one answer alone.
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
        """Do nothing: the model stays for the next stage, and leaves as `fgbench.resident` says."""

    def _answer_batch(
        self, batch: Sequence[_Prompt], loaded: _Loaded, spending: Spending, deliver: Deliver
    ) -> None:
        reserved = []
        refusal = None
        for prompt in batch:
            try:
                receipt = spending.reserve(len(prompt.ids), prompt.request.sampling.max_tokens)
            except BudgetError as error:
                refusal = error  # what is set aside already is still answered
                break
            reserved.append((prompt, receipt))
        answers = _in_memory(loaded, [prompt for prompt, _ in reserved]) if reserved else []
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
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        prompts = ChatPrompts(tokenizer, name)
        try:
            with quiet_transformers():
                model = AutoModelForCausalLM.from_pretrained(
                    folder, dtype=self._settings.dtype, use_safetensors=True, local_files_only=True
                )
            model = model.to(device).eval()
        except (ValueError, OSError) as error:
            said = str(error).strip().partition("\n")[0]
            raise ConfigurationError(f"model {name!r} cannot be loaded: {said}") from error
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise ConfigurationError(
                f"model {name!r} does not fit into the memory of {device.type}: give a smaller "
                "one, dtype=bfloat16, or device=cpu."
            ) from error
        eos = _eos(model, tokenizer)
        # Sampling is ours: of what the model brings along, only where it stops counts.
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
    found = model.generation_config.eos_token_id
    ids = found if isinstance(found, list) else [found]
    return frozenset(int(token) for token in [*ids, tokenizer.eos_token_id] if token is not None)


def _in_memory(loaded: _Loaded, batch: Sequence[_Prompt]) -> list[ChatAnswer]:
    """Answer a batch; where memory runs out, in halves, and in batches of that size from now on."""
    from fgbench_plugins.torch_runtime import free_memory, is_out_of_memory

    try:
        return _write(loaded, batch)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        if len(batch) == 1:
            raise ConfigurationError(
                f"out of memory on {loaded.device.type} while writing a single answer to a prompt "
                f"of {len(batch[0].ids)} tokens: take a smaller model, dtype=bfloat16, or "
                "device=cpu."
            ) from error
    # Not in the handler: the traceback would keep the tensors of the failed try.
    free_memory(loaded.device)
    loaded.rows = len(batch) // 2
    answers: list[ChatAnswer] = []
    while len(answers) < len(batch):
        answers += _in_memory(loaded, batch[len(answers) : len(answers) + loaded.rows])
    return answers


def _write(loaded: _Loaded, batch: Sequence[_Prompt]) -> list[ChatAnswer]:
    from fgbench_plugins.language_models.transformers_sampling import write

    written = write(
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
        for prompt, item in zip(batch, written, strict=True)
    ]
