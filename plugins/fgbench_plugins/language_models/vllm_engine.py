"""A language model in this process on vLLM's offline engine.

vllm is imported when a model is loaded, not with this module.
"""

from __future__ import annotations

import contextlib
import gc
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from fgbench import (
    BudgetError,
    ChatAnswer,
    ChatModel,
    ChatRequest,
    ConfigurationError,
    Message,
    Spending,
    TokenChoice,
    Usage,
    resident,
)
from fgbench_plugins.language_models.chat_prompts import ChatPrompts, tokens_of
from fgbench_plugins.language_models.local_model import TOO_LONG, UNSTRUCTURED
from fgbench_plugins.language_models.vllm_environment import ProcessState, quiet, require_vllm

if TYPE_CHECKING:
    from collections.abc import Callable

    from fgbench_plugins.language_models.local_model import LocalModel

    Deliver = Callable[[ChatRequest, ChatAnswer], None]

_MAX_QUEUED = 4096
"""Maximum number of requests in the engine, more than it can process at once."""
_BATCHED_TOKENS = 8192
"""Maximum number of tokens per step of the engine."""
_MAX_LOGPROBS = 20
"""vLLM's default limit, the same as that of OpenAI's servers."""


@dataclass(frozen=True, kw_only=True)
class VllmSettings:
    """How a model is loaded; `dtype`, `quantization` and `seed` are part of its identity."""

    dtype: str = "auto"
    quantization: str | None = None
    max_model_len: int = 8192
    seed: int = 0
    tensor_parallel_size: int = 1
    gpu_memory_utilization: float | None = None
    enforce_eager: bool = False
    block_size: int | None = None


@dataclass
class _Loaded:
    """A loaded model, which stays in memory between calls of `answer`."""

    llm: Any
    prompts: ChatPrompts
    process_state: ProcessState

    def release(self) -> None:
        """Stop the engine and free the memory even if there are still references to this object."""
        if self.llm is None:
            return
        from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

        with quiet():
            self.llm.llm_engine.engine_core.shutdown()
            self.llm = None
            cleanup_dist_env_and_memory()
        gc.collect()
        self.process_state.restore()


class _Pending(NamedTuple):
    request: ChatRequest
    receipt: Any
    notes: tuple[str, ...]
    opened: str
    """What the reply begins with: a mark, if the prompt has opened thoughts."""


class VllmChat(ChatModel):
    """All requests at once, scheduled by vLLM; shared prefixes are cached.

    Each answer is sampled with the seed of its own request. In float32 it does not depend on the
    other requests; in bfloat16 it almost never does.
    """

    def __init__(self, source: LocalModel, settings: VllmSettings) -> None:
        self._source = source
        self._settings = settings
        self._prompts: ChatPrompts | None = None
        self.prompt_tokens = self.cached_tokens = 0
        """Number of prompt tokens so far, and how many of them came from the prefix cache."""

    @property
    def identity(self) -> Mapping[str, Any]:
        settings = self._settings
        return {
            "engine": "vllm",
            "model": self._source.name,
            "revision": self._source.revision,
            "dtype": settings.dtype,
            "quantization": settings.quantization,
            "seed": settings.seed,
        }

    @property
    def context(self) -> int:
        """Maximum number of tokens of prompt and answer together."""
        return min(self._settings.max_model_len, self._source.context)

    def count_tokens(self, messages: tuple[Message, ...]) -> int:
        """Return the number of tokens of a prompt; exact once the model is loaded."""
        if self._prompts is None:
            return super().count_tokens(messages)
        return len(self._prompts.encode(messages)[0])

    def answer(self, requests: Iterator[ChatRequest], spending: Spending, deliver: Deliver) -> None:
        """Answer all requests in one batch, delivering each answer as soon as it is complete.

        Raises `ConfigurationError` if the model cannot be loaded.
        """
        loaded = self._load_once()
        engine = loaded.llm.llm_engine
        pending: dict[str, _Pending] = {}
        refusal: BudgetError | None = None
        number = 0
        try:
            while True:
                while refusal is None and len(pending) < _MAX_QUEUED:
                    request = next(requests, None)
                    if request is None:
                        break
                    try:
                        item = self._enter(request, loaded, str(number), spending, deliver)
                    except BudgetError as error:
                        refusal = error  # reserved requests are still answered
                        break
                    if item is not None:
                        pending[str(number)] = item
                    number += 1
                if not pending:
                    break
                for output in engine.step():
                    if output.finished:
                        done = pending.pop(output.request_id)
                        self._finish(done, output, spending, deliver)
        except BaseException:
            with contextlib.suppress(Exception):  # a crashed engine raises again
                engine.abort_request(list(pending), internal=False)
            for item in pending.values():
                spending.settle(item.receipt, 0, 0)
            raise
        if refusal is not None:
            raise refusal

    def close(self) -> None:
        """Do nothing: the model stays loaded for the next stage; see `fgbench.resident`."""

    def _enter(
        self,
        request: ChatRequest,
        loaded: _Loaded,
        number: str,
        spending: Spending,
        deliver: Deliver,
    ) -> _Pending | None:
        """Submit a request to the engine; return None if it failed immediately."""
        from vllm.exceptions import VLLMValidationError

        sampling = request.sampling
        ids, notes, opened = loaded.prompts.rendered(request.messages)
        if len(ids) + sampling.max_tokens > self.context:
            deliver(request, ChatAnswer(text=None, failure=TOO_LONG, notes=notes))
            return None
        receipt = spending.reserve(len(ids), sampling.max_tokens)
        engine = loaded.llm.llm_engine
        (prompt,) = engine.renderer.render_cmpl([{"prompt_token_ids": ids}])
        try:
            engine.add_request(number, prompt, self._parameters(request, structured=True))
        except VLLMValidationError:
            if sampling.schema is None:
                spending.settle(receipt, 0, 0)
                raise
            notes = (*notes, UNSTRUCTURED)
            engine.add_request(number, prompt, self._parameters(request, structured=False))
        return _Pending(request, receipt, notes, opened)

    def _parameters(self, request: ChatRequest, *, structured: bool) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        sampling = request.sampling
        schema = dict(sampling.schema) if structured and sampling.schema is not None else None
        return SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            stop=list(sampling.stop),
            seed=(request.sampling_seed + self._settings.seed) % 2**31,
            logprobs=min(sampling.top_logprobs, _MAX_LOGPROBS) or None,
            structured_outputs=StructuredOutputsParams(json=schema) if schema else None,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _finish(self, done: _Pending, output: Any, spending: Spending, deliver: Deliver) -> None:
        (completion,) = output.outputs
        prompt_tokens, completion_tokens = len(output.prompt_token_ids), len(completion.token_ids)
        self.prompt_tokens += prompt_tokens
        self.cached_tokens += output.num_cached_tokens or 0
        spending.settle(done.receipt, prompt_tokens, completion_tokens)
        deliver(
            done.request,
            ChatAnswer(
                text=done.opened + completion.text,
                finish_reason=completion.finish_reason,
                usage=Usage(1, prompt_tokens, completion_tokens),
                tokens=_tokens(completion) if done.request.sampling.top_logprobs else None,
                notes=done.notes,
            ),
        )

    def _load_once(self) -> _Loaded:
        settings = self._settings
        key = json.dumps(
            {"folder": str(self._source.folder), **vars(settings), **self.identity, "seed": None}
        )
        loaded = resident(key, self._load, _Loaded.release)
        self._prompts = loaded.prompts
        return loaded

    def _load(self) -> _Loaded:
        device = require_vllm()
        settings = self._settings
        process_state = ProcessState.prepare()
        # A CPU build uses the same option for its share of the host memory.
        memory = settings.gpu_memory_utilization or (0.4 if device == "cpu" else 0.9)
        options: dict[str, Any] = {}
        if settings.tensor_parallel_size == 1:
            options["distributed_executor_backend"] = "uni"
        if settings.block_size is not None:
            options["block_size"] = settings.block_size
        try:
            with quiet():
                from vllm import LLM

                llm = LLM(
                    model=str(self._source.folder),
                    dtype=settings.dtype,
                    quantization=settings.quantization,
                    max_model_len=self.context,
                    tensor_parallel_size=settings.tensor_parallel_size,
                    gpu_memory_utilization=memory,
                    enforce_eager=settings.enforce_eager,
                    enable_prefix_caching=True,
                    # A chunked prompt samples once per chunk, which shifts the random numbers of
                    # its seed (and crashes the engine on a CPU), so prompts are not chunked.
                    enable_chunked_prefill=False,
                    max_num_batched_tokens=max(_BATCHED_TOKENS, self.context),
                    trust_remote_code=False,
                    # Otherwise a model may emit whitespace until it reaches max_tokens.
                    structured_outputs_config={
                        "backend": "xgrammar",
                        "disable_any_whitespace": True,
                    },
                    limit_mm_per_prompt={"image": 0, "video": 0, "audio": 0},
                    use_tqdm_on_load=False,
                    **options,
                )
            prompts = ChatPrompts(llm.get_tokenizer(), self._source.name)
        except ConfigurationError:
            _Loaded(llm, None, process_state).release()  # type: ignore[arg-type]
            raise
        except Exception as error:  # device, model or memory: vLLM raises dozens of types
            process_state.restore_random()
            process_state.restore()
            reason = str(error).strip().partition("\n")[0]
            raise ConfigurationError(
                f"vllm cannot load {self._source.name!r} ({type(error).__name__}: {reason}); try "
                f"changing max_model_len={self.context}, gpu_memory_utilization={memory} or "
                f"dtype={settings.dtype}."
            ) from error
        process_state.restore_random()
        return _Loaded(llm, prompts, process_state)


def _tokens(completion: Any) -> tuple[TokenChoice, ...]:
    """Return the tokens of a completion without its end token."""
    choices = []
    for token, likeliest in zip(completion.token_ids, completion.logprobs or (), strict=False):
        chosen = likeliest[token]
        others = sorted(likeliest.values(), key=lambda item: item.rank)
        alternatives = tuple(
            (item.decoded_token or "", item.logprob)
            for item in others
            if item.logprob > float("-inf")  # −infinity: forbidden by a schema
        )
        choices.append(TokenChoice(chosen.decoded_token or "", chosen.logprob, alternatives))
    if completion.finish_reason == "stop" and completion.stop_reason is None and choices:
        choices.pop()  # the end token is not part of the text
    if isinstance(completion.stop_reason, str):
        return tokens_of(completion.text, choices)
    return tuple(choices)
