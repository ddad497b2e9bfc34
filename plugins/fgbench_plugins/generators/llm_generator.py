"""The base class of language model generators: FITG's two stages with any chat model.

A subclass provides the model (`chat_model`) and its parameters. This class builds prompts and
parses answers; the harness requests, stores and counts them (`fgbench.Answers`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import Field

from fgbench import (
    Answers,
    Candidate,
    ChatAnswer,
    ChatModel,
    ChatRequest,
    ConfigurationError,
    GenerationRequest,
    GenerationResult,
    GenerationTask,
    Generator,
    Message,
    Price,
    Relabeling,
    RelabelRequest,
    Sampling,
    Usage,
    served_notes,
)
from fgbench_plugins.language_models.labels import (
    NO_LOGPROBS,
    Label,
    label_of_tokens,
    read_label,
)
from fgbench_plugins.language_models.parsing import is_refusal, parse_texts
from fgbench_plugins.language_models.promptmix import PromptMixPrompts
from fgbench_plugins.language_models.prompts import (
    FitgPrompts,
    PromptForm,
    Prompts,
    label_schema,
    text_schema,
)
from fgbench_plugins.language_models.templates import (
    PromptTemplate,
    TemplatePrompts,
    read_template,
    template_digest,
)
from fgbench_plugins.language_models.thoughts import answer_tokens
from fgbench_plugins.language_models.usage_counter import UsageCounter

_LABEL_TOKENS = 40
_TYPICAL_LABEL_TOKENS = 8
_LOGPROB_TOKENS = 4
_ALTERNATIVES = 20
_SAMPLED_PROMPTS = 20


class LanguageModelGenerator(Generator):
    """Texts written and labeled by a language model.

    `strategy` is "fitg", texts like a source text at a requested probability, or "promptmix" (Sahu
    et al. 2023). `template` is a file with custom prompts. Each request gets `samples` replies with
    `texts` texts each. With more than `example_classes` classes, only those near the source are
    shown with examples. `structured` requests JSON by a schema if the server supports it.

    `relabel_by="text"` reads the label from the text of the reply, "logprobs" takes the most
    probable label by the log-probabilities of the first token. `relabeler` is another generator
    that does the labeling. `thinking_tokens` is the room for the thoughts of a model that reasons
    first, in addition to the tokens of texts and labels.
    """

    temperature: Annotated[float, Field(ge=0, le=2)] = 0.1
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_tokens: Annotated[int, Field(ge=1, le=32768)] = 512
    thinking_tokens: Annotated[int, Field(ge=0, le=131072)] = 0
    strategy: Literal["fitg", "promptmix"] = "fitg"
    template: str = ""
    texts: Annotated[int, Field(ge=1, le=20)] = 3
    samples: Annotated[int, Field(ge=1, le=100)] = 1
    example_classes: Annotated[int, Field(ge=2, le=1000)] = 6
    structured: bool = False
    relabel_by: Literal["text", "logprobs"] = "text"
    relabeler: str = ""

    needs = frozenset({"text"})
    younger = frozenset({"thinking_tokens"})
    paths = frozenset({"template"})

    @abstractmethod
    def chat_model(self) -> ChatModel:
        """Return the engine, without loading a model; that happens on the first request."""

    def price(self) -> Price | None:
        """Return the price of tokens, None if unknown; used in plans."""
        return Price()

    def __post_init__(self) -> None:
        self._read_template()

    def content_digest(self) -> str | None:
        """Return the digest of the template; subclasses with a local model return the model's."""
        return template_digest(self.template) if self.template else None

    def prepare(self, task: GenerationTask) -> None:
        """Prepare the prompts of a task."""
        self._task = task
        self._prompts = self.prompts(task)
        self._samplings = self._sampling_of_texts(), self._sampling_of_labels(task)
        self._answers: Answers = self.answers or Answers.in_memory()
        self._usage = UsageCounter()
        self._model = self.chat_model()

    def prompts(self, task: GenerationTask) -> Prompts:
        """Return the prompts for the two stages.

        Raises `ConfigurationError` if there are too many classes to distinguish by one token.
        """
        strategy = FitgPrompts if self.strategy == "fitg" else PromptMixPrompts
        prompts = strategy(task, self._form())
        if self.relabel_by == "logprobs" and not prompts.options:
            raise ConfigurationError(
                f"relabel_by=logprobs supports up to 26 classes, and {task.dataset_name} has "
                f"{task.n_classes}: set relabel_by=text."
            )
        template = self._read_template()
        if template is None:
            return prompts
        return TemplatePrompts(task, prompts.form, template, prompts)

    def generate(self, requests: Sequence[GenerationRequest]) -> list[GenerationResult]:
        """Ask `samples` times per request, all in one call, and parse the replies."""
        chats = [chat for request in requests for chat in self._chats(self._prompts, request)]
        pairs = zip(chats, self._ask(chats), strict=True)
        return [self._result(request, list(islice(pairs, self.samples))) for request in requests]

    def relabel(self, requests: Sequence[RelabelRequest]) -> list[Relabeling]:
        """Ask for the class of each text, at temperature 0.

        Raises `ConfigurationError` if labels are read from log-probabilities and the first answer
        has none.
        """
        chats = [self._label_chat(self._prompts, str(item.input)) for item in requests]
        if self.relabel_by == "logprobs":
            self._require_logprobs(chats[:1])
        pairs = zip(chats, self._ask(chats), strict=True)
        return [self._relabeling(chat, answer) for chat, answer in pairs]

    def close(self) -> None:
        """Release the model."""
        model = self.__dict__.pop("_model", None)
        if model is not None:
            model.close()

    @property
    def candidates_per_request(self) -> int:
        """The number of texts in all replies to a request."""
        return self.samples * self.texts

    def expected_usage(self, task: GenerationTask, requests: Sequence[GenerationRequest]) -> Usage:
        """Return the usage of generation and of its own relabeling, from up to 20 prompts."""
        if not requests:
            return Usage()
        prompts = self.prompts(task)
        sampled = requests[:: -(-len(requests) // _SAMPLED_PROMPTS)]
        prompt = sum(_tokens(prompts.generation(request)) for request in sampled) / len(sampled)
        sources = [str(request.source).encode("utf-8", "replace") for request in sampled]
        length = sum(-(-len(text) // 4) for text in sources) / len(sampled)
        reply = min(self.max_tokens, self.texts * (length + 8))
        reply += self.thinking_tokens
        usage = self._expected(len(requests) * self.samples, prompt, reply)
        if not self.relabeler:
            texts = [request.source for request in requests] * self.candidates_per_request
            usage += self.expected_relabeling(task, texts)
        return usage

    def expected_relabeling(self, task: GenerationTask, inputs: Sequence[Any]) -> Usage:
        """Return the usage of relabeling, estimated from up to 20 prompts."""
        if not inputs:
            return Usage()
        prompts = self.prompts(task)
        sampled = inputs[:: -(-len(inputs) // _SAMPLED_PROMPTS)]
        prompt = sum(_tokens(prompts.relabeling(str(text))) for text in sampled) / len(sampled)
        return self._expected(len(inputs), prompt, _TYPICAL_LABEL_TOKENS + self.thinking_tokens)

    def _expected(self, requests: int, prompt: float, reply: float) -> Usage:
        tokens = round(requests * prompt), round(requests * reply)
        return Usage(requests, *tokens, (self.price() or Price()).cost(*tokens))

    def _form(self) -> PromptForm:
        return PromptForm(
            texts=self.texts,
            example_classes=self.example_classes,
            structured=self.structured,
            by_option=self.relabel_by == "logprobs",
        )

    def _ask(self, chats: Sequence[ChatRequest]) -> Iterator[ChatAnswer]:
        return self._answers.ask(self._model, chats, is_refusal=is_refusal)

    def _chats(self, prompts: Prompts, request: GenerationRequest) -> Iterator[ChatRequest]:
        """Yield the chats of a request; all draws of a source are distinct."""
        messages = prompts.generation(request)
        first = prompts.occasion(request) * self.samples
        for draw in range(first, first + self.samples):
            yield ChatRequest(
                messages=messages, sampling=self._samplings[0], seed=self._task.seed, draw=draw
            )

    def _label_chat(self, prompts: Prompts, text: str) -> ChatRequest:
        return ChatRequest(
            messages=prompts.relabeling(text), sampling=self._samplings[1], seed=self._task.seed
        )

    def _sampling_of_texts(self) -> Sampling:
        return Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_tokens + self.thinking_tokens,
            schema=text_schema(self._form()) if self.structured else None,
        )

    def _sampling_of_labels(self, task: GenerationTask) -> Sampling:
        by_token = self.relabel_by == "logprobs"
        return Sampling(
            temperature=0.0,
            max_tokens=(_LOGPROB_TOKENS if by_token else _LABEL_TOKENS) + self.thinking_tokens,
            schema=label_schema(task.label_names) if self.structured and not by_token else None,
            top_logprobs=_ALTERNATIVES if by_token else 0,
        )

    def _read_template(self) -> PromptTemplate | None:
        if not self.template:
            return None
        return read_template(
            self.template,
            needs_source=self.strategy == "fitg",
            by_option=self.relabel_by == "logprobs",
        )

    def _result(
        self, request: GenerationRequest, replies: Sequence[tuple[ChatRequest, ChatAnswer]]
    ) -> GenerationResult:
        candidates: list[Candidate] = []
        usage, notes = Usage(), ()
        messages: Sequence[Mapping[str, str]] = ()
        for chat, answer in replies:
            candidates += self._candidates(request, chat.messages, answer)
            usage += self._usage.of(chat, answer)
            notes += (*answer.notes, *served_notes(self._model, answer))
            messages = [message._asdict() for message in chat.messages]
        return GenerationResult(candidates, messages, usage, notes)

    def _candidates(
        self, request: GenerationRequest, messages: tuple[Message, ...], answer: ChatAnswer
    ) -> Iterator[Candidate]:
        if answer.text is None or not answer.ok:
            yield Candidate(None, raw=answer.text, rejection=answer.failure or "no answer")
            return
        source = str(request.source)
        for item in parse_texts(
            answer.text,
            n_requested=self.texts,
            names=self._task.label_names,
            source=source,
            prompt=[message.content for message in messages],
            cut=answer.finish_reason == "length",
            longest=max(1000, 5 * len(source)),
        ):
            yield Candidate(item.text, answer.text, item.claimed, item.rejection)

    def _relabeling(self, chat: ChatRequest, answer: ChatAnswer) -> Relabeling:
        if answer.text is None or not answer.ok:
            label = Label(None, answer.failure or "no answer")
        else:
            label = self._read(answer.text, answer)
        return Relabeling(
            label=label.index,
            probabilities=label.probabilities,
            raw=answer.text,
            rejection=label.rejection,
            usage=self._usage.of(chat, answer),
            notes=(*answer.notes, *served_notes(self._model, answer)),
        )

    def _require_logprobs(self, chats: Sequence[ChatRequest]) -> None:
        """Raise if the answers to chats have no log-probabilities."""
        for answer in self._ask(chats):
            if answer.ok and answer.tokens is None:
                raise ConfigurationError(
                    "relabel_by=logprobs: the server returns no log-probabilities; set "
                    "relabel_by=text, or relabeler= to a model that returns them."
                )

    def _read(self, text: str, answer: ChatAnswer) -> Label:
        if self.relabel_by == "logprobs":
            if answer.tokens is None:
                return Label(None, NO_LOGPROBS)
            return label_of_tokens(answer_tokens(text, answer.tokens), self._prompts.options)
        return read_label(
            text,
            self._task.label_names,
            options=self._prompts.options,
            descriptions=self._task.label_descriptions,
            nearest=self.strategy == "promptmix",
        )


def _tokens(messages: Sequence[Message]) -> int:
    """Return the approximate number of tokens of a prompt, without a tokenizer."""
    return ChatModel.count_tokens(_NO_MODEL, tuple(messages))


_NO_MODEL: Any = None
