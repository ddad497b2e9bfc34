"""A language model as a few-shot classifier.

Nothing is trained. The prompt shows the classes and a few examples of each, and the model is asked
once per text; `llm_confidence` describes how its confidence is elicited.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from fgbench import (
    Access,
    Answers,
    ChatModel,
    Classifier,
    ConfigurationError,
    DataError,
    Loss,
    Outputs,
    TrainingSet,
    Usage,
    seed_for,
)
from fgbench_plugins.classifiers.llm_confidence import (
    ClassificationTask,
    Confidence,
    JudgedWords,
    StatedNumber,
    TokenProbability,
)
from fgbench_plugins.classifiers.llm_engine import (
    Engine,
    create_engine,
    engine_accesses,
    judge_options,
    published_judge,
)
from fgbench_plugins.classifiers.llm_responses import Responses, expected_usage
from fgbench_plugins.language_models.json_object import JsonObject  # noqa: TC001 - read by pydantic

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_PROBABILITY = 1e-6
"""Lower bound of probabilities before they are normalized and their logarithm is taken."""
CONTENT_FREE = ("N/A", "[MASK]", "")
"""The content-free inputs of Zhao et al. (2021), section 5."""

ENGINE_OPTIONS = (
    *("revision", "dtype", "quantization", "max_model_len", "tensor_parallel_size"),
    *("gpu_memory_utilization", "enforce_eager", "block_size", "device", "batch_size", "threads"),
    *("base_url", "api_key_env", "price_prompt", "price_completion", "concurrency", "timeout"),
    *("retries", "backoff", "max_reply_bytes", "extra_body"),
)
"""Parameters of the engines; None is the default of the engine."""

Text = Annotated[str, Field(min_length=1)]


class LanguageModelClassifier(Classifier):
    """A language model prompted with `examples_per_class` training texts per class, drawn by seed.

    `engine`, `model` and the engine parameters are those of the generators `openai`, `vllm` and
    `hf`.

    `confidence` selects how confidence is elicited (arXiv 2505.23854): "tpu", the probabilities of
    the classes at the answer token; "nvu", a number from 0 to 100 that the model states; "lvu", its
    wording, which `judge` converts to such a number (engine parameters, as in judge='model=…';
    default: the same model). `structured` requests the stated number as JSON, by a schema. `draws`
    replies at a `temperature` above 0 are averaged.

    `contextual` divides the probabilities of "tpu" by those for a content-free input (Zhao et al.
    2021), to correct a bias toward a class that is independent of the text.

    A text whose reply cannot be parsed is missing: its probabilities are the class frequencies of
    the training set, and `notes` reports the number of such texts and the reasons. `DataError` if
    the fraction of missing texts exceeds `most_missing`.
    """

    model: Text
    engine: Literal["openai", "vllm", "hf"] = "openai"
    confidence: Literal["tpu", "nvu", "lvu"] = "tpu"
    examples_per_class: Annotated[int, Field(ge=0, le=100)] = 3
    judge: str = ""
    contextual: bool = False
    structured: bool = False
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    draws: Annotated[int, Field(ge=1, le=100)] = 1
    most_missing: Annotated[float, Field(ge=0, le=1)] = 0.2

    revision: Text | None = None
    dtype: Text | None = None
    quantization: Text | None = None
    max_model_len: int | None = None
    tensor_parallel_size: int | None = None
    gpu_memory_utilization: float | None = None
    enforce_eager: bool | None = None
    block_size: int | None = None
    device: Text | None = None
    batch_size: int | None = None
    threads: int | None = None
    base_url: Text | None = None
    api_key_env: Text | None = None
    price_prompt: float | None = None
    price_completion: float | None = None
    concurrency: int | None = None
    timeout: float | None = None
    retries: int | None = None
    backoff: float | None = None
    max_reply_bytes: int | None = None
    extra_body: JsonObject | None = None

    needs = frozenset({"text"})
    learns = False
    operational = frozenset(
        {
            *("api_key_env", "concurrency", "timeout", "retries", "backoff", "max_reply_bytes"),
            *("device", "batch_size", "threads", "tensor_parallel_size"),
            *("gpu_memory_utilization", "enforce_eager", "block_size"),
        }
    )

    def __post_init__(self) -> None:
        if self.confidence != "lvu" and self.judge:
            raise ValueError(f"judge= is for confidence=lvu, not {self.confidence}")
        if self.confidence != "nvu" and self.structured:
            raise ValueError(f"structured=true is for confidence=nvu, not {self.confidence}")
        if self.confidence != "tpu" and self.contextual:
            raise ValueError(f"contextual=true is for confidence=tpu, not {self.confidence}")
        if self.confidence == "tpu" and (self.temperature or self.draws > 1):
            raise ValueError(
                "confidence=tpu reads the probabilities of one reply: temperature and draws are "
                "for nvu and lvu"
            )
        if self.draws > 1 and not self.temperature:
            raise ValueError(
                f"draws={self.draws} repeats the same reply at temperature 0: set, for example, "
                "temperature=0.7"
            )
        self._engine  # noqa: B018 - raises for options that the engine does not have
        if self.judge:
            self._judge  # noqa: B018

    @classmethod
    def accesses(cls, parameters: Mapping[str, Any]) -> Iterator[Access]:
        """Yield what the engine and the judge may use."""
        options = _set_options(parameters)
        engine, judge = str(parameters.get("engine", cls.engine)), parameters.get("judge")
        yield from engine_accesses(engine, options)
        if isinstance(judge, str) and judge:
            for access in engine_accesses(*judge_options(judge, engine, options)):
                yield replace(access, place=f"judge, {access.place}")

    @property
    def exclusive(self) -> bool:
        return self._engine.exclusive or (bool(self.judge) and self._judge.exclusive)

    def preflight(self) -> None:
        """Raise if an engine cannot run here or a model is unavailable."""
        for engine in self._engines():
            engine.preflight()

    def content_digest(self) -> str | None:
        """Return the content digests of a local model and of the judge, None if neither has one."""
        digests = [engine.content_digest() for engine in self._engines()]
        return None if not any(digests) else " ".join(str(digest) for digest in digests)

    def published_parameters(self) -> dict[str, Any]:
        """Return the parameters without the unset ones; a local model is published by name."""
        published = super().published_parameters()
        published["model"] = self._engine.published_parameters()["model"]
        if self.judge:
            published["judge"] = published_judge(self.judge, self._judge)
        return {name: value for name, value in published.items() if value is not None}

    def chat_model(self) -> ChatModel:
        """Return the model; it is loaded on the first request."""
        return self._engine.chat_model()

    def judge_model(self) -> ChatModel:
        """Return the model that converts wording to a number."""
        return self._judge.chat_model() if self.judge else self.chat_model()

    def fit(self, training: TrainingSet, *, loss: Loss, seed: int) -> None:
        """Draw the examples; nothing is trained, so `loss` is unused."""
        counts = np.bincount(np.asarray(training.labels), minlength=training.n_classes)
        self._frequencies = counts / counts.sum()
        self._responses = Responses(
            self._confidence(self._task(training, seed)),
            temperature=self.temperature,
            draws=self.draws,
            seed=seed,
        )
        self._content_free: NDArray[np.float64] | None = None
        self.notes, self.usage, self.model_revision = [], Usage(), None

    def predict(self, inputs: Any, outputs: frozenset[str]) -> Outputs:
        """Return the log-probabilities (n, K) of n texts."""
        responses = self._responses
        answers = self.answers or Answers.in_memory()
        with closing(self.chat_model()) as model:
            if self.contextual and self._content_free is None:
                self._content_free = self._content_free_probabilities(responses, model, answers)
            rows = responses.rows(model, list(inputs), answers, judge=self.judge_model)
        self._check_missing(rows)
        if self._content_free is not None:
            rows = [None if row is None else row / self._content_free for row in rows]
        filled = np.array([self._frequencies if row is None else row / row.sum() for row in rows])
        clipped = np.maximum(filled.reshape(-1, len(self._frequencies)), MIN_PROBABILITY)
        logits = np.log(clipped / clipped.sum(axis=1, keepdims=True))
        self._report(model)
        return Outputs(logits=logits.astype(np.float32))

    def expected_usage(self, training: TrainingSet, inputs: Any, *, seed: int) -> Usage:
        """Return the expected usage for all texts, estimated from up to 20 prompts."""
        confidence = self._confidence(self._task(training, seed))
        texts = [str(text) for text in inputs]
        return expected_usage(
            confidence, texts, draws=self.draws, model=self.chat_model(), judge=self.judge_model
        )

    def _task(self, training: TrainingSet, seed: int) -> ClassificationTask:
        names = training.label_names or tuple(f"class {k}" for k in range(training.n_classes))
        return ClassificationTask(
            task=training.task or "a text",
            label_names=names,
            label_descriptions=training.label_descriptions,
            examples=_examples(training, self.examples_per_class, seed),
        )

    def _confidence(self, task: ClassificationTask) -> Confidence:
        if self.confidence == "tpu":
            return TokenProbability(task)
        if self.confidence == "nvu":
            return StatedNumber(task, structured=self.structured)
        return JudgedWords(task)

    def _content_free_probabilities(
        self, responses: Responses, model: ChatModel, answers: Answers
    ) -> NDArray[np.float64]:
        """Return the mean probabilities (K,) for content-free inputs."""
        probabilities = responses.of_texts(model, CONTENT_FREE, answers)
        if not probabilities:
            raise ConfigurationError(
                "classifier llm: the model names no class for a content-free input, which "
                "contextual=true requires: set contextual=false."
            )
        return np.maximum(np.mean(probabilities, axis=0), MIN_PROBABILITY)

    def _check_missing(self, rows: Sequence[NDArray[np.float64] | None]) -> None:
        missing = sum(row is None for row in rows)
        if missing > self.most_missing * len(rows):
            raise DataError(
                f"classifier llm: {missing:,} of {len(rows):,} texts got no reply that can be "
                f"parsed ({self._responses.reasons()}), more than most_missing="
                f"{self.most_missing:g}: use another model or confidence=, or raise most_missing."
            )

    def _report(self, model: ChatModel) -> None:
        responses = self._responses
        self.usage = responses.usage
        self.notes = []
        if responses.missing:
            missing, reasons = responses.missing.total(), responses.reasons()
            self.notes.append(
                f"{missing:,} of {responses.asked:,} texts are missing ({reasons}): their forecast "
                "is the class frequencies of the training set"
            )
        revision = model.identity.get("revision")
        self.model_revision = str(revision) if revision else ", ".join(responses.served) or None

    @cached_property
    def _engine(self) -> Engine:
        return create_engine(self.engine, self._options())

    @cached_property
    def _judge(self) -> Engine:
        return create_engine(*judge_options(self.judge, self.engine, self._options()), role="judge")

    def _engines(self) -> list[Engine]:
        return [self._engine, self._judge] if self.judge else [self._engine]

    def _options(self) -> Mapping[str, Any]:
        """Return the parameters for the engine that are set."""
        options = _set_options(vars(self))
        return options | ({"structured": True} if self.structured else {})


def _set_options(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of an engine that are set."""
    options = {name: parameters.get(name) for name in ("model", *ENGINE_OPTIONS)}
    return {name: value for name, value in options.items() if value is not None}


def _examples(training: TrainingSet, count: int, seed: int) -> tuple[tuple[str, ...], ...]:
    """Draw up to `count` real texts of each class."""
    rng = np.random.default_rng(seed_for("few-shot", seed))
    labels = np.where(np.asarray(training.synthetic), -1, np.asarray(training.labels))
    drawn = []
    for label in range(training.n_classes):
        rows = np.flatnonzero(labels == label)
        chosen = rng.permutation(rows)[:count]
        drawn.append(tuple(str(training.inputs[int(row)]) for row in chosen))
    return tuple(drawn)
