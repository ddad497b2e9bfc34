"""A language model in this process, by vLLM's offline engine.

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
from fgbench_plugins.language_models.vllm_environment import Surroundings, quiet, require_vllm

if TYPE_CHECKING:
    from collections.abc import Callable

    from fgbench_plugins.language_models.local_model import LocalModel

    Deliver = Callable[[ChatRequest, ChatAnswer], None]

_AHEAD = 4096
"""How many requests wait in the engine at most: more than it can ever work on at once."""
_BATCHED_TOKENS = 8192
"""How many tokens go through the model in one step, at most."""
_MOST_LOGPROBS = 20
"""What vLLM gives at most without being told otherwise, as OpenAI's servers do."""


@dataclass(frozen=True, kw_only=True)
class VllmSettings:
    """How a model is loaded; `dtype`, `quantization` and `seed` are part of what it says."""

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
    """What stays in memory between two asks."""

    llm: Any
    prompts: ChatPrompts
    surroundings: Surroundings

    def release(self) -> None:
        """Stop the engine and free the memory, whoever still refers to this."""
        if self.llm is None:
            return
        from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

        with quiet():
            self.llm.llm_engine.engine_core.shutdown()
            self.llm = None
            cleanup_dist_env_and_memory()
        gc.collect()
        self.surroundings.restore()


class _UnderWay(NamedTuple):
    request: ChatRequest
    receipt: Any
    notes: tuple[str, ...]


class VllmChat(ChatModel):
    """All requests of an ask at once, as vLLM schedules them; the shared beginning is cached.

    Each answer is drawn by the seed of its own request. In float32 it does not depend on which
    others are written beside it; in bfloat16 it nearly never does.
    """

    def __init__(self, source: LocalModel, settings: VllmSettings) -> None:
        self._source = source
        self._settings = settings
        self._prompts: ChatPrompts | None = None
        self.prompt_tokens = self.cached_tokens = 0
        """How many tokens of prompts there were, and how many of them were not computed anew."""

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
        """How many tokens a prompt and its answer may have together."""
        return min(self._settings.max_model_len, self._source.context)

    def count_tokens(self, messages: tuple[Message, ...]) -> int:
        """Return how many tokens a prompt has: exactly, once the model is loaded."""
        if self._prompts is None:
            return super().count_tokens(messages)
        return len(self._prompts.encode(messages)[0])

    def answer(self, requests: Iterator[ChatRequest], spending: Spending, deliver: Deliver) -> None:
        """Answer all requests in one batch, delivering each as soon as it is written.

        Raises `ConfigurationError` if the model cannot be loaded.
        """
        loaded = self._load_once()
        engine = loaded.llm.llm_engine
        under_way: dict[str, _UnderWay] = {}
        refusal: BudgetError | None = None
        number = 0
        try:
            while True:
                while refusal is None and len(under_way) < _AHEAD:
                    request = next(requests, None)
                    if request is None:
                        break
                    try:
                        entered = self._enter(request, loaded, str(number), spending, deliver)
                    except BudgetError as error:
                        refusal = error  # what is set aside already is still answered
                        break
                    if entered is not None:
                        under_way[str(number)] = entered
                    number += 1
                if not under_way:
                    break
                for output in engine.step():
                    if output.finished:
                        done = under_way.pop(output.request_id)
                        self._finish(done, output, spending, deliver)
        except BaseException:
            with contextlib.suppress(Exception):  # an engine that has died says so once already
                engine.abort_request(list(under_way), internal=False)
            for item in under_way.values():
                spending.settle(item.receipt, 0, 0)
            raise
        if refusal is not None:
            raise refusal

    def close(self) -> None:
        """Do nothing: the model stays for the next stage, and leaves as `fgbench.resident` says."""

    def _enter(
        self,
        request: ChatRequest,
        loaded: _Loaded,
        number: str,
        spending: Spending,
        deliver: Deliver,
    ) -> _UnderWay | None:
        """Give a request to the engine; None for one that was answered by a failure at once."""
        from vllm.exceptions import VLLMValidationError

        sampling = request.sampling
        ids, notes = loaded.prompts.encode(request.messages)
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
        return _UnderWay(request, receipt, notes)

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
            logprobs=min(sampling.top_logprobs, _MOST_LOGPROBS) or None,
            structured_outputs=StructuredOutputsParams(json=schema) if schema else None,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _finish(self, done: _UnderWay, output: Any, spending: Spending, deliver: Deliver) -> None:
        (said,) = output.outputs
        prompt_tokens, completion_tokens = len(output.prompt_token_ids), len(said.token_ids)
        self.prompt_tokens += prompt_tokens
        self.cached_tokens += output.num_cached_tokens or 0
        spending.settle(done.receipt, prompt_tokens, completion_tokens)
        deliver(
            done.request,
            ChatAnswer(
                text=said.text,
                finish_reason=said.finish_reason,
                usage=Usage(1, prompt_tokens, completion_tokens),
                tokens=_tokens(said) if done.request.sampling.top_logprobs else None,
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
        surroundings = Surroundings.prepare()
        # A CPU build calls its share of the machine's memory by the same name.
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
                    # A prompt in pieces draws once a piece, which shifts the numbers of its seed
                    # (and ends the engine on a CPU): so the whole of it goes through at once.
                    enable_chunked_prefill=False,
                    max_num_batched_tokens=max(_BATCHED_TOKENS, self.context),
                    trust_remote_code=False,
                    # Without its whitespace rule, a model may write blanks until it is cut off.
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
            _Loaded(llm, None, surroundings).release()  # type: ignore[arg-type]
            raise
        except Exception as error:  # of the device, the model, the memory: vLLM has dozens
            surroundings.loaded()
            surroundings.restore()
            said = str(error).strip().partition("\n")[0]
            raise ConfigurationError(
                f"vllm cannot load {self._source.name!r} ({type(error).__name__}: {said}); "
                f"max_model_len={self.context}, gpu_memory_utilization={memory} and "
                f"dtype={settings.dtype} are what to turn."
            ) from error
        surroundings.loaded()
        return _Loaded(llm, prompts, surroundings)


def _tokens(said: Any) -> tuple[TokenChoice, ...]:
    """Return the tokens of an answer, but for the one that ended it."""
    choices = []
    for token, likeliest in zip(said.token_ids, said.logprobs or (), strict=False):
        chosen = likeliest[token]
        others = sorted(likeliest.values(), key=lambda item: item.rank)
        alternatives = tuple(
            (item.decoded_token or "", item.logprob)
            for item in others
            if item.logprob > float("-inf")  # what a schema forbids
        )
        choices.append(TokenChoice(chosen.decoded_token or "", chosen.logprob, alternatives))
    if said.finish_reason == "stop" and said.stop_reason is None and choices:
        choices.pop()  # the end token is none of the text
    return tokens_of(said.text, choices) if isinstance(said.stop_reason, str) else tuple(choices)
